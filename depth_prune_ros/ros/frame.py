"""One image on its way through the network; each step is done when it is first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from functools import lru_cache
import time

from depth_prune_ros.core.camera import centre_window
from depth_prune_ros.core.camera import depth_from_disparity
from depth_prune_ros.core.camera import Window
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.fit import matching_size
from depth_prune_ros.core.images import resize_image
from depth_prune_ros.ros.calibration import Calibration
from depth_prune_ros.ros.calibration import rectified_mask
from depth_prune_ros.ros.messages import limit_depth
from depth_prune_ros.ros.parameters import DepthParameters
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]
# Of the 255 of a pixel that the raw image holds all of.
HALF_SEEN = 128


@dataclass(frozen=True)
class Placement:
    """
    What the network sees of the camera's image, and where its depth is published.

    :param part: what the network sees, in the camera's image
    :param fx_over_width: focal length over width of that part: what scales disparity to depth
    :param published: the camera of what is published
    :param inner: where the network's depth lies in what is published
    """

    part: Window
    fx_over_width: float
    published: Calibration
    inner: Window


@lru_cache(maxsize=8)
def place(camera: Calibration, network: tuple[int, int], fit: str, output_size: str) -> Placement:
    """
    Lay the network's view into a camera's image.

    :param camera: of the image
    :param network: width and height of the network's image
    :param fit: match and stretch show all of the image; crop its centre, in the network's aspect
        ratio
    :param output_size: network publishes the network's image; input the camera's, pixel by pixel
    """
    width, height = network
    part = Window(0, 0, camera.width, camera.height)
    if fit == 'crop':
        part = centre_window(camera.width, camera.height, width / height)
    seen = camera.cropped(part)
    scale = seen.intrinsics.fx_over_width
    if output_size == 'input':
        return Placement(part, scale, camera, part)
    return Placement(part, scale, seen.resized(width, height), Window(0, 0, width, height))


def network_size(camera: Calibration, engine: DepthEngine, fit: str) -> tuple[int, int]:
    """Return width and height of the network's image: its own, or what matches the camera."""
    if fit == 'match':
        seen = camera.intrinsics
        return matching_size(engine.card, seen.fx_over_width, seen.fy_over_height)
    return engine.card.input_width, engine.card.input_height


@lru_cache(maxsize=8)
def unseen(raw: Calibration, part: Window, width: int, height: int) -> NDArray[np.bool_] | None:
    """
    Find where rectifying left an image black, as the camera saw nothing there.

    :param raw: camera of the image before it was rectified
    :param part: of the rectified image
    :param width: what that part is resized to, pixels
    :param height: what that part is resized to, pixels
    :return: bool [height, width]; None where the camera saw all of it
    """
    blank = resize_image(rectified_mask(raw)[part.slices], width, height) < HALF_SEEN
    return blank if blank.any() else None


class DepthFrame:
    """The depth of one image, and what goes with it; nothing is computed in vain."""

    def __init__(
        self,
        image: Bytes,
        camera: Calibration,
        engine: DepthEngine,
        settings: DepthParameters,
        raw: Calibration,
    ) -> None:
        """
        Take an image; :attr:`size` is the width and height at which the network sees it.

        :param image: uint8 [H, W, 3] RGB, rectified
        :param camera: the image's
        :param raw: the camera before rectifying; the very `camera` where nothing was rectified
        """
        self.size = network_size(camera, engine, settings.fit)
        self.placement = place(camera, self.size, settings.fit, settings.output_size)
        self.inference_s = 0.0
        self._image = image
        self._engine = engine
        self._settings = settings
        self._raw = None if raw is camera else raw

    @cached_property
    def depth(self) -> Float:
        """Metres [H, W] of the published image; NaN = none, also where nothing was seen."""
        start = time.perf_counter()
        disparity = self._engine.run(self._fitted)
        self.inference_s = time.perf_counter() - start
        placed, settings = self.placement, self._settings
        # Disparity is what is linear in the image plane, and it has no holes.
        disparity = resize_image(disparity, placed.inner.width, placed.inner.height)
        depth = depth_from_disparity(disparity, self._engine.card.baseline_m, placed.fx_over_width)
        depth = limit_depth(depth, settings.min_depth, settings.max_depth)
        if self._raw is not None:
            blank = unseen(self._raw, placed.part, placed.inner.width, placed.inner.height)
            if blank is not None:
                depth[blank] = np.nan
        shape = (placed.published.height, placed.published.width)
        if depth.shape == shape:
            return depth
        whole = np.full(shape, np.nan, np.float32)
        whole[placed.inner.slices] = depth
        return whole

    @cached_property
    def colours(self) -> Bytes:
        """RGB [H, W, 3] of the published image."""
        return self._image if self._settings.output_size == 'input' else self._fitted

    @cached_property
    def _fitted(self) -> Bytes:
        """Resize what the network sees: once, without another copy."""
        seen = self._image[self.placement.part.slices]
        return resize_image(seen, *self.size)
