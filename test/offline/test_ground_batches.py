"""Batches with lines drawn on the ground: who is shown them, and what they leave as it is."""

from __future__ import annotations

from pathlib import Path

from depth_prune_ros.offline.config import AugmentConfig
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.dataset import Dataset
from depth_prune_ros.offline.ground_paint import paint
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.catalogue import build
from depth_prune_ros.offline.samples import Sample
from depth_prune_ros.offline.teachers import Teacher
from depth_prune_ros.offline.teachers import Teachers
from depth_prune_ros.offline.train import Trainer
from level_ground import Array
from level_ground import BASELINE_M
from level_ground import grey
from level_ground import HEIGHT
from level_ground import HORIZON
from level_ground import level_disparity
from level_ground import WIDTH
import numpy as np
import pytest
from tiny_networks import narrow
import torch
from torch import Tensor

PLAIN = AugmentConfig(flip=0, colour=0, grey=0, crop=1, blur=0, noise=0)


def _dataset(**changes: float) -> Dataset:
    hints = np.stack([level_disparity()] * 2).astype(np.float16)
    points = np.array([[0.5, 0.9, 6.0]], np.float32)
    sample = Sample(grey(), grey(), points, 0.7, 0.7, BASELINE_M, hints=hints)
    augment = PLAIN.model_copy(update=changes)
    return Dataset({'bag': [sample]}, {}, (HEIGHT, WIDTH), BASELINE_M, augment)


def test_a_batch_shows_the_network_what_is_drawn_and_compares_what_was_there() -> None:
    batch = _dataset(paint=1).batch(0, 1, 0)
    drawn = (batch.image - batch.plain).abs()[0].amax(0)
    assert float(drawn.max()) > 0.02
    assert not drawn[: int(HORIZON * HEIGHT)].any()
    torch.testing.assert_close(batch.plain, batch.left)
    torch.testing.assert_close(batch.left, torch.full_like(batch.left, 100 / 255))
    torch.testing.assert_close(batch.hints, _dataset().batch(0, 1, 0).hints, equal_nan=True)


def test_light_falls_on_what_is_drawn_and_on_the_rest_alike() -> None:
    light = {'colour': 1, 'noise': 1, 'blur': 1}
    drawn, without = (_dataset(paint=part, **light).batch(0, 1, 0) for part in (1, 0))
    torch.testing.assert_close(drawn.plain, without.image)
    sky = int(HORIZON * HEIGHT) - 8
    torch.testing.assert_close(drawn.image[..., :sky, :], without.image[..., :sky, :])
    assert (drawn.image != without.image).any()


def test_without_paint_both_are_shown_the_same() -> None:
    batch = _dataset(colour=1).batch(0, 1, 0)
    assert torch.equal(batch.image, batch.plain)


def test_every_sample_has_its_own_lines_in_metres(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[float, int]] = []

    def spy(view: Array, disparity: Array, baseline_m: float, seed: int) -> Array:
        calls.append((baseline_m, seed))
        return paint(view, disparity, baseline_m, seed)

    monkeypatch.setattr('depth_prune_ros.offline.dataset.paint', spy)
    dataset = _dataset(paint=1)
    for number in range(4):
        dataset.batch(number, 1, 0)
    assert {baseline for baseline, _ in calls} == {BASELINE_M}
    assert len({seed for _, seed in calls}) == 4


def test_some_samples_are_drawn_on() -> None:
    batches = [_dataset(paint=0.5).batch(number, 1, 0) for number in range(60)]
    assert 15 < sum(not torch.equal(batch.image, batch.plain) for batch in batches) < 45


class _Watching(DepthNetwork):
    """Keeps what it is shown."""

    name = 'watching'
    multiple = 8
    dense_widths: dict[str, int] = {}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Tensor] = []

    def forward(self, image: Tensor) -> list[Tensor]:
        self.shown.append(image)
        scales = [torch.nn.functional.avg_pool2d(image, 2**s) for s in range(4)]
        return [scale[:, :2] for scale in scales]


def test_a_teacher_sees_the_ground_as_it_is(tmp_path: Path) -> None:
    dataset = _dataset(paint=1)
    config = TrainConfig(height=HEIGHT, width=WIDTH, baseline_m=0.5, steps=1, batch=1, bf16=False)
    student, teacher = build('mobilenet', narrow('mobilenet')), _Watching()
    given: list[Tensor] = []
    student.register_forward_pre_hook(lambda _, images: given.append(images[0]))
    teachers = Teachers([Teacher(teacher, (HEIGHT, WIDTH))])
    Trainer(student, dataset, config, card={}, teachers=teachers).run(tmp_path, {}, print)
    batch = dataset.batch(0, 1, config.seed)
    assert (batch.image != batch.plain).any()
    torch.testing.assert_close(teacher.shown[0], batch.plain)
    torch.testing.assert_close(given[0], batch.image)
