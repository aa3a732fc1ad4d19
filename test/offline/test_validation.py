"""Validation: metrics of a network while it is trained."""

from __future__ import annotations

from dataclasses import replace

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.metrics import crop_box
from depth_prune_ros.offline.networks.catalogue import build
from depth_prune_ros.offline.validation import validate
import numpy as np
import pytest
from tiny_networks import constant_network
from tiny_networks import narrow
from tiny_networks import randomise

HEIGHT, WIDTH = 32, 64
CAMERA = Intrinsics(WIDTH, HEIGHT, 48.0, 48.0, 31.5, 15.5)


def _frames(count: int) -> list[Frame]:
    """Return frames of noise before a plane at 6 m."""
    depth = np.full((HEIGHT, WIDTH), 6, np.float32)
    images = np.random.default_rng(1).integers(0, 256, (count, HEIGHT, WIDTH, 3), dtype=np.uint8)
    return [Frame(i, image, CAMERA, depth=depth) for i, image in enumerate(images)]


@pytest.mark.parametrize('baseline_m', [None, 1.0])
def test_validation_by_hand(baseline_m: float | None) -> None:
    """
    A constant disparity of 0.05 is 7.5 m: 25 % beyond a plane at 6 m, whatever the image.

    It is of the training's baseline, whatever that of the frames.
    """
    frames = [replace(frame, baseline_m=baseline_m) for frame in _frames(2)]
    found = validate(constant_network(0.05), frames, (HEIGHT, WIDTH), 0.5, 'eigen')
    depth = 0.5 * 48 / WIDTH / 0.05
    assert found.abs_rel == pytest.approx((depth - 6) / 6, rel=1e-4)
    assert found.rmse == pytest.approx(depth - 6, rel=1e-4)
    assert found.a2 == 1.0


def test_the_protocol_says_which_pixels_count() -> None:
    """What eigen crops away is at 15 m here, where the network says 7.5 m."""
    (frame,) = _frames(1)
    depth = np.full((HEIGHT, WIDTH), 15, np.float32)
    top, bottom, left, right = crop_box(HEIGHT, WIDTH, 'garg')
    depth[top:bottom, left:right] = 6
    inside = (bottom - top) * (right - left) / (HEIGHT * WIDTH)
    frames = [replace(frame, depth=depth)]
    by = {
        name: validate(constant_network(0.05), frames, (HEIGHT, WIDTH), 0.5, name).abs_rel
        for name in ('eigen', 'plain')
    }
    assert by['eigen'] == pytest.approx(0.25, rel=1e-4)
    assert by['plain'] == pytest.approx(0.25 * inside + 0.5 * (1 - inside), rel=1e-4)


def test_validation_takes_images_of_the_network_size_as_bags_give_them() -> None:
    """Such an image is the message's own memory, which cannot be written to."""
    network = build('mobilenet', narrow('mobilenet', 3)).eval()
    randomise(network, 5)
    writable, frozen = _frames(1), _frames(1)
    frozen[0].left.flags.writeable = False
    found, wanted = (
        validate(network, frames, (HEIGHT, WIDTH), 0.5, 'eigen') for frames in (frozen, writable)
    )
    assert found == wanted
