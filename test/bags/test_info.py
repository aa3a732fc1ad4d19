"""What a bag of an unknown layout is said to hold, and what can be done with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import shlex

from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.info import read_info
from depth_prune_ros.bags.info_lines import info_lines
from depth_prune_ros.bags.losses import collect_findings
from depth_prune_ros.bags.topics import name_topics
import numpy as np
import pytest
from robot_bags import RobotBag
from robot_bags import SECOND
from robot_bags import START_NS


@pytest.fixture(autouse=True)
def _topics_of_no_other_test() -> Iterator[None]:
    yield
    name_topics()


def robot(*cameras: str, lidar: bool = True, connected: bool = True) -> RobotBag:
    """Make cameras at 2 Hz, and a lidar that may be connected with them."""
    bag = RobotBag()
    if connected:
        bag.tf(START_NS, 'base', 'cam', (0, 0, 0), (0, 0, 0, 1))
        bag.tf(START_NS, 'base', 'lidar', (0, 0, 0), (0, 0, 0, 1))
    for number in range(5):
        stamp_ns = START_NS + number * SECOND // 2
        for index, name in enumerate(cameras):
            bag.info(f'{name}/camera_info', stamp_ns, tx=-5.0 * index)
            bag.image(f'{name}/image_raw', stamp_ns)
        if lidar:
            points = np.zeros((1, 2), [(axis, '<f4') for axis in 'xyz'])
            points['z'] = 10
            bag.cloud('/scan', stamp_ns, points)
    return bag


def lines_of(path: Path, *, check: bool = False) -> dict[str, str]:
    """Return the lines by their first word; the later one of two stays."""
    lines = info_lines(read_info(path, check=check))
    return {line.split()[0].rstrip(':'): line for line in lines}


def test_a_stereo_camera_with_lidar_can_do_everything(tmp_path: Path) -> None:
    path = robot('/left', '/right').write(tmp_path / 'bag')
    found = lines_of(path, check=True)
    assert found['camera'] == (
        "camera  /right/image_raw: 5 at 2.0 Hz, frame 'cam', 8x6 mono8; /right/camera_info: "
        'fx 10.0, fy 10.0, cx 3.5, cy 2.5, no distortion'
    )
    assert found['lidar'] == (
        "lidar   /scan: 5 at 2.0 Hz, frame 'lidar', 2 points; lidar -> base -> cam"
    )
    assert found['baseline'] == 'baseline: 0.5000 m'
    assert found['checked'] == 'checked: 5 frames, 5 with right image, 5 with ground truth'
    assert found['evaluate'] == f'evaluate: depth-prune evaluate {path} --protocol plain'
    assert found['train'] == f'train: depth-prune train --bags {path} --out runs/bag'
    assert found['replay'] == f'replay: depth-prune replay {path} --protocol plain'


@pytest.mark.parametrize('named', ['.', '..', '../../garden.v2'])
def test_a_run_is_called_after_the_bag_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    path = robot('/cam').write(tmp_path / 'garden.v2')
    inside = path if named == '.' else path / 'sub'
    inside.mkdir(exist_ok=True)
    monkeypatch.chdir(inside)
    line = lines_of(Path(named))['train']
    assert line == f'train: depth-prune train --bags {named} --out runs/garden.v2'


def test_depth_in_another_frame_is_no_hint_where_there_is_a_lidar(tmp_path: Path) -> None:
    bag = robot('/cam')
    bag.depth('/depth/image', START_NS, np.full((6, 8), 2, np.float32), 'depth_frame')
    path = bag.write(tmp_path / 'bag')
    found = lines_of(path)
    assert found['evaluate'] == f'evaluate: depth-prune evaluate {path} --protocol plain'
    assert 'hint' not in found


def test_kittis_bags_are_judged_by_its_protocol(tmp_path: Path) -> None:
    path = robot('/kitti/camera_color_left').write(tmp_path / 'bag')
    assert lines_of(path)['evaluate'] == f'evaluate: depth-prune evaluate {path}'


def test_among_several_cameras_one_has_to_be_named(tmp_path: Path) -> None:
    path = robot('/front', '/back').write(tmp_path / 'bag')
    found = lines_of(path)
    assert 'nothing chosen: expected one camera, found /back/image_raw, ' in found['nothing']
    options = '--left /back/image_raw --left-info /back/camera_info'
    assert found['evaluate'].startswith('evaluate: missing ground truth')
    assert found['replay'] == f'replay: depth-prune {options} replay {path} --protocol plain'
    name_topics(left='/back/image_raw')
    found = lines_of(path)
    options = '--left /back/image_raw'
    assert found['evaluate'] == (
        f'evaluate: depth-prune {options} evaluate {path} --protocol plain'
    )
    (frame, *_) = read_frames(path)
    assert frame.depth_source == 'lidar'


def test_a_lidar_without_a_chain_is_left_out_by_the_options(tmp_path: Path) -> None:
    path = robot('/left', '/right', connected=False).write(tmp_path / 'bag')
    found = lines_of(path)
    assert 'no chain in /tf_static to the frame of /left/image_raw' in found['lidar']
    assert found['evaluate'].startswith('evaluate: missing ground truth')
    command = f'depth-prune --lidar none train --bags {path} --out runs/bag'
    assert found['train'] == f'train: {command}'
    name_topics(lidar='none')
    assert len(list(read_frames(path))) == 5


def test_images_that_nothing_here_reads_are_offered_to_no_command(tmp_path: Path) -> None:
    bag = robot('/cam')
    for message in bag.messages:
        if message[1] == '/cam/image_raw':
            message[3].encoding = 'nv12'
    found = lines_of(bag.write(tmp_path / 'bag'))
    for command in ('evaluate', 'train', 'replay'):
        assert found[command] == f'{command}: missing a camera whose encoding is read here'


def test_the_baseline_of_a_right_camera_of_another_focal_length(tmp_path: Path) -> None:
    bag = robot('/left', lidar=False)
    for number in range(5):
        stamp_ns = START_NS + number * SECOND // 2
        bag.info('/right/camera_info', stamp_ns, fx=20.0, tx=-10.0)
        bag.image('/right/image_raw', stamp_ns)
    assert read_info(bag.write(tmp_path / 'bag')).baseline_m == 0.5


def test_what_is_missing_of_the_calibration_is_said(tmp_path: Path) -> None:
    bag = robot('/cam', lidar=False)
    for message in bag.messages:
        if message[1] == '/cam/camera_info':
            message[3].d = np.array([0.1, -0.25, 0, 0, 0])
    found = lines_of(bag.write(tmp_path / 'distorted'))
    assert 'distortion plumb_bob, up to 0.25: rectify' in found['camera']
    assert found['train'].startswith('train: missing a right camera with baseline, or ground')
    bag = robot('/cam', lidar=False)
    bag.messages = [message for message in bag.messages if 'info' not in message[1]]
    found = lines_of(bag.write(tmp_path / 'bare'))
    assert found['camera'].endswith('no camera_info')
    assert found['train'].startswith('train: missing a camera with camera_info')
    assert found['replay'] == 'replay: missing a camera with camera_info that is calibrated'
    bag = robot('/left', '/right')
    for message in bag.messages:
        if message[1] == '/left/camera_info':
            message[3].k, message[3].p = np.zeros(9), np.zeros(12)
    found = lines_of(bag.write(tmp_path / 'half'))
    assert found['replay'] == 'replay: missing a camera with camera_info that is calibrated'
    bag = RobotBag()
    bag.info('/cam/camera_info', START_NS, fx=0.0)
    bag.image('/cam/image_raw', START_NS)
    found = lines_of(bag.write(tmp_path / 'uncalibrated'), check=True)
    assert found['camera'].endswith('/cam/camera_info: not calibrated')
    assert 'checked: 0 frames' in found['checked']
    assert 'calibrate the camera' in found['checked']


def with_depth(topic: str, frame: str) -> RobotBag:
    """Make a camera and depth images of its size."""
    bag = robot('/cam/color', lidar=False)
    for number in range(5):
        values = np.full((6, 8), 2, np.float32)
        bag.depth(topic, START_NS + number * SECOND // 2, values, frame)
    return bag


def test_depth_that_is_registered_is_ground_truth(tmp_path: Path) -> None:
    path = with_depth('/cam/depth/image', 'cam').write(tmp_path / 'bag')
    found = lines_of(path)
    assert '8x6 32FC1' in found['depth']
    assert found['evaluate'] == f'evaluate: depth-prune evaluate {path} --protocol plain'
    assert found['train'].startswith('train: depth-prune train')


def test_depth_in_another_frame_is_named_and_counts_then(tmp_path: Path) -> None:
    path = with_depth('/cam/depth/image', 'depth').write(tmp_path / 'bag')
    found = lines_of(path)
    option = '--ground-truth /cam/depth/image'
    assert found['evaluate'] == f'evaluate: depth-prune evaluate {path} {option} --protocol plain'
    assert found['replay'] == f'replay: depth-prune replay {path} {option} --protocol plain'
    assert "is in the frame 'depth', the camera in 'cam'" in found['hint']
    assert found['train'].startswith('train: missing')
    name_topics(depth='/cam/depth/image')
    command = f'depth-prune --depth /cam/depth/image evaluate {path} --protocol plain'
    assert lines_of(path)['evaluate'] == f'evaluate: {command}'


def test_depth_of_the_node_itself_measures_nothing(tmp_path: Path) -> None:
    path = with_depth('/robot/depth_node/depth', 'cam').write(tmp_path / 'bag')
    found = lines_of(path, check=True)
    assert found['depth'].startswith('depth   /robot/depth_node/depth: 5')
    assert found['evaluate'].startswith('evaluate: missing ground truth')
    assert found['checked'] == 'checked: 5 frames, 0 with right image, 0 with ground truth'


def test_disparity_is_listed_with_the_option_to_write(tmp_path: Path) -> None:
    bag = robot('/left', lidar=False)
    bag.disparity('/stereo/disparity', START_NS, np.full((6, 8), 5, np.float32))
    path = bag.write(tmp_path / "a bag's")
    found = lines_of(path)
    assert found['disparity'] == (
        "disparity  /stereo/disparity: 1, frame 'cam', 8x6; f 100.0, baseline 0.5000 m"
    )
    assert 'other topics' not in ' '.join(found.values())
    words = shlex.split(found['evaluate'])
    assert words[2:6] == ['evaluate', str(path), '--ground-truth', '/stereo/disparity']
    assert shlex.split(found['replay'])[2:4] == ['replay', str(path)]


def test_a_damaged_bag_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    path = robot('/left', '/right').write_mcap(tmp_path / 'a.mcap', chunk_size=500)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
    with collect_findings() as findings:
        found = lines_of(path, check=True)
    assert 0 < findings.losses[path].frames_read < 5  # type: ignore[operator]
    assert f'checked: {findings.losses[path].frames_read} frames' in found['checked']
    assert 'depth-prune train' in found['train']
