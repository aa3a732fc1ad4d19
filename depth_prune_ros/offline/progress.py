"""What a training tells whoever watches it: a bar, TensorBoard, a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field

from depth_prune_ros.core.metrics import DepthMetrics
from depth_prune_ros.offline.validation import Preview


@dataclass(frozen=True)
class Progress:
    """
    What a training reports after a step.

    :param terms: of the loss, weighted, 'task' being their sum
    :param share: present cost over the dense network's, in the budget's measure
    :param validation: bag -> metrics, where the step was validated
    :param widths: filters of each group that are in; empty without masks
    :param previews: bag -> its first frame, where the step was validated
    :param speed: in which precision and layout it computes, and why
    """

    step: int
    steps: int
    terms: dict[str, float]
    learning_rate: float
    share: float
    validation: dict[str, DepthMetrics] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)
    previews: dict[str, Preview] = field(default_factory=dict)
    speed: str = ''


Report = Callable[[Progress], None]
