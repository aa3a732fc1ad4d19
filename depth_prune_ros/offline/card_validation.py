"""What a model's card says of its quality: found on the network as it is exported."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from depth_prune_ros.offline.checkpoint import Checkpoint
from depth_prune_ros.offline.training_data import by_name
from depth_prune_ros.offline.training_data import validation_frames
from depth_prune_ros.offline.validation import validate


def validated(
    checkpoints: Sequence[Checkpoint],
    bags: Sequence[Path],
    protocol: str,
    reading: Callable[[str, int], None],
) -> list[Checkpoint]:
    """
    Judge networks on bags by a protocol, and return their checkpoints with what was found.

    :param reading: called with a bag's name and its frames
    :raises BagError: a bag without depth that the protocol judges, or two of one name
    """
    networks = [checkpoint.build() for checkpoint in checkpoints]
    metrics: list[dict[str, Any]] = [{} for _ in checkpoints]
    counts: dict[str, int] = {}
    for name, bag in by_name(bags).items():
        frames = validation_frames(bag, protocol, reading)
        counts[name] = len(frames)
        for checkpoint, network, found in zip(checkpoints, networks, metrics, strict=True):
            card = checkpoint.card
            size = card['input_height'], card['input_width']
            found[name] = asdict(validate(network, frames, size, card['baseline_m'], protocol))
    about = {'validated_on': counts, 'protocol': protocol}
    return [
        _with(checkpoint, found, about)
        for checkpoint, found in zip(checkpoints, metrics, strict=True)
    ]


def _with(checkpoint: Checkpoint, metrics: dict[str, Any], about: dict[str, Any]) -> Checkpoint:
    provenance = {**checkpoint.card['provenance'], **about}
    card = {**checkpoint.card, 'metrics': metrics, 'provenance': provenance}
    return replace(checkpoint, card=card)
