"""Several teachers: whose turn it is, and what comes of a mirror image."""

from __future__ import annotations

from typing import ClassVar

from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.teachers import Teacher
from depth_prune_ros.offline.teachers import Teachers
import torch
from torch import Tensor

IMAGE = torch.rand(2, 3, 16, 32, generator=torch.Generator().manual_seed(0))


class _Seen(DepthNetwork):
    """The left disparity is the red channel, the right one its half; or a constant share of it."""

    name = 'seen'
    multiple = 8
    dense_widths: ClassVar[dict[str, int]] = {}

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, image: Tensor) -> list[Tensor]:
        assert not self.training
        self.sizes.append(tuple(image.shape[-2:]))
        red = image[:, :1] * self.factor
        both = torch.cat([red, red / 2], 1)
        return [torch.nn.functional.avg_pool2d(both, 2**s) if s else both for s in range(4)]


def test_teachers_take_turns_then_see_the_mirror_image() -> None:
    teachers = Teachers([Teacher(_Seen(factor), (16, 32)) for factor in (1.0, 3.0)])
    red = IMAGE[:, :1]
    for turn, factor, channels in ((0, 1, 2), (1, 3, 2), (2, 1, 1), (3, 3, 1), (4, 1, 2)):
        fine, coarse = teachers.disparities(IMAGE, turn)
        assert fine.shape == (2, channels, 16, 32)
        assert coarse.shape == (2, channels, 8, 16)
        # mirrored twice: the disparity lies where the image's pixel does
        torch.testing.assert_close(fine[:, :1], red * factor)
        torch.testing.assert_close(coarse[:, :1], torch.nn.functional.avg_pool2d(red, 2) * factor)


def test_a_teacher_sees_images_of_its_own_size() -> None:
    network = _Seen(1.0)
    teachers = Teachers([Teacher(network, (8, 16))])
    flat = torch.full((1, 3, 16, 32), 0.25)
    fine, coarse = teachers.disparities(flat, 0)
    assert network.sizes == [(8, 16)]
    torch.testing.assert_close(fine[:, :1], flat[:, :1, ::2, ::2])
    assert coarse.shape == (1, 2, 4, 8)
    # a ramp stays where it is: no pixel is lost at a border
    ramp = torch.linspace(0, 1, 32).expand(1, 3, 16, 32)
    fine, _ = teachers.disparities(ramp, 0)
    wanted = (ramp[:, :1, ::2, ::2] + ramp[:, :1, ::2, 1::2]) / 2
    assert float((fine[:, :1] - wanted)[..., 1:-1].abs().max()) < 0.01


def test_teachers_do_not_learn() -> None:
    network = _Seen(1.0)
    network.scale = torch.nn.Parameter(torch.ones(()))
    image = IMAGE.clone().requires_grad_()
    assert not Teachers([Teacher(network, (16, 32))]).disparities(image, 0)[0].requires_grad
