"""
Depth metrics, crops, caps and switches, each defined here and nowhere else.

The seven depth metrics are those of Eigen, Puhrsch, Fergus (NIPS 2014), the crop is that of
Garg et al. (ECCV 2016), D1-all is that of KITTI 2015 (Menze, Geiger, CVPR 2015), flip
post-processing is that of Godard et al. (CVPR 2017), median scaling that of Zhou et al. (CVPR
2017). Which lidar points a camera cannot see is said in :mod:`depth_prune_ros.core.occlusion`.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from typing import Literal

import cv2
from depth_prune_ros.core.camera import depth_from_disparity
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.errors import ImageError
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Garg et al.: top, bottom, left, right as fractions of the image, sky and bonnet left out.
GARG_CROP = (0.40810811, 0.99189189, 0.03594771, 0.96405229)
D1_PIXELS = 3.0
D1_FRACTION = 0.05
# Stands for no disparity at all: finite, so that a median exists, and beyond every cap.
_INFINITELY_FAR = np.float32(1e-9)


@dataclass(frozen=True)
class DepthMetrics:
    """
    The seven usual figures of predicted depth p against true depth d, over n pixels.

    :param abs_rel: mean |d - p| / d
    :param sq_rel: mean (d - p)^2 / d, metres
    :param rmse: sqrt(mean (d - p)^2), metres
    :param rmse_log: sqrt(mean (ln d - ln p)^2)
    :param a1: fraction of pixels with max(d / p, p / d) < 1.25
    :param a2: the same below 1.25^2
    :param a3: the same below 1.25^3
    """

    abs_rel: float
    sq_rel: float
    rmse: float
    rmse_log: float
    a1: float
    a2: float
    a3: float


@dataclass(frozen=True)
class Protocol:
    """
    Which pixels count, and what is done to the prediction first.

    :param name: what :func:`protocol` finds it by
    :param min_depth_m: only ground truth beyond this counts; predictions are raised to it
    :param max_depth_m: only ground truth nearer than this counts; predictions are capped to it
    :param crop: 'garg' or None for the whole image
    :param median_scaling: multiply each prediction by median(truth) / median(prediction) over
        the pixels that count (Zhou et al. 2017): judges the shape of the depth, not its scale
    :param known_baseline: multiply each prediction by (the bag's stereo baseline) / (the one the
        network was trained with): reads the network's disparity as that of the stereo camera at
        hand, as Monodepth's evaluation does; without it the training baseline makes the metres
    :param flip: :func:`flip_post_process` the disparities of the image and of its mirror image
    :param drop_occluded: leave out lidar points that the camera does not see
    :param needs_disparity: judge only with a stereo baseline, which D1-all is defined by
    """

    name: str
    min_depth_m: float = 1e-3
    max_depth_m: float = 80.0
    crop: Literal['garg'] | None = None
    median_scaling: bool = False
    known_baseline: bool = False
    flip: bool = False
    drop_occluded: bool = False
    needs_disparity: bool = False


EIGEN = Protocol('eigen', crop='garg')
EIGEN_50 = Protocol('eigen_50', max_depth_m=50.0, crop='garg')
# For KITTI's accumulated depth (Uhrig et al., 3DV 2017), which has no points on the bonnet.
EIGEN_BENCHMARK = Protocol('eigen-benchmark')
# The 200 training images of KITTI 2015, as Godard et al. judge them: every pixel up to 80 m.
KITTI_2015 = Protocol('kitti2015', needs_disparity=True)
PLAIN = Protocol('plain')
PROTOCOLS = {p.name: p for p in (EIGEN, EIGEN_50, EIGEN_BENCHMARK, KITTI_2015, PLAIN)}
_OTHER_NAMES = {'eigen50': 'eigen_50', 'eigen_benchmark': 'eigen-benchmark'}
# What a user calls the switches of a protocol.
SWITCHES = ('median', 'baseline', 'flip', 'keep-occluded')


def protocol(name: str) -> Protocol:
    """
    Find a protocol by its name.

    :raises ConfigError: no protocol has that name
    """
    known = _OTHER_NAMES.get(name, name)
    if known not in PROTOCOLS:
        msg = f'expected a protocol out of {", ".join(PROTOCOLS)}, found {name!r}'
        raise ConfigError(msg)
    return PROTOCOLS[known]


def with_switches(rules: Protocol, switches: Collection[str]) -> Protocol:
    """
    Set a protocol's switches; what is not named is off, and occluded points are dropped.

    :param switches: of SWITCHES
    :raises ConfigError: no switch has that name
    """
    unknown = [name for name in switches if name not in SWITCHES]
    if unknown:
        msg = f'expected a switch out of {", ".join(SWITCHES)}, found {unknown[0]!r}'
        raise ConfigError(msg)
    return replace(
        rules,
        median_scaling='median' in switches,
        known_baseline='baseline' in switches,
        flip='flip' in switches,
        drop_occluded='keep-occluded' not in switches,
    )


def crop_box(height: int, width: int, crop: Literal['garg'] | None) -> tuple[int, int, int, int]:
    """
    Return the part of an image that counts, fractions of a pixel cut off.

    :return: top, bottom, left, right; bottom and right are the first row and column outside
    """
    if crop is None:
        return 0, height, 0, width
    top, bottom, left, right = GARG_CROP
    return int(top * height), int(bottom * height), int(left * width), int(right * width)


def valid_pixels(gt: Float, rules: Protocol) -> Mask:
    """
    Mark the pixels that a protocol judges: inside its crop and min < ground truth < max.

    :param gt: [H, W] metres, NaN = none
    :return: bool [H, W]
    """
    top, bottom, left, right = crop_box(gt.shape[0], gt.shape[1], rules.crop)
    mask = np.zeros(gt.shape, np.bool_)
    inside = gt[top:bottom, left:right]
    mask[top:bottom, left:right] = (inside > rules.min_depth_m) & (inside < rules.max_depth_m)
    return mask


def depth_metrics(gt: Float, prediction: Float) -> DepthMetrics:
    """
    Compare depths pixel by pixel; the formulas stand in :class:`DepthMetrics`.

    :param gt: [N] metres, all finite and above 0
    :param prediction: [N] metres, all finite and above 0
    :raises ImageError: the arrays differ in shape, are empty or not one-dimensional
    """
    if gt.ndim != 1 or gt.shape != prediction.shape or not gt.size:
        msg = (
            'expected two equally long rows of at least one depth, found shapes '
            f'{gt.shape} and {prediction.shape}'
        )
        raise ImageError(msg)
    true, guess = gt.astype(np.float64), prediction.astype(np.float64)
    square = (true - guess) ** 2
    ratio = np.maximum(true / guess, guess / true)
    return DepthMetrics(
        abs_rel=float(np.mean(np.abs(true - guess) / true)),
        sq_rel=float(np.mean(square / true)),
        rmse=float(np.sqrt(np.mean(square))),
        rmse_log=float(np.sqrt(np.mean((np.log(true) - np.log(guess)) ** 2))),
        a1=float(np.mean(ratio < 1.25)),
        a2=float(np.mean(ratio < 1.25**2)),
        a3=float(np.mean(ratio < 1.25**3)),
    )


def resize_disparity(disparity: Float, height: int, width: int) -> Float:
    """
    Resize disparity bilinearly; fractions of the width keep their values.

    Where there is none (NaN, or not above 0) it counts as 0, infinitely far: a prediction
    cannot raise its figures by leaving out hard pixels.

    :param disparity: [h, w] fractions of the image width
    :return: float32 [height, width]
    """
    known = np.where(disparity > 0, disparity, 0).astype(np.float32)
    return np.asarray(cv2.resize(known, (width, height), interpolation=cv2.INTER_LINEAR))


def evaluate_frame(
    gt: Float, disparity: Float, baseline_m: float, fx_over_width: float, rules: Protocol
) -> DepthMetrics | None:
    """
    Judge one prediction: resize the disparity, turn it into depth, clip, compare.

    depth = baseline * fx_over_width / disparity, clipped to the protocol's range. A prediction
    that is depth already goes through :func:`depth_prune_ros.core.camera.disparity_from_depth`
    with the same baseline and camera first, so that it is resized the same way.

    :param gt: [H, W] metres, NaN = none
    :param disparity: [h, w] fractions of the image width, any size
    :param baseline_m: the baseline that the disparity refers to
    :param fx_over_width: focal length over width of the camera that took the image
    :return: None where the protocol leaves no pixel to judge
    """
    mask = valid_pixels(gt, rules)
    if not mask.any():
        return None
    resized = resize_disparity(disparity, *gt.shape)[mask]
    depth, _ = judged_depth(gt[mask], resized, baseline_m * fx_over_width, rules)
    return depth_metrics(gt[mask], depth)


def judged_depth(
    gt: Float, disparity: Float, baseline_fx: float, rules: Protocol
) -> tuple[Float, float]:
    """
    Turn the disparity of the pixels that count into the depth that is judged there.

    :param gt: [N] metres, of the pixels that count
    :param disparity: [N] fractions of the image width; not above 0 = infinitely far
    :param baseline_fx: baseline in metres times focal length over width
    :return: [N] metres, scaled where the protocol scales, then clipped to its range; and what
        they were multiplied by: median(gt) / median(depth) with median scaling, else 1
    """
    depth = depth_from_disparity(np.maximum(disparity, _INFINITELY_FAR), baseline_fx, 1.0)
    factor = float(np.median(gt) / np.median(depth)) if rules.median_scaling else 1.0
    return np.clip(depth * np.float32(factor), rules.min_depth_m, rules.max_depth_m), factor


def flip_post_process(disparity: Float, mirrored: Float) -> Float:
    """
    Join the disparities of an image and of its mirror image, as Godard et al. (section 3.4) do.

    A network trained on left images does not know what lies behind the left edges of things, nor
    beyond the image's left border; in the mirror image these are right edges. With x from 0 to 1
    across the image, l = the disparity, r = the mirrored one turned back:
    left(x) = 1 - clip(20 (x - 0.05), 0, 1) and right(x) = left(1 - x);
    result = right * l + left * r + (1 - left - right) * (l + r) / 2:
    the mean but for ramps from 5 to 10 % off both borders, the mirrored one at the left border,
    the plain one at the right (their post_process_disparity).

    :param disparity: [h, w] of the image
    :param mirrored: [h, w] of the mirror image, as the network gave it, not turned back
    """
    back = mirrored[:, ::-1]
    x = np.linspace(0.0, 1.0, disparity.shape[1])
    left = 1.0 - np.clip(20.0 * (x - 0.05), 0.0, 1.0)
    right = left[::-1]
    joined = right * disparity + left * back + (1.0 - left - right) * 0.5 * (disparity + back)
    return np.asarray(joined, np.float32)


def d1_all(gt_disparity_px: Float, disparity_px: Float) -> float | None:
    """
    Return KITTI 2015's D1-all: % of pixels with |error| >= 3 px and >= 5 % of the truth.

    :param gt_disparity_px: [H, W] pixels; NaN or not above 0 = none
    :param disparity_px: [H, W] pixels; NaN counts as 0
    :return: None where no pixel has a true disparity
    """
    mask = gt_disparity_px > 0
    if not mask.any():
        return None
    true = gt_disparity_px[mask].astype(np.float64)
    error = np.abs(true - np.nan_to_num(disparity_px[mask].astype(np.float64), nan=0.0))
    return float(100 * np.mean((error >= D1_PIXELS) & (error >= D1_FRACTION * true)))


def mean_metrics(frames: Sequence[DepthMetrics]) -> DepthMetrics:
    """
    Average over images, each image weighing the same (as Eigen et al. do).

    :raises ImageError: there are no images
    """
    if not frames:
        msg = 'expected the metrics of at least one image, found none'
        raise ImageError(msg)
    rows = [asdict(frame) for frame in frames]
    return DepthMetrics(**{key: float(np.mean([row[key] for row in rows])) for key in rows[0]})
