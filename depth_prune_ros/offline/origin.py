"""What a run was begun with: a run of another beginning is refused instead of gone on with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from depth_prune_ros.core.errors import CheckpointError
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline.stage_folder import file_digest

ORIGIN = 'begun_with'


def weights_digest(run: Path | None) -> str:
    """Return a digest of the weights of a run's last checkpoint; without a run ''."""
    return '' if run is None else file_digest(checkpoints.latest(run) / 'weights.safetensors')


def check_origin(run: Path, wanted: Mapping[str, str]) -> None:
    """
    Compare what a training begins with, with what its folder's run was begun with.

    Runs without a record are of versions before it, and pass.

    :param wanted: what would stand under ORIGIN in the card's provenance
    :raises CheckpointError: they differ; names the first difference
    """
    if not any(run.glob('step-*/checkpoint.json')):
        return
    found = checkpoints.load(run).card.get('provenance', {}).get(ORIGIN, wanted)
    for name, value in wanted.items():
        other = found.get(name, '')
        if other != value:
            msg = (
                f'{run}: expected a run of {name} {value or "none"}, found one of '
                f'{other or "none"}; name another --out'
            )
            raise CheckpointError(msg)
