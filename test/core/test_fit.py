"""The size at which a network sees a camera's image."""

from __future__ import annotations

from dataclasses import replace

from depth_prune_ros.core.fit import matching_size
import pytest
from tiny_model import CARD

# as the shipped network: KITTI's camera, 372 px of focal length at 640 columns
KITTI = replace(
    CARD, input_width=640, input_height=192, fx_over_width=721.5377 / 1242, size_multiple=32
)


@pytest.mark.parametrize(
    ('camera', 'fx', 'expected'),
    [
        ((1242, 375), 721.5, (640, 192)),
        ((1224, 370), 707.0, (640, 192)),
        # a part of the image, as a camera with a smaller sensor: the same scale
        ((500, 375), 721.5, (256, 192)),
        ((1242, 187), 721.5, (640, 96)),
        # twice the focal length shows half as much: half the size; the whole in own proportions
        ((500, 375), 2 * 721.5, (128, 96)),
        ((1242, 375), 2 * 721.5, (640, 192)),
        ((1242, 395), 2 * 721.5, (640, 192)),
        ((1242, 397), 2 * 721.5, (320, 96)),
        ((1242, 345), 2 * 721.5, (320, 96)),
        # wider lenses: more pixels, but not more than twice the network's
        ((640, 480), 457.0, (512, 384)),
        ((1280, 720), 640.0, (640, 384)),
        ((1242, 375), 0.72 * 721.5, (896, 256)),
        ((1280, 720), 300.0, (640, 384)),
        # never below one step
        ((500, 375), 40 * 721.5, (32, 32)),
    ],
)
def test_the_size_follows_proportions_and_focal_length(
    camera: tuple[int, int], fx: float, expected: tuple[int, int]
) -> None:
    size = matching_size(KITTI, fx / camera[0], fx / camera[1])
    assert size == expected
    assert size[0] * size[1] <= 2 * 640 * 192


def test_pixels_that_are_not_square_are_made_so() -> None:
    """An image of KITTI, brought to 640x480 on its way."""
    assert matching_size(KITTI, 721.5 / 1242, 721.5 / 375) == (640, 192)


def test_the_training_camera_has_the_networks_own_size() -> None:
    """Also where multiples have made its proportions others than the camera's, as depth_tiny's."""
    card = replace(KITTI, input_width=384, input_height=128)
    assert matching_size(card, 721.5 / 1242, 721.5 / 375) == (384, 128)
    assert matching_size(card, 721.5 / 500, 721.5 / 375) == (160, 128)


def test_images_are_stretched_as_training_stretched_its_own() -> None:
    """Trained on 640x480 images brought to 640x192: across 384 px of focal length, down 154."""
    card = replace(KITTI, fx_over_width=0.6, fy_over_height=0.8)
    assert matching_size(card, 0.6, 0.8) == (640, 192)
    # the upper and lower quarter cut off; the left and right one
    assert matching_size(card, 0.6, 1.6) == (640, 96)
    assert matching_size(card, 1.2, 0.8) == (320, 192)
    # a longer lens of the same proportions, and a wider one
    assert matching_size(card, 1.2, 1.6) == (640, 192)
    assert matching_size(card, 0.5, 0.8 / 1.2) == (768, 224)


def test_a_file_of_one_size_has_no_other() -> None:
    assert matching_size(replace(KITTI, size_multiple=0), 1.0, 1.0) == (640, 192)


def test_a_network_smaller_than_its_step_keeps_its_own_size() -> None:
    """No allowed size is found where even one step has more pixels than the network's image."""
    card = replace(KITTI, input_width=32, input_height=32)
    assert matching_size(card, 0.5, 0.00125) == (32, 32)
