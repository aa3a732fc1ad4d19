"""Ground truth from a depth topic, stereo disparity and KITTI's PNGs, each with known depth."""

from __future__ import annotations

from pathlib import Path

import cv2
from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.bags.topics import name_topics
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.evaluation.truth import bag_frames
from evaluation_scenes import camera_topics
from evaluation_scenes import depth_stream
from evaluation_scenes import DISPARITY
from evaluation_scenes import disparity_message
from evaluation_scenes import FX
from evaluation_scenes import HEIGHT
from evaluation_scenes import IMAGE
from evaluation_scenes import image_message
from evaluation_scenes import stamp_of
from evaluation_scenes import WIDTH
from evaluation_scenes import write_bag
import numpy as np
from numpy.typing import NDArray
import pytest

STAMPS = [stamp_of(i) for i in range(3)]
BOTH = (WIDTH, HEIGHT)


def depths(bag: Path, source: str) -> list[float | None]:
    """Return the ground truth in the middle of each frame."""
    return [middle(frame) for frame in bag_frames(bag, source).read()]


def middle(frame: Frame) -> float | None:
    """Return the ground truth in the middle of a frame."""
    return None if frame.depth is None else float(frame.depth[HEIGHT // 2, WIDTH // 2])


def flat(value: float) -> NDArray[np.float32]:
    """Make a flat image, invalid in its corner."""
    pixels = np.full((HEIGHT, WIDTH), value, np.float32)
    pixels[0, 0] = -1
    return pixels


def write_pngs(folder: Path, names: list[str], value: int, size: tuple[int, int] = BOTH) -> Path:
    """Write grey PNGs of 16 bits, rising by 256 a file; nothing known in the corner."""
    folder.mkdir()
    for i, name in enumerate(names):
        image = np.full((size[1], size[0]), value + 256 * i, np.uint16)
        image[0, 0] = 0
        cv2.imwrite(str(folder / name), image)
    return folder


def test_a_depth_topic_by_name_goes_before_what_is_found(tmp_path: Path) -> None:
    topics = camera_topics(STAMPS)
    topics['/left/depth'] = depth_stream(STAMPS, 7)
    topics['/other/range'] = depth_stream(STAMPS[:2], 9)
    bag = write_bag(tmp_path / 'bag', topics)
    assert depths(bag, '') == [7, 7, 7]
    assert depths(bag, '/other/range') == [9, 9, None]
    assert depths(bag, 'lidar') == [None, None, None]


def test_depth_that_is_judged_is_no_ground_truth_unless_it_is_named(tmp_path: Path) -> None:
    topics = {**camera_topics(STAMPS), '/depth_node/depth': depth_stream(STAMPS, 7)}
    bag = write_bag(tmp_path / 'node', topics)
    assert depths(bag, '') == [None] * 3
    assert depths(bag, '/depth_node/depth') == [7] * 3
    topics['/left/depth'] = topics.pop('/depth_node/depth')
    bag = write_bag(tmp_path / 'other', topics)
    assert [middle(f) for f in bag_frames(bag, '', ['/left/depth']).read()] == [None] * 3
    assert [middle(f) for f in bag_frames(bag, '/left/depth', ['/left/depth']).read()] == [7] * 3


def test_the_option_depth_names_what_is_registered(tmp_path: Path) -> None:
    kind, messages = depth_stream(STAMPS, 7)
    for _, message in messages:
        message.header.frame_id = 'depth_camera'
    bag = write_bag(tmp_path / 'bag', {**camera_topics(STAMPS), '/cam/depth': (kind, messages)})
    assert depths(bag, '') == [None] * 3
    name_topics(depth='/cam/depth')
    try:
        assert depths(bag, '') == [7] * 3
        assert depths(bag, 'lidar') == [None] * 3
    finally:
        name_topics()


def test_disparity_image_brings_its_own_camera(tmp_path: Path) -> None:
    # f * t / d = 100 * 0.5 / 5 = 10 m
    topics = camera_topics(STAMPS)
    messages = [(s, disparity_message(s, flat(5), 100.0, 0.5)) for s in STAMPS[1:]]
    topics['/stereo/disparity'] = (DISPARITY, messages)
    bag = write_bag(tmp_path / 'bag', topics)
    assert depths(bag, '/stereo/disparity') == [None, 10, 10]
    frame = list(bag_frames(bag, '/stereo/disparity').read())[1]
    assert frame.depth is not None
    assert np.isnan(frame.depth[0, 0])
    assert (frame.depth_source, frame.depth_origin) == ('stereo', 'disparity /stereo/disparity')


def test_disparity_below_the_message_s_minimum_is_none(tmp_path: Path) -> None:
    topics = camera_topics(STAMPS[:1])
    message = disparity_message(STAMPS[0], flat(0.5), 100.0, 0.5)
    topics['/stereo/disparity'] = (DISPARITY, [(STAMPS[0], message)])
    bag = write_bag(tmp_path / 'bag', topics)
    assert np.isnan(depths(bag, '/stereo/disparity')[0] or 0)


def test_images_of_disparity_take_the_pair_s_baseline(tmp_path: Path) -> None:
    # the pair is 5 m apart: 5 * fx / 6 px = 20 m
    topics = camera_topics(STAMPS, right=BOTH)
    topics['/sgm'] = (IMAGE, [(s, image_message(s, flat(6), '32FC1')) for s in STAMPS])
    bag = write_bag(tmp_path / 'bag', topics)
    assert depths(bag, 'disparity:/sgm') == pytest.approx([5 * FX / 6] * 3)
    assert [f.baseline_m for f in bag_frames(bag, 'disparity:/sgm').read()] == [5, 5, 5]


def test_images_of_disparity_without_a_pair(tmp_path: Path) -> None:
    topics = camera_topics(STAMPS)
    topics['/sgm'] = (IMAGE, [(s, image_message(s, flat(6), '32FC1')) for s in STAMPS])
    bag = write_bag(tmp_path / 'bag', topics)
    with pytest.raises(BagError, match='/sgm: expected the camera_info of a stereo pair'):
        depths(bag, 'disparity:/sgm')


def test_disparity_of_another_size_or_kind(tmp_path: Path) -> None:
    topics = camera_topics(STAMPS, right=BOTH)
    small = [(s, image_message(s, flat(6)[:5], '32FC1')) for s in STAMPS]
    bytes8 = [(s, image_message(s, flat(6).astype(np.uint8), 'mono8')) for s in STAMPS]
    topics |= {'/small': (IMAGE, small), '/bytes': (IMAGE, bytes8)}
    bag = write_bag(tmp_path / 'bag', topics)
    with pytest.raises(BagError, match=r"of the image's size 40x20, found 40x5"):
        depths(bag, 'disparity:/small')
    with pytest.raises(BagError, match="as 32FC1, found 'mono8'"):
        depths(bag, 'disparity:/bytes')
    with pytest.raises(BagError, match='expected an Image or a DisparityImage on /left/camera_in'):
        depths(bag, '/left/camera_info')


def test_as_many_pngs_as_frames_go_by_name(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', camera_topics(STAMPS))
    folder = write_pngs(tmp_path / 'gt', ['b.png', 'a.png', 'c.png'], 10 * 256)
    assert depths(bag, str(folder)) == [11, 10, 12]
    frame = next(bag_frames(bag, str(folder)).read())
    assert frame.depth is not None
    assert np.isnan(frame.depth[0, 0])
    assert (frame.depth_source, frame.depth_origin) == ('png', f'PNGs of {folder}')


def test_fewer_pngs_go_by_number(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', camera_topics(STAMPS))
    folder = write_pngs(tmp_path / 'gt', ['0000000002.png', '000001_10.png'], 10 * 256)
    assert depths(bag, str(folder)) == [None, 11, 10]


def test_pngs_of_disparity(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', camera_topics(STAMPS, right=BOTH))
    folder = write_pngs(tmp_path / 'gt', ['000000_10.png'], 6 * 256)
    assert depths(bag, f'disparity:{folder}') == [pytest.approx(5 * FX / 6), None, None]


@pytest.mark.parametrize(
    'names', [[], ['0000000003.png'], ['left.png'], ['000000.png'] + ['x.png']]
)
def test_pngs_that_fit_no_frame(names: list[str], tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', camera_topics(STAMPS))
    folder = write_pngs(tmp_path / 'gt', names, 2560)
    with pytest.raises(BagError, match='one PNG for each of the 3 frames, or PNGs numbered below'):
        bag_frames(bag, str(folder))


def test_pngs_of_another_size_or_depth(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', camera_topics(STAMPS))
    folder = write_pngs(tmp_path / 'gt', ['000000.png'], 2560, (8, 4))
    with pytest.raises(BagError, match=r"000000.png: .*the image's size 40x20, found 8x4"):
        depths(bag, str(folder))
    cv2.imwrite(str(folder / '000000.png'), np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(BagError, match='expected a grey PNG of 16 bits .* found uint8'):
        depths(bag, str(folder))


def test_a_source_that_is_nowhere(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', camera_topics(STAMPS))
    with pytest.raises(ConfigError, match=r"found '/nowhere'; the bag has .*/left/image"):
        bag_frames(bag, '/nowhere')


def test_real_official_depth_by_number(kitti: Path, tmp_path: Path) -> None:
    from depth_prune_ros.bags.kitti import kitti_to_bag

    name = '2011_09_26_drive_0001_sync'
    bag = tmp_path / '0001'
    kitti_to_bag(kitti / 'raw' / '2011_09_26' / name, bag)
    folder = next((kitti / 'data_depth_annotated').rglob('groundtruth/image_02'))
    by_topic = [f.depth for f in bag_frames(bag).read()]
    by_file = [f.depth for f in bag_frames(bag, str(folder)).read()]
    assert any(depth is not None for depth in by_topic)
    for ours, theirs in zip(by_file, by_topic, strict=True):
        np.testing.assert_array_equal(ours, theirs)
