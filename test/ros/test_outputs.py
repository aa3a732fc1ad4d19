"""What the node publishes, as its parameters say, by one real process."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
import time
from typing import Any

from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.images import resize_image
from depth_prune_ros.ros.calibration import calibration_of
from depth_prune_ros.ros.calibration import rectify
from depth_prune_ros.ros.context import wait_until
from depth_prune_ros.ros.process import NodeProcess
from graph import camera_info
from graph import Graph
from graph import image_message
from graph import noise
import numpy as np
from numpy.typing import NDArray
import pytest
from tiny_model import BASELINE_M
from tiny_model import CARD
from tiny_model import HEIGHT
from tiny_model import tiny_depth
from tiny_model import WIDTH
from tiny_model import write_tiny_model

Live = tuple[NodeProcess, Graph]
SIDE = 2 * WIDTH  # of a square camera image; the network's is twice as wide as high


@pytest.fixture
def node(live: Live) -> Iterator[Graph]:
    """Return the partner of a node whose parameters are put back afterwards."""
    _, graph = live
    yield graph
    assert not graph.change_parameters(
        fit='match',
        rectify=False,
        output_size='network',
        depth_encoding='32FC1',
        min_depth=0.1,
        max_depth=1000.0,
        points_stride=2,
        points_max_range=30.0,
        points_fields='xyz',
        rate_limit=0.0,
        max_age=0.0,
    )


@pytest.fixture
def engine(tiny_model: Path) -> DepthEngine:
    """Return the node's network."""
    return DepthEngine.load(tiny_model)


def _full_size(engine: DepthEngine, seen: NDArray[np.uint8], fx: float) -> NDArray[np.float64]:
    """Return metres at the size of what is seen: disparity resized, then turned to depth."""
    height, width = seen.shape[:2]
    return BASELINE_M * (fx / width) / resize_image(engine.disparity(seen), width, height)


def _count(node: Graph, key: str) -> int:
    return int(node.diagnostics.get(key, '0'))


def test_points_and_preview_without_depth(node: Graph) -> None:
    node.ignore('depth', 'camera_info')
    node.listen('points', 'preview')
    image = noise(WIDTH, HEIGHT)
    assert not node.change_parameters(
        points_fields='xyzrgb', points_stride=3, points_max_range=3.5
    )
    info = camera_info(WIDTH, HEIGHT, 50.0)
    got = node.ask(image_message(image), info, 'points', 'preview').got
    node.ignore('points', 'preview')
    node.listen()
    points = np.frombuffer(got['points'].data, np.float32).reshape(-1, 4)
    depth = tiny_depth(image, 50.0 / WIDTH)
    v, u = np.indices(depth.shape)
    xyz = np.stack([(u - info.p[2]) / 50.0 * depth, (v - info.p[6]) / 50.0 * depth, depth], -1)
    near = np.linalg.norm(xyz, axis=-1)[::3, ::3] <= 3.5
    assert 0 < near.sum() < near.size
    np.testing.assert_allclose(points[:, :3], xyz[::3, ::3][near], rtol=1e-4, atol=1e-4)
    red, green, blue = image[::3, ::3][near].astype(np.uint32).T
    assert (points[:, 3].copy().view(np.uint32) == (red << 16 | green << 8 | blue)).all()
    assert (got['preview'].width, got['preview'].encoding) == (WIDTH, 'rgb8')
    assert got['points'].header.frame_id == got['preview'].header.frame_id == 'cam'


def test_points_at_the_size_of_the_input_have_its_colours(node: Graph) -> None:
    node.ignore('depth', 'camera_info')
    node.listen('points')
    assert not node.change_parameters(
        output_size='input', points_fields='xyzrgb', points_stride=5, points_max_range=1000.0
    )
    image = noise(3 * WIDTH, 2 * HEIGHT)
    info = camera_info(3 * WIDTH, 2 * HEIGHT, 150.0)
    points = node.ask(image_message(image), info, 'points').got['points']
    node.ignore('points')
    node.listen()
    packed = np.frombuffer(points.data, np.uint32).reshape(-1, 4)[:, 3]
    red, green, blue = image[::5, ::5].reshape(-1, 3).astype(np.uint32).T
    np.testing.assert_array_equal(packed, red << 16 | green << 8 | blue)


def test_camera_info_alone_needs_no_inference(node: Graph) -> None:
    node.ignore('depth')
    message, info = image_message(noise(WIDTH, HEIGHT)), camera_info(WIDTH, HEIGHT, 50.0)
    # Until the node has heard that nobody wants depth any more it may count.
    node.ask(message, info, 'camera_info')
    node.next_diagnostics()
    before = _count(node, 'frames inferred')
    for _ in range(5):
        node.ask(message, info, 'camera_info')
    node.next_diagnostics()
    node.listen('depth')
    assert _count(node, 'frames inferred') == before


def test_depth_at_the_size_of_the_input(node: Graph, engine: DepthEngine) -> None:
    assert not node.change_parameters(output_size='input')
    image = noise(3 * WIDTH, 2 * HEIGHT + 1)
    info = camera_info(3 * WIDTH, 2 * HEIGHT + 1, 150.0)
    answer = node.ask(image_message(image), info)
    np.testing.assert_allclose(answer.metres, _full_size(engine, image, 150.0), rtol=1e-4)
    assert (answer.info.width, answer.info.height) == (3 * WIDTH, 2 * HEIGHT + 1)
    np.testing.assert_allclose(answer.info.k, info.k)


def test_a_crop_has_its_own_scale(node: Graph, engine: DepthEngine) -> None:
    assert not node.change_parameters(fit='crop')
    image = noise(SIDE, SIDE)
    info = camera_info(SIDE, SIDE, 100.0)
    seen = image[SIDE // 4 : SIDE // 4 + SIDE // 2]
    answer = node.ask(image_message(image), info)
    np.testing.assert_allclose(answer.metres, engine.infer(seen, 100.0 / SIDE), rtol=1e-4)
    assert answer.info.k[5] == pytest.approx((info.k[5] - SIDE // 4 + 0.5) / 2 - 0.5)
    # A tall camera: half of its width is seen, so a pixel's disparity is twice the fraction.
    tall = noise(WIDTH, 2 * WIDTH)[:, : WIDTH // 4]
    info = camera_info(WIDTH // 4, 2 * WIDTH, 100.0)
    assert not node.change_parameters(output_size='input')
    answer = node.ask(image_message(tall), info)
    rows = slice(WIDTH - HEIGHT // 8, WIDTH + HEIGHT // 8)
    assert np.isnan(answer.metres[: rows.start]).all()
    assert np.isnan(answer.metres[rows.stop :]).all()
    np.testing.assert_allclose(
        answer.metres[rows], _full_size(engine, tall[rows], 100.0), rtol=1e-4
    )


def test_an_image_of_other_proportions_keeps_them(
    running: Callable[..., Any], tmp_path: Path
) -> None:
    model = write_tiny_model(tmp_path / 'm.onnx', replace(CARD, size_multiple=8))
    image = noise(HEIGHT, HEIGHT)
    fx = CARD.fx_over_width * WIDTH
    info = camera_info(HEIGHT, HEIGHT, fx)
    with running(f'model:={model}') as (process, graph):
        graph.wait_for(process)
        answer = graph.ask(image_message(image), info)
        # a part of what the training camera would see, pixel by pixel
        expected = tiny_depth(image, CARD.fx_over_width)
        np.testing.assert_allclose(answer.metres, expected, rtol=1e-4)
        np.testing.assert_allclose(answer.info.k, info.k)
        assert 'is stretched' not in process.log
        assert process.log.count('images of 32x32 are seen at 32x32') == 1
        assert not graph.change_parameters(fit='stretch')
        answer = graph.ask(image_message(image), info)
        assert answer.metres.shape == (HEIGHT, WIDTH)
        assert "is stretched to the network's 64x32" in process.log
        assert 'set fit to match' in process.log


def test_a_stretched_image_is_warned_of_once(
    running: Callable[..., Any], tiny_model: Path
) -> None:
    with running(f'model:={tiny_model}') as (process, graph):
        graph.wait_for(process)
        for fit, width, warnings in (
            ('match', WIDTH * 5 // 4, 0),
            ('crop', HEIGHT, 0),
            ('stretch', HEIGHT, 1),
            ('stretch', HEIGHT, 1),
        ):
            assert not graph.change_parameters(fit=fit)
            graph.ask(image_message(noise(width, HEIGHT)), camera_info(width, HEIGHT, 50.0))
            assert process.log.count("is stretched to the network's 64x32") == warnings


def test_unequal_binning_is_no_other_aspect_ratio(live: Live, node: Graph) -> None:
    process, _ = live
    image = noise(WIDTH, HEIGHT)
    info = camera_info(4 * WIDTH, 2 * HEIGHT, 200.0)
    info.binning_x, info.binning_y = 4, 2
    answer = node.ask(image_message(image), info)
    np.testing.assert_allclose(answer.metres, tiny_depth(image, 50.0 / WIDTH), rtol=1e-4)
    assert (answer.info.width, answer.info.binning_x) == (WIDTH, 0)
    assert 'the image of 64x32: the depth may be out of scale' not in process.log
    info.binning_y = 1
    node.ask(image_message(image), info)
    text = 'camera_info is of 64x64, the image of 64x32: the depth may be out of scale'
    assert process.log.count(text) == 1


def test_an_unrectified_camera_is_rectified_or_warned_of(live: Live, node: Graph) -> None:
    process, _ = live
    image = noise(WIDTH, HEIGHT)
    bent = camera_info(WIDTH, HEIGHT, 50.0)
    bent.d = [-0.3, 0.1, 0.0, 0.0, 0.0]
    turned = camera_info(WIDTH, HEIGHT, 50.0, raw_fx=70.0, turn=0.1)
    turned.d = [0.0] * 5
    message = image_message(image)
    for info in (bent, turned):
        answer = node.ask(message, info)
        np.testing.assert_allclose(answer.metres, tiny_depth(image, 50.0 / WIDTH), rtol=1e-4)
    assert process.log.count('camera_info tells raw from rectified images') == 1
    assert not node.change_parameters(rectify=True)
    for info in (bent, turned):
        answer = node.ask(message, info)
        flat = rectify(image, calibration_of(info))
        metres = tiny_depth(flat, 50.0 / WIDTH)
        metres[rectify(np.full_like(image, 255), calibration_of(info))[..., 0] < 128] = np.nan
        np.testing.assert_allclose(answer.metres, metres, rtol=1e-4)
        assert np.isnan(metres).any() == (info is turned)
        assert np.abs(flat.astype(int) - image).max() > 100
        assert list(answer.info.d) == [0.0] * 5
        assert (answer.info.k[0], answer.info.r[2]) == (50.0, 0.0)


def test_limits_and_encoding_change_while_it_runs(node: Graph) -> None:
    image = noise(WIDTH, HEIGHT)
    metres = tiny_depth(image, 1.0)
    assert not node.change_parameters(min_depth=4.0, max_depth=5.0, depth_encoding='16UC1')
    answer = node.ask(image_message(image), camera_info(WIDTH, HEIGHT, float(WIDTH)))
    found = np.frombuffer(answer.depth.data, np.uint16).reshape(HEIGHT, WIDTH)
    valid = (metres >= 4.0) & (metres <= 5.0)
    np.testing.assert_allclose(found, np.where(valid, 1e3 * metres, 0.0), atol=0.51)
    assert 'expected min_depth below max_depth' in node.change_parameters(min_depth=6.0)
    assert 'expected an inactive node, found it active' in node.change_parameters(
        model='other.onnx'
    )


def test_old_images_are_dropped_but_not_those_without_a_stamp(node: Graph) -> None:
    assert not node.change_parameters(max_age=5.0)
    message: Any = image_message(noise(WIDTH, HEIGHT))
    dropped = _count(node, 'dropped: too old')
    # The partner's stamps are a few seconds after 1970.
    assert node.insist(message, lambda: _count(node, 'dropped: too old') > dropped + 2)
    assert node.insist(message, lambda: 'older than max_age' in node.diagnostics['message'])
    assert node.ask_stamped(message, 0)


def test_a_rate_limit_drops_the_rest(node: Graph) -> None:
    message = image_message(noise(WIDTH, HEIGHT))
    assert not node.change_parameters(rate_limit=0.001)
    node.next_diagnostics()
    dropped, inferred = _count(node, 'dropped: rate limit'), _count(node, 'frames inferred')
    assert node.insist(message, lambda: _count(node, 'dropped: rate limit') > dropped + 2)
    assert _count(node, 'frames inferred') <= inferred + 1


def test_diagnostics_come_every_second(node: Graph) -> None:
    node.next_diagnostics()
    came = node.diagnosed
    # At 0.1 Hz it would take 30 s.
    assert wait_until(lambda: node.diagnosed >= came + 3, 20.0)


def test_diagnostics_say_what_runs_and_how_fast(live: Live, node: Graph) -> None:
    process, _ = live
    message, info = image_message(noise(WIDTH, HEIGHT)), camera_info(WIDTH, HEIGHT, 50.0)
    sha256 = process.log.split('sha256 ')[1][:12]
    assert node.insist(message, lambda: node.diagnostics.get('output rate (Hz)', '0.0') != '0.0')
    found = node.diagnostics
    assert (found['name'], found['hardware_id'], found['model']) == (
        *('depth_node: depth', 'tiny', 'tiny'),
    )
    assert found['sha256'].startswith(sha256)
    assert found['provider'] == 'CPUExecutionProvider'
    for name in ('inference', 'total', 'waited', 'own work'):
        assert 0 < float(found[f'{name} p50 (ms)']) <= float(found[f'{name} p99 (ms)'])
    # The partner's stamps are a few seconds after 1970.
    for percent in (50, 99):
        assert float(found[f'age p{percent} (ms)']) == pytest.approx(1e3 * time.time(), rel=1e-3)
    bad = image_message(noise(WIDTH, HEIGHT))
    bad.encoding = 'ultraviolet7'
    assert node.insist(bad, lambda: 'ultraviolet7' in node.diagnostics.get('message', ''))
    assert node.diagnostics['level'] == '1'
    assert "found 'ultraviolet7'" in node.diagnostics['last error']
    assert int(node.diagnostics['dropped: error']) > 0
    assert node.ask(message, info)
