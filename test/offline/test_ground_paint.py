"""Lines drawn on the ground: where they lie, how wide they are, and who is shown them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from depth_prune_ros.offline.config import AugmentConfig
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.dataset import Dataset
from depth_prune_ros.offline.ground_paint import _draw
from depth_prune_ros.offline.ground_paint import _ground
from depth_prune_ros.offline.ground_paint import paint
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.catalogue import build
from depth_prune_ros.offline.samples import Sample
from depth_prune_ros.offline.teachers import Teacher
from depth_prune_ros.offline.teachers import Teachers
from depth_prune_ros.offline.train import Trainer
import numpy as np
from numpy.typing import NDArray
import pytest
from tiny_networks import narrow
import torch
from torch import Tensor

HEIGHT, WIDTH, BASELINE_M = 64, 128, 0.5
HORIZON, SLOPE = 0.4, 0.2  # of the height; disparity a height further down
PLAIN = AugmentConfig(flip=0, colour=0, grey=0, crop=1, blur=0, noise=0)
ROW = (np.arange(HEIGHT) + 0.5) / HEIGHT
BOX = (slice(24, 56), slice(80, 100))
Array = NDArray[Any]


def _disparity() -> Array:
    """Return level ground up to a horizon, a box on it, nothing above."""
    rows = np.where(ROW > HORIZON + 0.02, SLOPE * (ROW - HORIZON), np.nan)
    found = np.repeat(rows[:, None], WIDTH, 1).astype(np.float32)
    found[BOX] = rows[BOX[0].stop]
    return found


def _grey(level: int = 100) -> Array:
    return np.full((HEIGHT, WIDTH, 3), level, np.uint8)


def test_the_ground_alone_is_drawn_on() -> None:
    sky = np.repeat((ROW < HORIZON)[:, None], WIDTH, 1)
    ever = np.zeros((HEIGHT, WIDTH), bool)
    for seed in range(40):
        changed = (paint(_grey(), _disparity(), BASELINE_M, seed) != 100).any(2)
        assert 0.003 < changed.mean() < 0.6
        ever |= changed
    assert not ever[sky].any()
    # but for its foot, which is as far as the ground there
    assert not ever[28:48, 82:98].any()
    assert ever[40:, :78].mean() > 0.9


def test_holes_of_the_matching_are_drawn_over() -> None:
    disparity = _disparity()
    disparity[50:53, 20:23] = np.nan
    ground = _ground(disparity, BASELINE_M, np.random.default_rng(0))
    assert ground is not None
    assert ground.lies[50:53, 20:23].all()


def test_the_plane_is_in_metres() -> None:
    """Where the disparity is 0.05 of the width, 0.5 m of baseline are a width of 10 m."""
    ground = _ground(_disparity(), BASELINE_M, np.random.default_rng(0))
    assert ground is not None
    row = int(np.abs(SLOPE * (ROW - HORIZON) - 0.05).argmin())
    metres = BASELINE_M / (SLOPE * (ROW[row] - HORIZON))
    wanted = ((np.arange(WIDTH) + 0.5) / WIDTH - 0.5) * metres
    np.testing.assert_allclose(ground.aside[row], wanted, rtol=1e-3)
    np.testing.assert_allclose(ground.ahead[row], 0.6 * metres, rtol=1e-3)


class _Middle:
    """No chance: the middle of every range, the first of every choice."""

    def random(self) -> float:
        return 0.5

    def uniform(self, low: float, high: float, size: int | None = None) -> Any:
        middle = (low + high) / 2
        return middle if size is None else np.full(size, middle)

    def integers(self, low: int, _: int) -> int:
        return low

    def choice(self, places: Array) -> int:
        return int(places[len(places) // 2])


def test_lines_are_as_wide_in_metres_in_every_row() -> None:
    """Two of 0.175 m along the axis, 2 m apart, of level 187.5, six tenths opaque."""
    ground = _ground(_disparity(), BASELINE_M, np.random.default_rng(0))
    assert ground is not None
    shown = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    _draw(shown, ground, _Middle())  # type: ignore[arg-type]
    for row in (58, 60, 63):
        pixel = float(np.diff(ground.aside[row])[0])
        drawn = shown[row, :, 0] / (0.6 * 187.5)
        places = np.flatnonzero(drawn > 0)
        halves = np.split(places, np.flatnonzero(np.diff(places) > 2) + 1)
        assert len(halves) == 2
        for half in halves:
            assert drawn[half].sum() * pixel == pytest.approx(0.175, rel=0.05)
        middles = [np.average(ground.aside[row, half], weights=drawn[half]) for half in halves]
        assert middles[1] - middles[0] == pytest.approx(2.0, rel=0.03)


@pytest.mark.parametrize(
    'disparity',
    [
        np.full((HEIGHT, WIDTH), np.nan, np.float32),
        np.full((HEIGHT, WIDTH), 0.05, np.float32),
        _disparity()[::-1].copy(),
        np.repeat(np.linspace(0.06, 0.1, HEIGHT, dtype=np.float32)[:, None], WIDTH, 1),
        np.repeat(np.linspace(-0.02, 0.1, WIDTH, dtype=np.float32)[None], HEIGHT, 0),
        np.where(np.arange(WIDTH) < 0.22 * WIDTH, _disparity(), np.float32(0.15)),
        np.random.default_rng(0).uniform(0.01, 0.1, (HEIGHT, WIDTH)).astype(np.float32),
    ],
    ids=['none', 'wall', 'ceiling', 'leaning wall', 'side wall', 'hardly any ground', 'noise'],
)
def test_where_there_is_no_ground_nothing_is_drawn(disparity: Array) -> None:
    for seed in range(5):
        np.testing.assert_array_equal(paint(_grey(), disparity, BASELINE_M, seed), _grey())


def test_a_seed_is_always_the_same() -> None:
    one, same, other = (paint(_grey(), _disparity(), BASELINE_M, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def _dataset(**changes: float) -> Dataset:
    hints = np.stack([_disparity()] * 2).astype(np.float16)
    points = np.array([[0.5, 0.9, 6.0]], np.float32)
    sample = Sample(_grey(), _grey(), points, 0.7, BASELINE_M, hints=hints)
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
