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
    checkpoints: Sequence[Checkpoint], bags: Sequence[Path], reading: Callable[[str, int], None]
) -> list[Checkpoint]:
    """
    Judge networks on bags, and return their checkpoints with metrics and validated_on of these.

    :param reading: called with a bag's name and its frames
    :raises BagError: a bag without measured depth, or two of one name
    """
    networks = [checkpoint.build() for checkpoint in checkpoints]
    metrics: list[dict[str, Any]] = [{} for _ in checkpoints]
    counts = {}
    for name, bag in by_name(bags).items():
        frames = validation_frames(bag, reading)
        counts[name] = len(frames)
        for checkpoint, network, found in zip(checkpoints, networks, metrics, strict=True):
            card = checkpoint.card
            size = card['input_height'], card['input_width']
            found[name] = asdict(validate(network, frames, size, card['baseline_m']))
    return [
        _with(checkpoint, found, counts)
        for checkpoint, found in zip(checkpoints, metrics, strict=True)
    ]


def _with(checkpoint: Checkpoint, metrics: dict[str, Any], counts: dict[str, int]) -> Checkpoint:
    provenance = {**checkpoint.card['provenance'], 'validated_on': counts}
    card = {**checkpoint.card, 'metrics': metrics, 'provenance': provenance}
    return replace(checkpoint, card=card)
