"""The dataset: points, flips and crops keep to the geometry; batches keep to the seed."""

from __future__ import annotations

from dataclasses import replace

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.errors import TrainingError
from depth_prune_ros.offline.config import AugmentConfig
from depth_prune_ros.offline.dataset import Dataset
from depth_prune_ros.offline.dataset import TrainingBatch
from depth_prune_ros.offline.losses import warp
from depth_prune_ros.offline.samples import load_samples
from depth_prune_ros.offline.samples import to_sample
import numpy as np
from numpy.typing import NDArray
import pytest
import torch
from torch import Tensor

HEIGHT, WIDTH = 32, 64
BASELINE_M = 0.5
FX = 48.0
SHIFT = 4
# the plane whose disparity is SHIFT pixels
PLANE_M = BASELINE_M * FX / SHIFT
NONE = AugmentConfig(flip=0, colour=0, grey=0, crop=1, blur=0, noise=0)
FLIP = NONE.model_copy(update={'flip': 1})
CROP = NONE.model_copy(update={'crop': 0.5, 'whole': 0})


def _camera(width: int = WIDTH, height: int = HEIGHT) -> Intrinsics:
    return Intrinsics(width, height, FX * width / WIDTH, FX, (width - 1) / 2, (height - 1) / 2)


def _texture(width: int) -> NDArray[np.uint8]:
    """Return a texture smooth enough to be resampled."""
    coarse = np.random.default_rng(2).uniform(40, 215, (5, width // 8 + 2, 3))
    rows, columns = np.linspace(0, 3.99, HEIGHT), np.arange(width) / 8
    r, c = rows.astype(int), columns.astype(int)
    fr, fc = (rows - r)[:, None, None], (columns - c)[None, :, None]
    upper = coarse[r][:, c] * (1 - fc) + coarse[r][:, c + 1] * fc
    lower = coarse[r + 1][:, c] * (1 - fc) + coarse[r + 1][:, c + 1] * fc
    return np.rint(upper * (1 - fr) + lower * fr).astype(np.uint8)


def _plane() -> Frame:
    """Return a textured plane in stereo: left(x) = right(x - SHIFT)."""
    wide = _texture(WIDTH + SHIFT)
    depth = np.full((HEIGHT, WIDTH), PLANE_M, np.float32)
    left, right = wide[:, :WIDTH], wide[:, SHIFT:]
    return Frame(0, left, _camera(), right, BASELINE_M, depth, 'depth')


def _mono(depth: NDArray[np.float32]) -> Frame:
    height, width = depth.shape
    return Frame(0, _texture(width)[:height], _camera(width, height), depth=depth)


def _batch(frame: Frame, augment: AugmentConfig = NONE, number: int = 0) -> TrainingBatch:
    sample = to_sample(frame, (HEIGHT, WIDTH), BASELINE_M, 0)
    assert sample is not None
    dataset = Dataset({'bag': [sample]}, {}, (HEIGHT, WIDTH), BASELINE_M, augment)
    return dataset.batch(number, 1, 0)


def _warp_error(batch: TrainingBatch) -> float:
    """Return the mean error of left(x) = right(x - d) where x - d lies in the image."""
    disparity: Tensor = torch.nan_to_num(batch.disparity, nan=float(batch.disparity.nanmedian()))
    error = (warp(batch.right, -disparity) - batch.left).abs()
    edge = 2 * SHIFT + 2
    return float(error[..., edge:-edge].mean())


def test_depth_comes_back_at_its_own_pixels() -> None:
    depth = np.full((HEIGHT, WIDTH), np.nan, np.float32)
    rng = np.random.default_rng(0)
    measured = rng.random(depth.shape) < 0.3
    depth[measured] = rng.uniform(2, 60, measured.sum())
    with_zero = np.where(measured | (np.arange(WIDTH) % 2 == 0), depth, 0)
    found = _batch(_mono(with_zero)).disparity[0, 0].numpy()
    wanted = BASELINE_M * (FX / WIDTH) / depth
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_depth_of_another_size_lands_where_its_pixels_lie() -> None:
    depth = np.full((96, 192), np.nan, np.float32)
    depth[47, 100] = 12.0
    depth[45, 99] = 9.0
    small = replace(_mono(depth), left=np.zeros((96, 192, 3), np.uint8), camera=_camera(192, 96))
    found = _batch(small).disparity[0, 0].numpy()
    assert np.argwhere(np.isfinite(found)).tolist() == [[15, 33]]
    # the nearer of the two that share a pixel
    assert found[15, 33] == pytest.approx(BASELINE_M * FX / WIDTH / 9.0, rel=1e-5)


def test_images_and_their_shapes() -> None:
    frame = _plane()
    batch = _batch(frame)
    assert batch.left.shape == batch.right.shape == (1, 3, HEIGHT, WIDTH)
    wanted = torch.from_numpy(frame.left / np.float32(255)).permute(2, 0, 1)
    torch.testing.assert_close(batch.left[0], wanted)
    assert batch.has_right.tolist() == [True]
    assert _warp_error(batch) < 0.01


def test_flipping_a_pair_swaps_the_views() -> None:
    frame = _plane()
    batch, assert_close = _batch(frame, FLIP), np.testing.assert_allclose
    assert frame.right is not None
    assert_close(batch.left[0].permute(1, 2, 0).flip(1) * 255, frame.right, atol=1e-4)
    assert_close(batch.right[0].permute(1, 2, 0).flip(1) * 255, frame.left, atol=1e-4)
    assert _warp_error(batch) < 0.01


def test_flipping_a_pair_moves_its_points_into_the_other_view() -> None:
    depth = np.full((HEIGHT, WIDTH), np.nan, np.float32)
    depth[10, 40], depth[20, 2] = PLANE_M, PLANE_M
    found = _batch(replace(_plane(), depth=depth), FLIP).disparity[0, 0]
    # the second point is outside the right view
    assert found.isfinite().nonzero().tolist() == [[10, WIDTH - 1 - (40 - SHIFT)]]
    assert float(found[10, 27]) == pytest.approx(SHIFT / WIDTH, rel=1e-5)


def test_flipping_one_view_mirrors_its_points() -> None:
    depth = np.full((HEIGHT, WIDTH), np.nan, np.float32)
    depth[10, 40] = PLANE_M
    frame = _mono(depth)
    batch = _batch(frame, FLIP)
    assert batch.has_right.tolist() == [False]
    assert batch.disparity[0, 0].isfinite().nonzero().tolist() == [[10, WIDTH - 1 - 40]]
    mirrored = batch.left[0].permute(1, 2, 0).flip(1) * 255
    np.testing.assert_allclose(mirrored, frame.left, atol=1e-4)


def test_a_crop_scales_the_disparity() -> None:
    """The crop's side is read off an image whose red is its column."""
    frame = _plane()
    columns = np.broadcast_to(np.arange(WIDTH, dtype=np.uint8)[:, None] * 4, frame.left.shape)
    ruler = replace(frame, left=columns, right=None)
    sides = []
    for number in range(4):
        left = _batch(ruler, CROP, number).left[0, 0, 0] * 255 / 4
        side = float(left[40] - left[20]) / 20
        sides.append(side)
        batch = _batch(frame, CROP, number)
        wanted = BASELINE_M * FX / WIDTH / side / PLANE_M
        np.testing.assert_allclose(batch.disparity[batch.disparity.isfinite()], wanted, rtol=0.02)
        assert _warp_error(batch) < 0.01
    assert all(0.49 < side < 1.01 for side in sides)
    assert max(sides) - min(sides) > 0.05


@pytest.mark.parametrize(('axis', 'step', 'room'), [(1, 4, 0.06), (0, 7, 0.1)])
def test_points_stay_on_their_pixels_in_a_crop(axis: int, step: int, room: float) -> None:
    """Red and depth both say the column (row) they come from; over many crops they agree."""
    places = np.broadcast_to(np.indices((HEIGHT, WIDTH))[axis, ..., None], (HEIGHT, WIDTH, 3))
    depth = (5 + places[..., 0]).astype(np.float32)
    ruler = Frame(0, (places * step).astype(np.uint8), _camera(), depth=depth)
    apart = []
    for number in range(24):
        batch = _batch(ruler, CROP, number)
        seen = batch.left[0, 0].numpy() * 255 / step
        line = np.moveaxis(seen, axis, 0)[2:-2].mean(1)
        side = float(np.polyfit(np.arange(len(line)), line, 1)[0])
        depth_m = BASELINE_M * FX / WIDTH / side / batch.disparity[0, 0].numpy()
        apart.append(np.nanmean(depth_m - 5 - seen))
    # a point lies anywhere in its pixel: one crop alone is off by up to a quarter of one
    assert np.mean(apart) == pytest.approx(0, abs=room)


def test_a_right_image_of_unknown_baseline_is_left_out() -> None:
    unknown = replace(_plane(), baseline_m=None)
    batch = _batch(unknown)
    assert batch.has_right.tolist() == [False]
    assert batch.baseline_ratio.tolist() == [1.0]
    assert to_sample(replace(unknown, depth=None), (HEIGHT, WIDTH), BASELINE_M, 0) is None


def test_another_baseline_than_the_training_one() -> None:
    """Disparities are for the training baseline; the ratio takes them to the frame's."""
    wide = replace(_plane(), baseline_m=2 * BASELINE_M)
    batch = _batch(wide)
    assert batch.baseline_ratio.tolist() == [2.0]
    np.testing.assert_allclose(batch.disparity, SHIFT / WIDTH, rtol=1e-5)


def test_light_changes_what_the_network_is_shown_and_no_target() -> None:
    plain = _batch(_plane())
    torch.testing.assert_close(plain.image, plain.left, rtol=0, atol=0)
    each = ({'colour': 1}, {'grey': 1}, {'blur': 1}, {'noise': 1})
    for changes in (*each, {name: 1 for change in each for name in change}):
        batch = _batch(_plane(), AugmentConfig.model_validate({**dict(NONE), **changes}))
        for found, wanted in ((batch.left, plain.left), (batch.right, plain.right)):
            torch.testing.assert_close(found, wanted, rtol=0, atol=0)
        assert (batch.image - plain.left).abs().mean() > 0.005
        assert 0 <= batch.image.min() <= batch.image.max() <= 1


def test_light_by_hand() -> None:
    """A gamma and three factors explain every pixel; grey has ITU-R 601's weights."""
    plain = _batch(_plane()).left
    shown = _batch(_plane(), NONE.model_copy(update={'colour': 1})).image
    inside = (shown > 0.02) & (shown < 0.98)
    gammas = []
    for channel in range(3):
        here = inside[:, channel]
        x, y = plain[:, channel][here].log(), shown[:, channel][here].log()
        gamma, factor = np.polyfit(x, y, 1)
        np.testing.assert_allclose(y, gamma * x + factor, atol=1e-3)
        gammas.append(gamma)
    assert np.ptp(gammas) < 1e-3
    assert 0.8 <= gammas[0] <= 1.2
    grey = _batch(_plane(), NONE.model_copy(update={'grey': 1})).image
    torch.testing.assert_close(grey[:, 0], grey[:, 2], rtol=0, atol=0)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    torch.testing.assert_close(grey[:, 0], (plain * weights).sum(1))


def test_blur_and_noise_by_hand() -> None:
    """A Gaussian of 0.5 to 1.5 pixels over an impulse; noise of up to 0.05 on every channel."""
    black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    black[HEIGHT // 2, WIDTH // 2] = 255
    blur, noise = (NONE.model_copy(update={name: 1}) for name in ('blur', 'noise'))
    plain = _batch(_plane()).left
    inside = (plain > 0.2) & (plain < 0.8)
    away = torch.arange(WIDTH) - WIDTH // 2
    deviations, grains = [], []
    for number in range(20):
        shown = _batch(replace(_plane(), left=black), blur, number).image[0, 0]
        assert float(shown.sum()) == pytest.approx(1, abs=0.02)
        deviations.append(float((shown.sum(0) * away**2).sum().sqrt()))
        noisy = _batch(_plane(), noise, number).image
        grains.append(float((noisy - plain)[inside].std()))
        assert abs(float((noisy - plain)[inside].mean())) < 0.1 * grains[-1] + 1e-4
    assert 0.3 < min(deviations) < 0.8 < max(deviations) < 1.6
    assert 0 < min(grains) < 0.02 < 0.03 < max(grains) < 0.055


def _bags(counts: dict[str, int]) -> dict[str, list[Frame]]:
    """Return frames whose grey says their bag: 100 for the first, 101 for the second."""
    depth = np.full((4, 4), 5.0, np.float32)
    return {
        bag: [Frame(0, np.full((4, 4, 3), grey, np.uint8), _camera(4, 4), depth=depth)] * count
        for grey, (bag, count) in enumerate(counts.items(), start=100)
    }


def _dataset(counts: dict[str, int], shares: dict[str, float]) -> Dataset:
    samples = {bag: list(load_samples(f, (8, 8), BASELINE_M)) for bag, f in _bags(counts).items()}
    return Dataset(samples, shares, (8, 8), BASELINE_M, NONE)


@pytest.mark.parametrize(
    ('shares', 'wanted'),
    [
        ({}, [0.6, 0.1, 0.3]),
        ({'street*': 0.2}, [0.8 * 6 / 7, 0.8 / 7, 0.2]),
        ({'street*': 0.2, 'yard': 0.5}, [0.3, 0.5, 0.2]),
        ({'*': 1.0}, [0.6, 0.1, 0.3]),
    ],
)
def test_shares(shares: dict[str, float], wanted: list[float]) -> None:
    dataset = _dataset({'kitti': 6, 'yard': 1, 'street_1': 3}, shares)
    assert dataset.bags == {'kitti': 6, 'yard': 1, 'street_1': 3}
    greys = [float(dataset.batch(n, 1, 0).left[0, 0, 0, 0]) * 255 for n in range(600)]
    counts = np.bincount(np.rint(greys).astype(int) - 100, minlength=3)
    np.testing.assert_allclose(counts / 600, wanted, atol=0.06)


def test_a_share_for_no_bag() -> None:
    with pytest.raises(TrainingError, match=r"'strasse\*' \(in shares\), found kitti, yard"):
        _dataset({'kitti': 2, 'yard': 2}, {'kitti': 0.5, 'strasse*': 0.5})


def test_a_share_of_bags_without_samples() -> None:
    with pytest.raises(TrainingError, match=r"the share 'yard', found none; leave it out"):
        _dataset({'kitti': 2, 'yard': 0}, {'yard': 0.5})
    _dataset({'kitti': 2, 'yard_1': 0, 'yard_2': 1}, {'yard*': 0.5})


@pytest.mark.parametrize('bags', [{}, {'empty': []}])
def test_no_samples(bags: dict[str, list[object]]) -> None:
    with pytest.raises(TrainingError, match='right image or measured depth, found none'):
        Dataset(bags, {}, (8, 8), BASELINE_M, NONE)  # type: ignore[arg-type]


def test_a_batch_is_its_number_and_seed() -> None:
    samples = list(load_samples([_plane()] * 5, (HEIGHT, WIDTH), BASELINE_M))
    dataset = Dataset({'bag': samples}, {}, (HEIGHT, WIDTH), BASELINE_M, AugmentConfig())
    first = dataset.batch(3, 2, 7)
    dataset.batch(4, 2, 7)
    again = dataset.batch(3, 2, 7)
    assert torch.equal(first.left, again.left)
    assert torch.equal(first.right, again.right)
    torch.testing.assert_close(first.disparity, again.disparity, rtol=0, atol=0, equal_nan=True)
    for other in (dataset.batch(4, 2, 7), dataset.batch(3, 2, 8)):
        assert not torch.equal(first.left, other.left)
