"""Losses: each term by hand or by a plain loop, and what a frame contributes."""

from __future__ import annotations

import math

from depth_prune_ros.offline.label_losses import measured_loss
from depth_prune_ros.offline.losses import Batch
from depth_prune_ros.offline.losses import depth_loss
from depth_prune_ros.offline.losses import photometric
from depth_prune_ros.offline.losses import smoothness
from depth_prune_ros.offline.losses import ssim
from depth_prune_ros.offline.losses import stereo_loss
from depth_prune_ros.offline.losses import warp
from depth_prune_ros.offline.losses import Weights
import numpy as np
import pytest
import torch
from torch import Tensor

HEIGHT, WIDTH = 32, 64
SHIFT = 5


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def _constant(value: float, *shape: int) -> Tensor:
    return torch.full(shape, value)


def _plane(count: int = 1) -> tuple[Tensor, Tensor]:
    """Return a textured plane seen twice: left(x) = right(x - SHIFT)."""
    wide = _random(count, 3, HEIGHT, WIDTH + SHIFT, seed=5)
    return wide[..., :WIDTH], wide[..., SHIFT:]


def _batch(left: Tensor, right: Tensor, has_right: list[bool], disparity: Tensor) -> Batch:
    hints = torch.full((len(left), 2, *left.shape[-2:]), math.nan)
    return Batch(left, right, torch.tensor(has_right), torch.ones(len(left)), disparity, hints)


def _disparities(count: int, height: int, width: int) -> list[Tensor]:
    sizes = [(height >> scale, width >> scale) for scale in range(4)]
    return [(0.05 + 0.1 * _random(count, 2, *s, seed=9)).requires_grad_() for s in sizes]


@pytest.mark.parametrize('columns', [0, 1, 3, 7])
def test_warp_moves_whole_columns(columns: int) -> None:
    """A left disparity d takes the left image from the right one: left(x) = right(x - d)."""
    right = _random(2, 3, 4, 16)
    found = warp(right, _constant(-columns / 16, 2, 1, 4, 16))
    torch.testing.assert_close(found[..., columns:], right[..., : 16 - columns])
    border = right[..., :1].expand(-1, -1, -1, columns)
    torch.testing.assert_close(found[..., :columns], border)


def test_warp_is_linear_between_columns() -> None:
    image = torch.arange(8.0).expand(1, 1, 2, 8)
    found = warp(image, _constant(0.25 / 8, 1, 1, 2, 8))
    torch.testing.assert_close(found[0, 0, 0, :7], torch.arange(7.0) + 0.25)


def test_ssim_equals_a_plain_loop() -> None:
    x, y = _random(1, 2, 5, 6, seed=1).double(), _random(1, 2, 5, 6, seed=2).double()
    found = ssim(x, y)
    assert found.shape == (1, 2, 3, 4)
    for channel, row, column in np.ndindex(2, 3, 4):
        block = np.s_[0, channel, row : row + 3, column : column + 3]
        a, b = x[block].numpy().ravel(), y[block].numpy().ravel()
        covariance = ((a - a.mean()) * (b - b.mean())).mean()
        wanted = (2 * a.mean() * b.mean() + 1e-4) * (2 * covariance + 9e-4)
        wanted /= (a.mean() ** 2 + b.mean() ** 2 + 1e-4) * (a.var() + b.var() + 9e-4)
        assert float(found[0, channel, row, column]) == pytest.approx(wanted, rel=1e-9)


def test_equal_images_have_no_photometric_error() -> None:
    image = _random(2, 3, 6, 8)
    torch.testing.assert_close(ssim(image, image), torch.ones(2, 3, 4, 6))
    assert float(photometric(image, image)) == pytest.approx(0, abs=1e-6)


def test_photometric_error_of_flat_images() -> None:
    a, b = 0.2, 0.6
    similarity = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    wanted = 0.85 * (1 - similarity) / 2 + 0.15 * 0.4
    found = photometric(_constant(a, 1, 3, 4, 4), _constant(b, 1, 3, 4, 4))
    assert float(found) == pytest.approx(wanted, rel=1e-4)


def test_smoothness_of_a_ramp() -> None:
    """1 2 3 4 rises by 1; an edge of 0.1 lets exp(-0.1) of it pass."""
    ramp = torch.arange(1.0, 5.0).expand(1, 1, 3, 4)
    flat = _constant(0.5, 1, 3, 3, 4)
    assert float(smoothness(ramp, flat)) == pytest.approx(1.0, rel=1e-5)
    assert float(smoothness(ramp * 0.01, flat)) == pytest.approx(0.01, rel=1e-4)
    edges = 0.1 * torch.arange(4.0).expand(1, 3, 3, 4)
    assert float(smoothness(ramp, edges)) == pytest.approx(math.exp(-0.1), rel=1e-5)
    assert float(smoothness(ramp.mT, flat.mT)) == pytest.approx(1.0, rel=1e-5)


def test_smoothness_halves_at_each_scale() -> None:
    image = _constant(0.5, 1, 3, 16, 32)
    ramps = [torch.arange(1.0, 5.0).expand(1, 2, 4, 4) for _ in range(4)]
    wanted = 2 * (1 + 1 / 2 + 1 / 4 + 1 / 8)
    found = stereo_loss(ramps, (image, image), torch.ones(1))['smoothness']
    assert float(found) == pytest.approx(wanted, rel=1e-5)


def test_smoothness_goes_by_the_edges_of_each_view() -> None:
    """The right image has edges of 0.1 where the left one is flat; the baseline does not count."""
    left = _constant(0.5, 1, 3, 3, 4)
    right = 0.1 * torch.arange(4.0).expand(1, 3, 3, 4)
    ramps = [torch.arange(1.0, 5.0).expand(1, 2, 3, 4)]
    for ratio in (1.0, 2.0):
        found = stereo_loss(ramps, (left, right), torch.tensor([ratio]))['smoothness']
        assert float(found) == pytest.approx(1 + math.exp(-0.1), rel=1e-5)


def test_views_are_shrunk_by_areas() -> None:
    """A chequered image and its negative are the same grey at half their size."""
    left = ((torch.arange(16)[:, None] + torch.arange(32)) % 2).float().expand(1, 3, 16, 32)
    found = stereo_loss([_constant(1e-6, 1, 2, 8, 16)], (left, 1 - left), torch.ones(1))
    assert float(found['photometric']) == pytest.approx(0, abs=1e-5)


def test_a_frontoparallel_plane_is_consistent() -> None:
    image = _random(1, 3, 16, 32)
    both = [_constant(0.125, 1, 2, 16 >> s, 32 >> s) for s in range(4)]
    found = stereo_loss(both, (image, image), torch.ones(1))
    assert float(found['consistency']) == pytest.approx(0, abs=1e-6)
    apart = [torch.cat([_constant(v, 1, 1, 16, 32) for v in (0.125, 0.1)], 1)]
    found = stereo_loss(apart, (image, image), torch.ones(1))
    assert float(found['consistency']) == pytest.approx(2 * 0.025, rel=1e-4)


def test_true_disparity_has_the_smallest_photometric_error() -> None:
    views = _plane()
    losses = {}
    for pixels in range(SHIFT - 2, SHIFT + 3):
        disparity = [_constant(pixels / WIDTH, 1, 2, HEIGHT, WIDTH)]
        found = stereo_loss(disparity, views, torch.ones(1))
        losses[pixels] = float(found['photometric'])
    best = losses.pop(SHIFT)
    assert best < 0.5 * min(losses.values())


def test_the_baseline_scales_the_shift() -> None:
    """Half the disparity at twice the training baseline moves a frame as far."""
    left, right = _plane(2)
    views = (left[:1].repeat(2, 1, 1, 1), right[:1].repeat(2, 1, 1, 1))
    disparity = torch.cat([_constant(d / WIDTH, 1, 2, HEIGHT, WIDTH) for d in (SHIFT / 2, SHIFT)])
    both = stereo_loss([disparity], views, torch.tensor([2.0, 1.0]))
    one = stereo_loss([disparity[1:]], (left[:1], right[:1]), torch.ones(1))
    torch.testing.assert_close(both['photometric'], one['photometric'])
    swapped = stereo_loss([disparity], views, torch.tensor([1.0, 2.0]))
    assert float(swapped['photometric']) > 2 * float(one['photometric'])


@pytest.mark.parametrize('sharpen', [False, True])
def test_hints_teach_both_views_or_the_left_one_and_where_there_are_none_nothing(
    sharpen: bool,
) -> None:
    views = _random(2, 3, 16, 32)
    batch = _batch(views, views, [True, False], _constant(math.nan, 2, 1, 16, 32))
    weights = Weights(0, 0, 0, hints=0.5, edges=0.5, jumps=0.1, sky=0.1, sharpen=sharpen)
    assert set(depth_loss(_disparities(2, 16, 32), batch, weights)) == {'depth', 'task'}
    batch.hints[0] = 0.02
    predictions = _disparities(2, 16, 32)
    terms = depth_loss(predictions, batch, weights)
    assert set(terms) == {'depth', 'hints', 'edges', 'jumps', 'sky', 'task'}
    terms['task'].backward()
    for prediction in predictions:
        assert prediction.grad is not None and prediction.grad.isfinite().all()
        assert prediction.grad[0, 0].abs().sum() > 0
        assert bool(prediction.grad[0, 1].abs().sum() == 0) is sharpen
        assert prediction.grad[1].abs().sum() == 0


def test_measured_depth_alone_teaches_the_left_view_only() -> None:
    views = _random(2, 3, 16, 32)
    measured = _constant(0.1, 2, 1, 16, 32)
    predictions = _disparities(2, 16, 32)
    terms = depth_loss(predictions, _batch(views, views, [False, False], measured), Weights())
    assert set(terms) == {'depth', 'task'}
    terms['task'].backward()
    for prediction in predictions:
        assert prediction.grad is not None
        assert prediction.grad[:, 0].abs().sum() > 0
        assert prediction.grad[:, 1].abs().sum() == 0


def test_stereo_alone_teaches_both_views() -> None:
    left, right = _plane(2)
    predictions = _disparities(2, HEIGHT, WIDTH)
    nothing = _constant(math.nan, 2, 1, HEIGHT, WIDTH)
    terms = depth_loss(predictions, _batch(left, right, [True, True], nothing), Weights())
    assert set(terms) == {'photometric', 'smoothness', 'consistency', 'depth', 'task'}
    assert terms['depth'].item() == 0
    assert terms['task'].item() > 0
    terms['task'].backward()
    for prediction in predictions:
        assert prediction.grad is not None
        assert (prediction.grad.abs().sum((0, 2, 3)) > 0).all()


def test_crops_without_a_measurement_teach_nothing() -> None:
    views, nothing = _random(2, 3, 16, 32), _constant(math.nan, 2, 1, 16, 32)
    predictions = _disparities(2, 16, 32)
    terms = depth_loss(predictions, _batch(views, views, [False, False], nothing), Weights())
    terms['task'].backward()
    assert terms['task'].item() == 0
    assert predictions[0].grad is not None
    assert float(predictions[0].grad.abs().sum()) == 0


def test_a_mixed_batch_adds_what_each_frame_has() -> None:
    left, right = _plane(3)
    predictions = _disparities(3, HEIGHT, WIDTH)
    measured = _constant(math.nan, 3, 1, HEIGHT, WIDTH)
    measured[1, 0, 4:8] = 0.08
    weights = Weights(photometric=0.5, smoothness=0.3, consistency=0.7, depth=2.0)
    terms = depth_loss(predictions, _batch(left, right, [True, False, True], measured), weights)
    rows = [0, 2]
    stereo = stereo_loss([p[rows] for p in predictions], (left[rows], right[rows]), torch.ones(2))
    for name, value in stereo.items():
        torch.testing.assert_close(terms[name], value * 2 / 3 * getattr(weights, name))
    depth = measured_loss([p[1:2, :1] for p in predictions], measured[1:2])
    torch.testing.assert_close(terms['depth'], 2 * depth)
    parts = sum(value.item() for name, value in terms.items() if name != 'task')
    assert terms['task'].item() == pytest.approx(parts, rel=1e-6)
    terms['task'].backward()
    finest = predictions[0].grad
    assert finest is not None
    assert finest[1, 1].abs().sum() == 0
    assert finest[1, 0, 4:8].abs().min() > 0
    assert finest[1, 0, 8:].abs().sum() == 0


def test_the_right_image_of_a_frame_without_one_is_not_looked_at() -> None:
    left, right = _plane(2)
    predictions = _disparities(2, HEIGHT, WIDTH)
    nothing = _constant(math.nan, 2, 1, HEIGHT, WIDTH)
    found = depth_loss(predictions, _batch(left, right, [True, False], nothing), Weights())
    spoilt = torch.cat([right[:1], torch.full_like(right[1:], math.nan)])
    again = depth_loss(predictions, _batch(left, spoilt, [True, False], nothing), Weights())
    torch.testing.assert_close(found['task'], again['task'], rtol=0, atol=0)


def test_grey_stereo() -> None:
    left, right = (view[:, :1].repeat(1, 3, 1, 1) for view in _plane())
    nothing = _constant(math.nan, 1, 1, HEIGHT, WIDTH)
    found = {}
    for pixels in (SHIFT - 1, SHIFT, SHIFT + 1):
        predictions = [_constant(pixels / WIDTH, 1, 2, HEIGHT, WIDTH)]
        terms = depth_loss(predictions, _batch(left, right, [True], nothing), Weights())
        found[pixels] = float(terms['task'])
    assert min(found, key=found.__getitem__) == SHIFT
