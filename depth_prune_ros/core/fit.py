"""How large the network's image is for a camera's."""

from __future__ import annotations

from itertools import product
import math

from depth_prune_ros.core.card import ModelCard

Size = tuple[int, int]

# Things half as large as in training have twice the error; a wide lens is worth its pixels.
_MOST = 2
# Training shows crops at the size of the whole: things that look larger are nothing new, but other
# proportions, which multiples make of small images, are.
_ALIKE = 0.06


def matching_size(card: ModelCard, fx_over_width: float, fy_over_height: float) -> Size:
    """
    Return the size at which things look as in training: same proportions, same focal length.

    A network knows how large a car is at 20 m in pixels. So the image is as large as gives it the
    training camera's focal lengths in pixels, across and down: where training stretched its images
    to other proportions, this one is stretched alike. It is smaller where that would be more than
    twice as many pixels, and milliseconds, as of the network's own image.
    A longer lens with the proportions of the network's own image (within 6 %) is seen at its size:
    so KITTI's images cut to 0.77 to 0.5 of their sides have 0.67 to 0.76 of the error that they
    have at the same focal length by depth_tiny, 0.78 to 1.03 by depth_small.

    :param fx_over_width: focal length over width of the camera
    :param fy_over_height: focal length over height
    :return: width and height in multiples of card.size_multiple; the network's own where it has
        no other
    """
    own, step = (card.input_width, card.input_height), card.size_multiple
    if not step:
        return own
    square = card.fx_over_width * own[0] / own[1]
    across = card.fx_over_width / fx_over_width
    down = (card.fy_over_height or square) / fy_over_height
    if across < 1 and abs(math.log(across / down)) < _ALIKE:
        return own
    wide, high = own[0] * across, own[1] * down
    most = _MOST * own[0] * own[1]
    shrink = min(1.0, math.sqrt(most / (wide * high)))
    wide, high = wide * shrink, high * shrink
    near = product(_around(wide, step), _around(high, step))

    def off(size: Size) -> float:
        # nearest side by side: so is the network's own size to its training camera's proportions
        return abs(math.log(size[0] / wide)) + abs(math.log(size[1] / high))

    allowed = [size for size in near if size[0] * size[1] <= most]
    return min(allowed, key=off, default=own)


def _around(side: float, step: int) -> tuple[int, int]:
    below = max(step, int(side / step) * step)
    return below, below + step
