"""Several teachers: whose turn it is, what comes of a mirror image, and what a student learns."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar

from depth_prune_ros.offline.config import AugmentConfig
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.dataset import Dataset
from depth_prune_ros.offline.label_losses import distillation
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.catalogue import build
from depth_prune_ros.offline.progress import Progress
from depth_prune_ros.offline.samples import Sample
from depth_prune_ros.offline.teachers import Teacher
from depth_prune_ros.offline.teachers import Teachers
from depth_prune_ros.offline.train import Trainer
import numpy as np
import pytest
from tiny_networks import narrow
import torch
from torch import Tensor

IMAGE = torch.rand(2, 3, 16, 32, generator=torch.Generator().manual_seed(0))


def _constant(value: float, *shape: int) -> Tensor:
    return torch.full(shape, value)


class _Seen(DepthNetwork):
    """The left disparity is the red channel, the right one its half; or a constant share of it."""

    name = 'seen'
    multiple = 8
    dense_widths: ClassVar[dict[str, int]] = {}

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.shown: list[Tensor] = []

    def forward(self, image: Tensor) -> list[Tensor]:
        assert not self.training
        self.shown.append(image)
        red = image[:, :1] * self.factor
        both = torch.cat([red, red / 2], 1)
        return [torch.nn.functional.avg_pool2d(both, 2**s) if s else both for s in range(4)]


def test_teachers_take_turns_then_see_the_mirror_image() -> None:
    teachers = Teachers([Teacher(_Seen(factor), (16, 32)) for factor in (1.0, 3.0)])
    red = IMAGE[:, :1]
    for turn, factor, views in ((0, 1, 2), (1, 3, 2), (2, 1, 1), (3, 3, 1), (4, 1, 2)):
        fine, coarse = teachers.disparities(IMAGE, turn)
        assert fine.shape == (2, views, 16, 32)
        assert coarse.shape == (2, views, 8, 16)
        # mirrored twice: the disparity lies where the image's pixel does
        torch.testing.assert_close(fine[:, :1], red * factor)
        torch.testing.assert_close(coarse[:, :1], torch.nn.functional.avg_pool2d(red, 2) * factor)


def test_a_teacher_sees_images_of_its_own_size() -> None:
    network = _Seen(1.0)
    teachers = Teachers([Teacher(network, (8, 16))])
    flat = torch.full((1, 3, 16, 32), 0.25)
    fine, coarse = teachers.disparities(flat, 0)
    assert network.shown[0].shape[-2:] == (8, 16)
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


def test_a_teacher_sees_what_its_student_sees(tmp_path: Path) -> None:
    """Changes of light and all; taught on unchanged images it is worse (docs/tried.md)."""
    pixels = np.random.default_rng(0).integers(40, 216, (32, 64, 3), dtype=np.uint8)
    sample = Sample(pixels, None, np.array([[0.5, 0.5, 6.0]], np.float32), 0.7, 0.7, 0.5)
    light = AugmentConfig(flip=0, crop=1, colour=1, grey=1, blur=1, noise=1)
    dataset = Dataset({'bag': [sample]}, {}, (32, 64), 0.5, light)
    config = TrainConfig(height=32, width=64, baseline_m=0.5, steps=1, batch=1, bf16=False)
    student, teacher = build('mobilenet', narrow('mobilenet')), _Seen(1.0)
    teachers = Teachers([Teacher(teacher, (32, 64))])
    Trainer(student, dataset, config, card={}, teachers=teachers).run(tmp_path, {}, print)
    (seen,) = teacher.shown
    torch.testing.assert_close(seen, dataset.batch(0, 1, config.seed).image)
    assert np.abs(seen[0].permute(1, 2, 0).numpy() - pixels / 255).mean() > 0.02


def test_distillation_by_hand() -> None:
    """Mean |ln| over both views of the two finest scales; coarser ones do not count."""
    teacher = [_constant(0.1, 1, 2, 8 >> s, 8 >> s) for s in range(2)]
    student = [_constant(value, 1, 2, 8 >> s, 8 >> s) for s, value in enumerate((0.2, 0.05, 7, 7))]
    assert float(distillation(student, teacher)) == pytest.approx(math.log(2), rel=1e-5)


def test_distillation_of_the_left_view_alone() -> None:
    """So a teacher says it of a mirror image; and so it counts where edges are learned."""
    student = [_views(0.2, 0.9, 8 >> s) for s in (0, 1)]
    for right in ([], [0.3]):
        teacher = [_views(0.1, *right, 8 >> s) for s in (0, 1)]
        hints = _constant(math.nan, 1, 2, 8, 8) if right else None
        found = distillation(student, teacher, hints)
        assert float(found) == pytest.approx(math.log(2), rel=1e-5)


def _views(*disparities_then_side: float) -> Tensor:
    *disparities, side = disparities_then_side
    return torch.cat([_constant(d, 1, 1, int(side), int(side)) for d in disparities], 1)


def test_a_teacher_is_silent_where_a_hint_contradicts_it() -> None:
    """Of 32x32 pixels the 7x7 around one hint do not count; a hint that agrees changes nothing."""
    teacher = [_constant(0.1, 1, 2, 32, 32)] * 2
    student = [_constant(0.2, 1, 2, 32, 32)] * 2
    for hint, silent in ((0.2, 49), (0.06, 49), (0.11, 0), (0.0, 0)):
        hints = _constant(math.nan, 1, 2, 32, 32)
        hints[0, 0, 16, 10] = hint
        hints[0, 1, 4, 4] = 0.3  # the right view's has no say
        found = float(distillation(student, teacher, hints))
        assert found == pytest.approx(math.log(2) * (1 - silent / 1024), rel=1e-5)
    # a hint of the student's size, seen at that of a teacher of half of it
    fine = [_constant(0.2, 1, 2, 64, 64)] * 2
    hints = _constant(math.nan, 1, 2, 64, 64)
    hints[0, 0, 32:34, 20:22] = 0.2
    found = float(distillation(fine, teacher, hints))
    assert found == pytest.approx(math.log(2) * (1 - 49 / 1024), rel=1e-5)


@pytest.mark.parametrize('sharpen', [False, True])
def test_a_training_for_edges_has_silent_teachers(tmp_path: Path, sharpen: bool) -> None:
    """A hint that contradicts at each pixel, ten times as near: nothing is left of the teacher."""
    generator = np.random.default_rng(0)
    views = generator.integers(99, 199, (2, 32, 64, 3), dtype=np.uint8)
    points, hints = np.array([[0.5, 0.5, 6.0]], np.float32), np.full((2, 32, 64), 9, np.float16)
    sample = Sample(views[0], views[1], points, 0.7, 0.7, 0.5, hints=hints)
    dataset = Dataset({'bag': [sample]}, {}, (32, 64), 0.5, AugmentConfig(flip=0, crop=1))
    losses = {'hints': 0.5, 'sharpen': sharpen}
    config = TrainConfig.model_validate(
        {'height': 32, 'width': 64, 'baseline_m': 0.5, 'steps': 1, 'bf16': False, 'losses': losses}
    )
    student = build('mobilenet', narrow('mobilenet'))
    told: list[Progress] = []
    teachers = Teachers([Teacher(_Seen(1.0), (32, 64))])
    Trainer(student, dataset, config, card={}, teachers=teachers).run(tmp_path, {}, told.append)
    assert (told[-1].terms['distillation'] == 0) is sharpen


@pytest.mark.parametrize('fine_is', ['student', 'teacher'])
def test_distillation_compares_at_the_size_of_the_smaller_image(fine_is: str) -> None:
    """What changes from pixel to pixel of the finer one is nothing to the coarser one."""
    step = 0.03 * (-1.0) ** torch.arange(64)
    chequered = [0.1 + (step[: 32 >> s, None] * step[: 64 >> s] / 0.03) for s in (0, 1)]
    fine = [one.expand(1, 1, *one.shape).contiguous() for one in chequered]
    coarse = [_constant(0.1, 1, 1, 16 >> s, 32 >> s) for s in (0, 1)]
    pair = (fine, coarse) if fine_is == 'student' else (coarse, fine)
    assert float(distillation(fine, [torch.full_like(one, 0.1) for one in fine])) > 0.2
    assert float(distillation(*pair)) < 0.02
    doubled = [2 * one for one in pair[0]], pair[1]
    assert float(distillation(*doubled)) == pytest.approx(math.log(2), abs=0.02)


def test_distillation_compares_at_the_smaller_of_each_side() -> None:
    """A student of 16x16 and a teacher of 8x32 meet at 8x16, as means of their pixels."""
    wide = torch.tensor([0.05, 0.15]).repeat(16).expand(1, 1, 8, 32)
    student, teacher = [_constant(0.2, 1, 2, 16, 16)] * 2, [wide] * 2
    found = distillation(student, teacher)
    assert float(found) == pytest.approx(math.log(2), abs=0.03)
