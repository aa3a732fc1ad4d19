"""How good a network is on frames with measured depth, while it is trained."""

from __future__ import annotations

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.images import resize_image
from depth_prune_ros.core.metrics import DepthMetrics
from depth_prune_ros.core.metrics import EIGEN
from depth_prune_ros.core.metrics import evaluate_frame
from depth_prune_ros.core.metrics import mean_metrics
from depth_prune_ros.offline.networks.base import DepthNetwork
import torch


def validate(
    network: DepthNetwork, frames: list[Frame], size: tuple[int, int], baseline_m: float
) -> DepthMetrics:
    """Return the mean Eigen-protocol metrics of a network over frames with measured depth."""
    rows: list[DepthMetrics] = []
    for frame in frames:
        if frame.depth is None:
            continue
        image = torch.tensor(resize_image(frame.left, size[1], size[0]))
        with torch.no_grad():
            disparity = network(image.permute(2, 0, 1)[None].float() / 255)[0][0, 0].numpy()
        scale = frame.camera.fx_over_width
        found = evaluate_frame(frame.depth, disparity, baseline_m, scale, EIGEN)
        if found is not None:
            rows.append(found)
    return mean_metrics(rows)
