"""How good a network is on frames with measured depth, while it is trained."""

from __future__ import annotations

from dataclasses import dataclass

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.images import resize_image
from depth_prune_ros.core.metrics import DepthMetrics
from depth_prune_ros.core.metrics import evaluate_frame
from depth_prune_ros.core.metrics import mean_metrics
from depth_prune_ros.core.metrics import protocol as find_protocol
from depth_prune_ros.offline.networks.base import DepthNetwork
import numpy as np
from numpy.typing import NDArray
import torch


@dataclass(frozen=True)
class Preview:
    """
    What a network makes of one frame.

    :param image: uint8 [H, W, 3] RGB as the network is shown it
    :param disparity: float32 [H, W] fractions of the width, for the training baseline
    :param truth: float32 [h, w] measured depth, metres, NaN = none
    :param fx_over_width: of the frame's camera
    :param baseline_m: the training baseline
    """

    image: NDArray[np.uint8]
    disparity: NDArray[np.float32]
    truth: NDArray[np.float32]
    fx_over_width: float
    baseline_m: float


def preview(
    network: DepthNetwork, frame: Frame, size: tuple[int, int], baseline_m: float
) -> Preview:
    """Return what a network makes of a frame with measured depth."""
    truth = np.zeros((1, 1), np.float32) * np.nan if frame.depth is None else frame.depth
    image = resize_image(frame.left, size[1], size[0])
    scale = frame.camera.fx_over_width
    return Preview(image, _disparity(network, image), truth, scale, baseline_m)


def validate(
    network: DepthNetwork,
    frames: list[Frame],
    size: tuple[int, int],
    baseline_m: float,
    protocol: str,
) -> DepthMetrics:
    """Return the mean metrics of a network over frames with measured depth, by a protocol."""
    rows: list[DepthMetrics] = []
    rules = find_protocol(protocol)
    for frame in frames:
        if frame.depth is None:
            continue
        disparity = _disparity(network, resize_image(frame.left, size[1], size[0]))
        scale = frame.camera.fx_over_width
        found = evaluate_frame(frame.depth, disparity, baseline_m, scale, rules)
        if found is not None:
            rows.append(found)
    return mean_metrics(rows)


def _disparity(network: DepthNetwork, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    shown = torch.tensor(image).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        found: NDArray[np.float32] = network(shown)[0][0, 0].numpy()
    return found
