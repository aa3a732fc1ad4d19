"""Which topics are chosen in the layouts that people record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from depth_prune_ros.bags.topics import choose_topics
from depth_prune_ros.bags.topics import CLOUD
from depth_prune_ros.bags.topics import COMPRESSED
from depth_prune_ros.bags.topics import INFO
from depth_prune_ros.bags.topics import name_topics
from depth_prune_ros.bags.topics import RAW
from depth_prune_ros.bags.topics import topic_options
from depth_prune_ros.bags.topics import Topics
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import ConfigError
import pytest

BAG = Path('some.bag')


@pytest.fixture(autouse=True)
def _topics_of_no_other_test() -> Iterator[None]:
    yield
    name_topics()


def kitti(*cameras: str, image: str = 'image_raw', kind: str = RAW) -> dict[str, str]:
    topics = {f'/kitti/camera_{name}/{image}': kind for name in cameras}
    return {**topics, **{f'/kitti/camera_{name}/camera_info': INFO for name in cameras}}


def test_kitti_colour_goes_before_grey_and_brings_its_lidar() -> None:
    types = kitti('gray_left', 'gray_right', 'color_left', 'color_right')
    types |= {'/kitti/velo/pointcloud': CLOUD, '/kitti/camera_color_left/depth': RAW}
    assert choose_topics(BAG, types) == Topics(
        left='/kitti/camera_color_left/image_raw',
        left_info='/kitti/camera_color_left/camera_info',
        right='/kitti/camera_color_right/image_raw',
        right_info='/kitti/camera_color_right/camera_info',
        lidar='/kitti/velo/pointcloud',
        depth='/kitti/camera_color_left/depth',
    )


def test_grey_kitti_and_kitti2mcaps_lidar() -> None:
    types = kitti('gray_left', 'gray_right') | {'/kitti/velodyne_points': CLOUD}
    found = choose_topics(BAG, types)
    assert found.left == '/kitti/camera_gray_left/image_raw'
    assert found.right == '/kitti/camera_gray_right/image_raw'
    assert found.lidar == '/kitti/velodyne_points'


def test_compressed_images_find_their_camera_info_and_pair() -> None:
    types = kitti('color_left', 'color_right', image='image_raw/compressed', kind=COMPRESSED)
    found = choose_topics(BAG, types)
    assert found.left == '/kitti/camera_color_left/image_raw/compressed'
    assert found.left_info == '/kitti/camera_color_left/camera_info'
    assert found.right == '/kitti/camera_color_right/image_raw/compressed'


def test_a_raw_image_goes_before_its_compressed_twin() -> None:
    types = {'/cam/image_raw/compressed': COMPRESSED, '/cam/image_raw': RAW}
    types |= {'/cam/camera_info': INFO}
    found = choose_topics(BAG, types)
    assert (found.left, found.left_info) == ('/cam/image_raw', '/cam/camera_info')


@pytest.mark.parametrize('name', ['/stereo/left/image_rect', '/zed/left_camera/image'])
def test_left_and_right_by_name(name: str) -> None:
    right = name.replace('left', 'right')
    space, space_right = name.rpartition('/')[0], right.rpartition('/')[0]
    types = {name: RAW, right: RAW, f'{space}/camera_info': INFO}
    assert choose_topics(BAG, types).right is None
    found = choose_topics(BAG, types | {f'{space_right}/camera_info': INFO})
    assert (found.left, found.right) == (name, right)
    assert found.right_info == f'{space_right}/camera_info'


def test_a_realsense_camera_gives_colour_and_the_aligned_depth() -> None:
    types = {
        '/camera/aligned_depth_to_color/image_raw': RAW,
        '/camera/color/camera_info': INFO,
        '/camera/color/image_raw': RAW,
        '/camera/depth/camera_info': INFO,
        '/camera/depth/color/points': CLOUD,
        '/camera/depth/image_rect_raw': RAW,
        '/camera/infra1/image_rect_raw': RAW,
        '/camera/infra2/image_rect_raw': RAW,
    }
    assert choose_topics(BAG, types) == Topics(
        left='/camera/color/image_raw',
        left_info='/camera/color/camera_info',
        depth='/camera/aligned_depth_to_color/image_raw',
    )
    del types['/camera/aligned_depth_to_color/image_raw']
    assert choose_topics(BAG, types).depth == '/camera/depth/image_rect_raw'
    del types['/camera/color/image_raw']
    assert choose_topics(BAG, types).left == '/camera/infra1/image_rect_raw'


def test_the_only_image_takes_the_only_camera_info_and_cloud() -> None:
    types = {'/front/image': RAW, '/calibration': INFO, '/os1/points': CLOUD}
    found = choose_topics(BAG, types)
    assert found == Topics(left='/front/image', left_info='/calibration', lidar='/os1/points')
    assert choose_topics(BAG, {'/front/image': RAW}).left_info is None


def test_of_two_cameras_one_has_to_be_named() -> None:
    with pytest.raises(BagError, match=r'expected one camera, found /back/image, /front/image; n'):
        choose_topics(BAG, {'/front/image': RAW, '/back/image': RAW})


def test_a_right_camera_alone_is_refused() -> None:
    with pytest.raises(BagError, match=r'some.bag: expected a left camera beside /kitti/camera_c'):
        choose_topics(BAG, kitti('color_right'))


def test_no_image_lists_what_there_is() -> None:
    types = {'/imu': 'sensor_msgs/msg/Imu', '/depth/image': RAW}
    with pytest.raises(BagError, match=r'an image topic, found /imu \(sensor_msgs/msg/Imu\), /d'):
        choose_topics(BAG, types)


@pytest.mark.parametrize(
    'topic', ['/depth_node/depth', '/robot/depth_node/depth', '/depth_node/metric/depth']
)
def test_what_the_node_published_is_not_found_as_measured_depth(topic: str) -> None:
    types = {'/camera/color/image': RAW, '/camera/color/camera_info': INFO, topic: RAW}
    assert choose_topics(BAG, types).depth is None
    measured = '/zed/depth'
    assert choose_topics(BAG, types | {measured: RAW}).depth == measured


def test_depth_beside_the_node_s_camera_info_is_not_found() -> None:
    types = {'/front/image': RAW, '/depth_node/camera_info': INFO, '/renamed/depth': RAW}
    assert choose_topics(BAG, types).depth is None


def test_depth_that_is_judged_is_found_only_by_its_name() -> None:
    types = {'/front/image': RAW, '/front/camera_info': INFO, '/a/depth': RAW, '/b/depth': RAW}
    assert choose_topics(BAG, types).depth == '/a/depth'
    assert choose_topics(BAG, types, ['/a/depth']).depth == '/b/depth'
    name_topics(depth='/a/depth')
    assert choose_topics(BAG, types, ['/a/depth']).depth == '/a/depth'


def test_depth_is_that_of_the_camera_which_is_named() -> None:
    depths = ('aligned_depth_to_color/image_raw', 'depth_registered/image')
    for own, other in (depths, depths[::-1]):
        types = {f'/camera{n}/color/image_raw': RAW for n in (1, 2)}
        types |= {f'/camera1/{other}': RAW, f'/camera2/{own}': RAW}
        name_topics(left='/camera2/color/image_raw')
        assert choose_topics(BAG, types).depth == f'/camera2/{own}'
        name_topics(left='/camera1/color/image_raw')
        assert choose_topics(BAG, types).depth == f'/camera1/{other}'


def test_depth_from_elsewhere_is_that_of_the_only_camera() -> None:
    """Where it is registered to the camera goes before how near its name is."""
    left, raw = '/camera/color/image_raw', '/camera/depth/image_rect_raw'
    for registered in ('/depth_registered/image_rect', '/slow/aligned_depth_to_color/image_raw'):
        types = dict.fromkeys((left, raw, registered), RAW)
        assert choose_topics(BAG, types).depth == registered
    assert choose_topics(BAG, {left: RAW, '/kinect/depth/image': RAW}).depth is not None


def test_named_topics_are_options_again() -> None:
    assert topic_options() == []
    name_topics(left='/a', right='none', left_info='', depth='/d')
    assert topic_options() == ['--left', '/a', '--right', 'none', '--depth', '/d']
    assert topic_options({'depth', 'left'}) == ['--right', 'none']


def test_no_left_camera_is_refused() -> None:
    name_topics(depth='/d')
    with pytest.raises(ConfigError, match='^--left: expected a topic, found none: '):
        name_topics(left='none')
    assert topic_options() == ['--depth', '/d']


@pytest.mark.parametrize('camera', ['color', 'rgb', 'left', 'infra1'])
@pytest.mark.parametrize('place', ['/depth_cam', '/robot/depth/camera', '/depthai'])
def test_a_camera_below_a_name_with_depth_is_a_camera(place: str, camera: str) -> None:
    image, depth = f'{place}/{camera}/image_raw', f'{place}/depth/image_raw'
    info = f'{place}/{camera}/camera_info'
    wanted = Topics(left=image, left_info=info, depth=depth)
    assert choose_topics(BAG, {image: RAW, info: INFO, depth: RAW}) == wanted
    packed = f'{image}/compressed'
    types = {packed: COMPRESSED, f'{image}/compressedDepth': COMPRESSED, info: INFO, depth: RAW}
    assert choose_topics(BAG, types) == Topics(left=packed, left_info=info, depth=depth)
    name_topics(left=image)
    assert choose_topics(BAG, {image: RAW, info: INFO, depth: RAW}) == wanted


def test_the_right_camera_where_left_comes_twice() -> None:
    """It is beside the left one; where nothing is there, the whole name is mirrored."""
    arms = [f'/{arm}_arm/{side}/image' for arm in ('left', 'right') for side in ('left', 'right')]
    infos = {arm.replace('image', 'camera_info'): INFO for arm in arms}
    found = choose_topics(BAG, dict.fromkeys(arms, RAW) | infos)
    assert (found.left, found.right) == ('/left_arm/left/image', '/left_arm/right/image')
    types = {'/left_cam/left/image': RAW, '/right_cam/right/image': RAW}
    types |= {'/left_cam/left/camera_info': INFO, '/right_cam/right/camera_info': INFO}
    assert choose_topics(BAG, types).right == '/right_cam/right/image'


def test_a_camera_elsewhere_goes_before_one_below_a_name_with_depth() -> None:
    types = {'/depth/left/image': RAW, '/front/left/image': RAW}
    assert choose_topics(BAG, types).left == '/front/left/image'


@pytest.mark.parametrize(
    ('image', 'depth'),
    [
        ('/zed/zed_node/rgb/image_rect_color', '/zed/zed_node/depth/depth_registered'),
        ('/rgb/image_raw', '/depth_to_rgb/image_raw'),
        ('/rgb_to_depth/image_raw', '/depth/image_raw'),
        ('/kinect2/hd/image_color_rect', '/kinect2/hd/image_depth_rect'),
        ('/rgbd_camera/image', '/rgbd_camera/depth_image'),
        ('/camera/rgb/image_color', '/camera/depth_registered/image_raw'),
        ('/front_left/image', '/front_left/Depth/image'),
        ('/front/rgb', '/front/left_depth/image'),
        ('/front/rgb', '/front/depth/colorized/image'),
    ],
)
def test_the_last_part_that_says_something_tells_depth(image: str, depth: str) -> None:
    found = choose_topics(BAG, {depth: RAW, image: RAW})
    assert (found.left, found.depth) == (image, depth)


def test_what_is_left_is_never_the_depth_too() -> None:
    types = {'/depth_cam/image_raw': RAW, '/depth_cam/depth/image_raw': RAW}
    with pytest.raises(
        BagError, match=r'expected an image topic, .*; record one, or name it with --left$'
    ):
        choose_topics(BAG, types)
    name_topics(left='/depth_cam/image_raw')
    assert choose_topics(BAG, types).depth == '/depth_cam/depth/image_raw'
    assert choose_topics(BAG, {'/depth_cam/image_raw': RAW}).depth is None
    name_topics(left='/depth_cam/image_raw/compressed')
    types = {'/depth_cam/image_raw': RAW, '/depth_cam/image_raw/compressed': COMPRESSED}
    assert choose_topics(BAG, types).depth is None
    name_topics(depth='/a/color')
    found = choose_topics(BAG, {'/a/color': RAW, '/b/color': RAW})
    assert (found.left, found.depth) == ('/b/color', '/a/color')
    name_topics(left='/a/color', depth='/a/color')
    with pytest.raises(BagError, match=r'expected another topic for --depth than for --left, fou'):
        choose_topics(BAG, {'/a/color': RAW})


@pytest.mark.parametrize(
    ('field', 'topic', 'wanted'),
    [
        ('left', '/cam/camera_info', f'{RAW} or {COMPRESSED}'),
        ('right', '/velo', f'{RAW} or {COMPRESSED}'),
        ('left_info', '/cam/image/compressed', INFO),
        ('right_info', '/cam/image', INFO),
        ('lidar', '/scan', CLOUD),
        ('depth', '/velo', f'{RAW} or {COMPRESSED}'),
    ],
)
def test_a_named_topic_of_another_type_is_refused(field: str, topic: str, wanted: str) -> None:
    types = {'/cam/image': RAW, '/cam/image/compressed': COMPRESSED, '/cam/camera_info': INFO}
    types |= {'/cam/depth': RAW, '/cam/depth/compressedDepth': COMPRESSED, '/velo': CLOUD}
    types |= {'/scan': 'sensor_msgs/msg/LaserScan'}
    unnamed = choose_topics(BAG, types)
    name_topics(**{field: topic})
    with pytest.raises(BagError) as caught:
        choose_topics(BAG, types)
    option = field.replace('_', '-')
    text = f'{BAG}: {topic}: expected {wanted} for --{option}, found {types[topic]}'
    assert str(caught.value) == f'{text}; name another one, see bag info'
    assert choose_topics(BAG, types, fitting=True) == unnamed


def test_all_that_is_named_wrongly_is_said_at_once() -> None:
    name_topics(lidar='/scan', depth='/gone')
    types = {'/cam/image': RAW, '/scan': 'sensor_msgs/msg/LaserScan'}
    with pytest.raises(
        BagError, match=r'^some.bag: expected topic /gone, found /cam/image .*; /sc'
    ):
        choose_topics(BAG, types)
