"""Depth that was recorded compressed counts as the raw one does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.info import read_info
from depth_prune_ros.bags.info_lines import info_lines
from depth_prune_ros.bags.losses import collect_findings
from depth_prune_ros.bags.topics import choose_topics
from depth_prune_ros.bags.topics import name_topics
from depth_prune_ros.evaluation.truth import bag_frames
from evaluation_scenes import recorded_depth
import numpy as np
from numpy.typing import NDArray
import pytest
from robot_bags import HEIGHT
from robot_bags import RobotBag
from robot_bags import START_NS
from robot_bags import WIDTH

IMAGE, INFO = '/camera/color/image_raw', '/camera/color/camera_info'
DEPTH = '/camera/aligned_depth_to_color/image_raw'
PACKED = f'{DEPTH}/compressedDepth'
KIND = 'sensor_msgs/msg/CompressedImage'
PNG = '16UC1; compressedDepth png'
MM = np.full((HEIGHT, WIDTH), 2000, np.uint16)
MM[0, 0] = 0
MM[2, 3] = 1500


@pytest.fixture(autouse=True)
def _topics_of_no_other_test() -> Iterator[None]:
    yield
    name_topics()


def packed(values: NDArray[np.uint16]) -> bytes:
    return bytes(12) + bytes(cv2.imencode('.png', values)[1].tobytes())


def rgbd(data: bytes, kind: str = PNG, frame: str = 'cam') -> RobotBag:
    """Make a colour image with compressed depth beside it."""
    bag = RobotBag()
    bag.info(INFO, START_NS)
    bag.image(IMAGE, START_NS)
    header, values = bag.header(START_NS, frame), np.frombuffer(data, np.uint8)
    bag.add(PACKED, KIND, START_NS, header=header, format=kind, data=values)
    return bag


def test_it_is_found_and_has_its_values(tmp_path: Path) -> None:
    (frame,) = read_frames(rgbd(packed(MM)).write(tmp_path / 'bag'))
    assert frame.depth is not None
    assert (frame.depth_source, frame.depth_origin) == ('depth', PACKED)
    assert frame.depth[2, 3] == np.float32(1.5)
    assert frame.depth[5, 7] == np.float32(2)
    assert np.argwhere(np.isnan(frame.depth)).tolist() == [[0, 0]]


def test_it_has_to_be_registered_too(tmp_path: Path) -> None:
    for name, bag, told in (
        (
            'frame',
            rgbd(packed(MM), frame='depth_frame'),
            "in 'depth_frame' are not registered to ",
        ),
        (
            'size',
            rgbd(packed(MM[:, :4])),
            "of 4x6 in 'cam' are not registered to those of 8x6 in ",
        ),
    ):
        with collect_findings() as findings:
            (frame,) = read_frames(bag.write(tmp_path / name))
        assert frame.depth is None
        (warning,) = findings.warnings
        assert f'depth images {told}' in warning
        assert warning.endswith("in 'cam' and are left out")
    name_topics(depth=PACKED)
    (frame,) = read_frames(tmp_path / 'frame')
    assert frame.depth is not None


def test_the_raw_image_goes_before_it(tmp_path: Path) -> None:
    bag = rgbd(packed(MM))
    bag.depth(DEPTH, START_NS, MM + np.uint16(1000))
    (frame,) = read_frames(bag.write(tmp_path / 'bag'))
    assert frame.depth_origin == DEPTH
    assert frame.depth is not None
    assert frame.depth[2, 3] == np.float32(2.5)


def test_one_that_is_damaged_is_lost_alone(tmp_path: Path) -> None:
    with collect_findings() as findings:
        (frame,) = read_frames(rgbd(packed(MM)[:-9]).write(tmp_path / 'bag'))
    assert frame.depth is None
    (loss,) = findings.losses.values()
    assert 'expected a whole PNG of 16 bits a pixel' in loss.damages[0].reason


def test_one_in_another_frame_is_not_even_decoded(tmp_path: Path) -> None:
    with collect_findings() as findings:
        (frame,) = read_frames(rgbd(b'no image', frame='depth_frame').write(tmp_path / 'bag'))
    assert frame.depth is None
    assert not findings.losses


def test_bag_info_offers_it(tmp_path: Path) -> None:
    path = rgbd(packed(MM)).write(tmp_path / 'bag')
    lines = list(info_lines(read_info(path)))
    (depth,) = (line for line in lines if line.startswith('depth'))
    assert f'{PACKED}: 1, frame ' in depth
    assert f'8x6 compressed, {PNG}; ' in depth
    assert f'evaluate: depth-prune evaluate {path} --protocol plain' in lines
    elsewhere = rgbd(packed(MM), frame='depth_frame').write(tmp_path / 'elsewhere')
    options = f'--ground-truth {PACKED} --protocol plain'
    assert f'evaluate: depth-prune evaluate {elsewhere} {options}' in list(
        info_lines(read_info(elsewhere))
    )
    jpeg = rgbd(b'\xff\xd8 \xff\xd9', '16UC1; jpeg compressed ').write(tmp_path / 'jpeg')
    (depth,) = (line for line in info_lines(read_info(jpeg)) if line.startswith('depth'))
    assert depth.endswith('16UC1; jpeg compressed : its first image does not decode as depth')


def test_it_is_ground_truth_by_name_and_can_be_judged(tmp_path: Path) -> None:
    path = rgbd(packed(MM)).write(tmp_path / 'bag')
    (frame,) = bag_frames(path, PACKED).read()
    assert frame.depth is not None
    assert frame.depth[2, 3] == np.float32(1.5)
    (judged,) = recorded_depth(path, PACKED, [frame]).values()
    np.testing.assert_allclose(judged, frame.depth, rtol=1e-6)
    for topic in (PACKED, DEPTH):
        (frame,) = bag_frames(path, '', [topic]).read()
        assert frame.depth is None


def test_what_is_packed_of_a_colour_image_is_neither_camera_nor_depth(tmp_path: Path) -> None:
    image = 'sensor_msgs/msg/Image'
    found = choose_topics(tmp_path, {IMAGE: image, f'{IMAGE}/compressedDepth': KIND})
    assert (found.left, found.depth) == (IMAGE, None)
    found = choose_topics(tmp_path, {'/cam/image': image, '/cam/image/compressedDepth': KIND})
    assert (found.left, found.depth) == ('/cam/image', None)
