"""
The networks that a training is distilled from: they take turns, each on image and mirror image.

The mean over several networks, and over an image and its mirror image, has a smaller error than
any one network. A turn each comes to the same over many batches, at the price of one network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from depth_prune_ros.offline.networks.base import DepthNetwork
import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Teacher:
    """
    A network to distil from.

    :param size: (height, width) of the images it was trained on
    """

    network: DepthNetwork
    size: tuple[int, int]


class Teachers:
    """Teachers in turn: each on a batch, then each on the mirror image of one."""

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        """Take them over; they do not learn."""
        self._teachers = list(teachers)
        for teacher in self._teachers:
            teacher.network.eval()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._teachers)

    @torch.no_grad()
    def disparities(self, image: Tensor, turn: int) -> list[Tensor]:
        """
        Ask the teacher whose turn it is.

        :param image: [N, 3, H, W] RGB in [0, 1]
        :param turn: number of the batch
        :return: at the two finest scales of the teacher's size, finest first: [N, 2, h / 2^s,
            w / 2^s] left and right disparities; of a mirror image [N, 1, ...] left ones alone, as
            the camera beside it would be on the other side
        """
        mirrored, number = divmod(turn % (2 * len(self)), len(self))
        teacher = self._teachers[number]
        shown = image.flip(-1) if mirrored else image
        if shown.shape[-2:] != teacher.size:
            shown = functional.interpolate(shown, teacher.size, mode='bilinear', antialias=True)
        found: list[Tensor] = teacher.network(shown)[:2]
        return [scale[:, :1].flip(-1) for scale in found] if mirrored else found
