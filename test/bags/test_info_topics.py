"""What is said of bags whose topics are named in a misleading way, or named wrongly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.info import read_info
from depth_prune_ros.bags.info_lines import info_lines
from depth_prune_ros.bags.topics import name_topics
from depth_prune_ros.core.errors import BagError
import numpy as np
import pytest
from robot_bags import HEIGHT
from robot_bags import RobotBag
from robot_bags import SECOND
from robot_bags import START_NS
from robot_bags import WIDTH

COLOUR, DEPTH = '/depth_cam/color/image_raw', '/depth_cam/depth/image_raw'


@pytest.fixture(autouse=True)
def _topics_of_no_other_test() -> Iterator[None]:
    yield
    name_topics()


def lines_of(path: Path) -> list[str]:
    return list(info_lines(read_info(path)))


def depth_camera(path: Path, *, frame: str = 'cam') -> Path:
    """Write three frames of a depth camera whose name says so."""
    bag = RobotBag()
    for stamp_ns in range(START_NS, START_NS + 3 * SECOND, SECOND):
        bag.info('/depth_cam/color/camera_info', stamp_ns)
        bag.image(COLOUR, stamp_ns)
        bag.depth(DEPTH, stamp_ns, np.full((HEIGHT, WIDTH), 2, np.float32), frame)
    return bag.write(path)


@pytest.mark.parametrize('left', ['', COLOUR])
def test_the_depth_of_a_camera_called_depth_counts(tmp_path: Path, left: str) -> None:
    path = depth_camera(tmp_path / 'bag')
    name_topics(left=left)
    frames = list(read_frames(path))
    assert [frame.depth_origin for frame in frames] == [DEPTH] * 3
    assert all(frame.depth is not None and (frame.depth == 2).all() for frame in frames)
    lines = lines_of(path)
    assert [line.split()[:2] for line in lines[1:3]] == [
        ['camera', f'{COLOUR}:'],
        ['depth', f'{DEPTH}:'],
    ]
    option = f'--left {left} ' if left else ''
    assert f'evaluate: depth-prune {option}evaluate {path} --protocol plain' in lines


@pytest.mark.parametrize(
    ('field', 'topic', 'wanted'),
    [
        ('lidar', COLOUR, 'sensor_msgs/msg/PointCloud2'),
        ('left_info', DEPTH, 'sensor_msgs/msg/CameraInfo'),
        (
            'left',
            '/depth_cam/color/camera_info',
            'sensor_msgs/msg/Image or sensor_msgs/msg/CompressedImage',
        ),
    ],
)
def test_no_command_repeats_a_topic_of_another_type(
    tmp_path: Path, field: str, topic: str, wanted: str
) -> None:
    path = depth_camera(tmp_path / 'bag')
    name_topics(**{field: topic})
    with pytest.raises(BagError, match=f'{topic}: expected {wanted} for --'):
        next(read_frames(path))
    lines = lines_of(path)
    (said,) = (line for line in lines if line.startswith('left out: '))
    assert said.startswith(f'left out: {topic}: expected {wanted} for --')
    assert f'evaluate: depth-prune evaluate {path} --protocol plain' in lines


def test_depth_that_is_not_there_does_not_count_in_another_frame(tmp_path: Path) -> None:
    path = depth_camera(tmp_path / 'bag', frame='depth')
    name_topics(depth='/gone')
    lines = lines_of(path)
    assert (
        f'evaluate: depth-prune evaluate {path} --ground-truth {DEPTH} --protocol plain' in lines
    )
    (said,) = (line for line in lines if line.startswith('left out: '))
    assert said.startswith('left out: expected topic /gone, found /depth_cam')


def test_the_baseline_is_that_of_the_images_before_they_were_resized(tmp_path: Path) -> None:
    bag = RobotBag()
    for name, tx in (('/left', 0.0), ('/right', -5.0)):
        bag.info(f'{name}/camera_info', START_NS, tx=tx)
        info = bag.messages[-1][3]
        info.width, info.height = 2 * WIDTH, 2 * HEIGHT
        bag.image(f'{name}/image_raw', START_NS)
    path = bag.write(tmp_path / 'bag')
    assert 'baseline: 0.5000 m' in lines_of(path)
    (frame,) = read_frames(path)
    assert frame.baseline_m == pytest.approx(0.5)
    assert frame.camera.fx == pytest.approx(5)
