"""What a run was begun with: a run of another beginning is refused instead of gone on with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from depth_prune_ros.core.errors import CheckpointError
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.stage_folder import file_digest
from depth_prune_ros.offline.stage_folder import flat

ORIGIN = 'begun_with'
# of the configuration: what makes another training of a run
_DECISIVE = ('losses', 'augment', 'shares', 'batch', 'seed', 'average', 'hold_encoder')
_INDIFFERENT = {'prune.latency_table'}
_FROM_WEIGHTS = '; from weights: '


def weights_digest(run: Path | None) -> str:
    """Return a digest of the weights of a run's last checkpoint; without a run ''."""
    return '' if run is None else file_digest(checkpoints.latest(run) / 'weights.safetensors')


def check_origin(run: Path, wanted: Mapping[str, str], config: TrainConfig) -> None:
    """
    Compare what a training begins with, with what its folder's run was begun with.

    Runs without a record are of versions before it, and pass. Steps and rates may change: a run
    is made longer, or goes on at a lower rate after it diverged. The steps of masks may not: when
    filters go is laid down by them.

    :param wanted: what would stand under ORIGIN in the card's provenance
    :raises CheckpointError: they differ; names the first difference
    """
    if not checkpoints.exists(run):
        return
    last = checkpoints.load(run)
    found = last.card.get('provenance', {}).get(ORIGIN, wanted)
    of_masks = ('prune', 'steps') if last.masks else ()
    settings = flat(config.model_dump(include={*_DECISIVE, *of_masks}))
    before = flat(last.config)
    pairs = {name: (value, found.get(name, '')) for name, value in wanted.items()}
    pairs |= {key: (value, before[key]) for key, value in settings.items() if key in before}
    for name, (value, other) in pairs.items():
        if other != value and name not in _INDIFFERENT:
            text, found_text = ('none' if one == '' else one for one in (value, other))
            msg = (
                f'{run}: expected a run of {name} {text}, found one of {found_text}; '
                'name another --out'
            )
            raise CheckpointError(msg)


def merged_licence(own: str, *sources: str) -> str:
    """Add the licences of weights that are started from or taught by: they hold on."""
    parts = [own, *(part for source in sources for part in source.split(_FROM_WEIGHTS))]
    return _FROM_WEIGHTS.join(filter(None, dict.fromkeys(parts)))
