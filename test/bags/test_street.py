"""The rendered street: exact in stereo, over time and for the lidar, and always the same."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
from depth_prune_ros.bags.street import render_street
from depth_prune_ros.bags.street import Renderer
from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.bags.street import StreetFrame
from depth_prune_ros.bags.street_lidar import NOISE_M
from depth_prune_ros.bags.street_render import SKY
from depth_prune_ros.core.camera import depth_to_points
from depth_prune_ros.core.camera import points_to_depth
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import ConfigError
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores
from street_rays import cast_pixels
from street_rays import to_world

STREET = Street(seed=3, frames=2, width=480, height=144)
TINY = Street(seed=5, frames=2, width=64, height=24, height_m=1.5)


@pytest.fixture(scope='module')
def renderer() -> Renderer:
    """Return the street ready to be looked at."""
    return Renderer(STREET)


@pytest.fixture(scope='module')
def frames() -> list[StreetFrame]:
    """Return the rendered moments of the street."""
    return list(render_street(STREET))


def first_messages(folder: Path) -> dict[str, Any]:
    """Return the first message of every topic of a bag."""
    first: dict[str, Any] = {}
    with AnyReader([folder], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as bag:
        for connection, _, raw in bag.messages():
            first.setdefault(connection.topic, bag.deserialize(raw, connection.msgtype))
    return first


def grey(image: np.ndarray) -> np.ndarray:
    """Return the image's brightness, float32."""
    brightness: np.ndarray = image.astype(np.float32).mean(axis=-1)
    return brightness


def pixels(frame: StreetFrame) -> np.ndarray:
    """Return [2, H, W] pixel coordinates u, v."""
    v, u = np.indices(frame.depth.shape, dtype=np.float64)
    return np.stack([u, v])


def disparity(frame: StreetFrame) -> np.ndarray:
    """Return the exact disparity in pixels, NaN = sky."""
    return frame.camera.fx * frame.baseline_m / frame.depth.astype(np.float64)


def smooth(depth: np.ndarray, reach: int) -> np.ndarray:
    """Say where depth changes by less than a tenth within so many pixels."""
    size = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    filled = np.where(np.isfinite(depth), depth, np.float32(1e6))
    return cv2.dilate(filled, size) < 1.1 * cv2.erode(filled, size)


def test_right_eye_sees_the_same_surface_at_the_exact_disparity(
    renderer: Renderer, frames: list[StreetFrame]
) -> None:
    """The right eye's own rays, at the predicted pixel, meet the same face at the same depth."""
    frame, left = frames[0], renderer.pose(0.0)
    uv = pixels(frame)
    uv[0] -= disparity(frame)
    seen = (uv[0] > 0) & smooth(frame.depth, 1)
    hits = cast_pixels(renderer, renderer.beside(left), 0.0, uv[:, seen])
    expected = frame.depth[seen]
    error = np.abs(hits.depth()[0] - expected) / expected
    faces = cast_pixels(renderer, left, 0.0, pixels(frame)[:, seen]).face
    visible = faces[0] == hits.face[0]
    assert visible.mean() > 0.9
    assert np.percentile(error[visible], 99) < 2e-4


def test_warped_right_image_is_the_left_image(frames: list[StreetFrame]) -> None:
    """Warped by the exact disparity the right image fits, and half a pixel beside it does not."""
    frame = frames[0]
    u, v = pixels(frame)
    good = smooth(frame.depth, 2) & (u - disparity(frame) > 1)

    def misfit(shift: float) -> float:
        at = (u - disparity(frame) + shift).astype(np.float32)
        warped = cv2.remap(grey(frame.right), at, v.astype(np.float32), cv2.INTER_CUBIC)
        return float(np.abs(warped - grey(frame.left))[good].mean())

    exact = misfit(0.0)
    assert exact < 2.5
    assert misfit(0.5) > 1.3 * exact
    assert misfit(-0.5) > 1.3 * exact


def test_matching_textured_patches_finds_the_disparity_to_a_tenth_of_a_pixel(
    frames: list[StreetFrame],
) -> None:
    """Lucas-Kanade along the row, started at the exact disparity, moves by less than 0.1 px."""
    frame = frames[0]
    u, v = pixels(frame)
    at = (u - disparity(frame)).astype(np.float32)
    warped = cv2.remap(grey(frame.right), at, v.astype(np.float32), cv2.INTER_CUBIC)
    left = grey(frame.left)
    slope = cv2.Sobel(left, cv2.CV_32F, 1, 0, scale=1 / 8)
    inside = smooth(frame.depth, 4) & (u - disparity(frame) > 8) & (u < frame.camera.width - 8)
    power = cv2.boxFilter(slope * slope, -1, (7, 7))
    shift = cv2.boxFilter(slope * (left - warped), -1, (7, 7)) / np.maximum(power, 1e-6)
    textured = inside & (power > 30)
    assert textured.sum() > 2000
    assert np.median(np.abs(shift[textured])) < 0.1
    assert abs(np.median(shift[textured])) < 0.03


def test_lidar_agrees_with_exact_depth(frames: list[StreetFrame]) -> None:
    """Projected into the left image, lidar points have the depth of the surface there."""
    frame = frames[0]
    sparse = points_to_depth(frame.points[:, :3], frame.camera_T_velo, frame.camera)
    inside = np.isfinite(sparse) & smooth(frame.depth, 1) & (frame.depth < 40)
    # Where the road runs away, a pixel covers metres: compare on upright surfaces.
    level = np.abs(np.gradient(frame.depth, axis=0)) > 0.01
    inside &= ~level
    assert inside.sum() > 300
    error = (sparse - frame.depth)[inside]
    assert np.median(np.abs(error)) < 0.03
    assert np.median(np.abs(error)) > NOISE_M / 4
    assert abs(np.median(error)) < 0.01


def test_lidar_stays_in_its_range(renderer: Renderer, frames: list[StreetFrame]) -> None:
    """Points lie ahead, within 80 m, on a flat road 1.73 m below, with an intensity."""
    points = frames[0].points
    pose, camera_T_velo = renderer.pose(0.0), frames[0].camera_T_velo
    assert to_world(pose, camera_T_velo[:3, 3])[1] == pytest.approx(1.73, abs=0.1)
    assert points.dtype == np.float32
    assert len(points) > 10_000
    assert np.linalg.norm(points[:, :3], axis=1).max() < 80.2
    assert points[:, 0].min() > 0
    road = points[(points[:, 0] < 9) & (np.abs(points[:, 1]) < 1), :3]
    assert len(road) > 300
    height = to_world(pose, road @ camera_T_velo[:3, :3].T + camera_T_velo[:3, 3])[:, 1]
    assert abs(np.median(height)) < 0.003
    assert height.std() < 0.03
    assert points[:, 3].min() >= 0
    assert points[:, 3].max() < 1


def test_flat_road_has_the_depth_of_the_closed_form(renderer: Renderer) -> None:
    """Without pitch the road's depth is height * fy / (v - cy)."""
    street = copy.copy(renderer)
    street.street = replace(STREET, pitch_rad=0.0)
    camera, pose = street.street.camera, street.pose(0.0)
    v = np.arange(camera.cy + 30, camera.height, 5.0)
    hits = cast_pixels(street, pose, 0.0, np.stack([np.full_like(v, camera.cx - 20), v]))
    on_road = hits.face[0] == 0
    assert on_road.sum() >= 5
    assert pose.origin[1] == pytest.approx(1.65, abs=0.1)
    expected = pose.origin[1] * camera.fy / (v - camera.cy)
    np.testing.assert_allclose(hits.depth()[0][on_road], expected[on_road], rtol=1e-5)


def test_next_moment_sees_what_ego_motion_predicts(
    renderer: Renderer, frames: list[StreetFrame]
) -> None:
    """Houses stand still, cars drive on, and the next frame finds both where the poses say."""
    first, before, after = frames[0], renderer.pose(0.0), renderer.pose(0.1)
    points = depth_to_points(first.depth, first.camera).reshape(-1, 3).astype(np.float64)
    uv = pixels(first).reshape(2, -1)
    face = cast_pixels(renderer, before, 0.0, uv).face[0]
    speed = np.append(renderer.world.scene.face_speed, np.zeros(10_000))
    keep = smooth(first.depth, 1).ravel() & (face != SKY)
    assert (speed[face[keep]] != 0).sum() > 100
    street = to_world(before, points[keep])
    street[:, 2] += 0.1 * speed[face[keep]]
    xyz = (street - after.origin) @ after.rotation
    camera = first.camera
    at = xyz[:, :2] / xyz[:, 2:] * [camera.fx, camera.fy] + [camera.cx, camera.cy]
    seen = ((at > 0) & (at < [camera.width - 1, camera.height - 1])).all(axis=1) & (xyz[:, 2] > 2)
    hits = cast_pixels(renderer, after, 0.1, at[seen].T)
    same = hits.face[0] == face[keep][seen]
    error = np.abs(hits.depth()[0] - xyz[seen, 2]) / xyz[seen, 2]
    drives = speed[face[keep]][seen] != 0
    for which in (drives, ~drives):
        assert same[which].mean() > 0.85
        assert np.percentile(error[same & which], 99) < 5e-4
    assert (after.origin - before.origin)[2] == pytest.approx(0.8, abs=1e-6)


def test_frame_is_what_it_says(frames: list[StreetFrame]) -> None:
    """Shapes, types, stamps, sky only above the horizon, a picture with content."""
    first, second = frames
    assert first.left.shape == first.right.shape == (144, 480, 3)
    assert first.left.dtype == np.uint8
    assert first.depth.dtype == np.float32
    assert second.stamp_ns - first.stamp_ns == 100_000_000
    assert first.camera.fx == pytest.approx(721.5377 * 480 / 1242)
    sky = np.isnan(first.depth)
    assert 0.02 < sky.mean() < 0.5
    assert not sky[90:].any()
    assert first.left.std() > 30


@pytest.fixture(scope='module')
def bags(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return bags of one street, the same street again, and another one."""
    out = []
    for name, seed in (('a', 5), ('b', 5), ('c', 6)):
        out.append(tmp_path_factory.mktemp(name) / 'street')
        done: list[tuple[int, int]] = []
        street_to_bag(out[-1], replace(TINY, seed=seed), progress=lambda *n, to=done: to.append(n))
        assert done == [(1, 2), (2, 2)]
    return out


def test_same_seed_gives_the_same_bag_and_another_seed_another_street(bags: list[Path]) -> None:
    """Bags are equal byte for byte; another seed changes the layout, not only the colours."""
    contents, depths = [], []
    for bag in bags:
        contents.append({p.name: p.read_bytes() for p in sorted(bag.iterdir())})
        depths.append(first_messages(bag)['/kitti/camera_color_left/depth'].data.view('<f4'))
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]
    assert np.nanmedian(np.abs(depths[0] - depths[2])) > 0.1


def test_bag_has_the_topics_of_kitti2bag(bags: list[Path]) -> None:
    """Every message of the bag carries what was rendered."""
    frame = next(render_street(TINY))
    assert Renderer(TINY).pose(0.0).origin[1] == pytest.approx(1.5)
    first = first_messages(bags[0])
    with AnyReader([bags[0]]) as bag:
        counts = {topic: info.msgcount for topic, info in bag.topics.items()}
    assert counts == {
        '/tf_static': 1,
        '/kitti/camera_color_left/image_raw': 2,
        '/kitti/camera_color_left/camera_info': 2,
        '/kitti/camera_color_left/depth': 2,
        '/kitti/camera_color_right/image_raw': 2,
        '/kitti/camera_color_right/camera_info': 2,
        '/kitti/velo/pointcloud': 2,
    }
    image = first['/kitti/camera_color_right/image_raw']
    assert (image.encoding, image.header.frame_id) == ('rgb8', 'camera_color_right')
    np.testing.assert_array_equal(image.data.reshape(24, 64, 3), frame.right)
    depth = first['/kitti/camera_color_left/depth']
    np.testing.assert_array_equal(depth.data.view('<f4').reshape(24, 64), frame.depth)
    info = first['/kitti/camera_color_right/camera_info']
    assert info.p[3] == pytest.approx(-frame.camera.fx * 0.54)
    cloud = first['/kitti/velo/pointcloud']
    np.testing.assert_array_equal(cloud.data.view('<f4').reshape(-1, 4), frame.points)
    tree = [(t.header.frame_id, t.child_frame_id) for t in first['/tf_static'].transforms]
    assert tree == [
        ('imu_link', 'velo_link'),
        ('velo_link', 'camera_color_left'),
        ('velo_link', 'camera_color_right'),
    ]


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'frames': 0}, 'at least 1 frame .* found 0 frames'),
        ({'width': 8}, 'at least 16x16 pixels .* found 2 frames of 8x24'),
        ({'seed': -1}, 'a seed from 0, found .* seed -1'),
        ({'rate_hz': 0.0}, 'rate_hz and baseline_m above 0, found 0.0'),
        ({'speed_m_s': float('nan')}, 'speed in metres per second, found nan'),
    ],
)
def test_impossible_streets_are_refused(changed: dict[str, Any], message: str) -> None:
    """The message says what was expected and found."""
    with pytest.raises(ConfigError, match=message):
        replace(TINY, **changed)


def test_existing_bag_is_left_alone(tmp_path: Path) -> None:
    """A bag of that name is neither overwritten nor touched."""
    (tmp_path / 'street').mkdir()
    with pytest.raises(BagError, match='exists already'):
        street_to_bag(tmp_path / 'street', TINY)
    assert list((tmp_path / 'street').iterdir()) == []
