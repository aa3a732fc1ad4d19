"""The depth node as a real process, spoken to over DDS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import signal
import time
from typing import Any

import cv2
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.ros.context import wait_until
from depth_prune_ros.ros.process import NodeProcess
from depth_prune_ros.ros.processor import LOG_PERIOD_S
from graph import camera_info
from graph import Graph
from graph import image_message
from graph import noise
from lifecycle_msgs.msg import Transition
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage
from tiny_model import CARD_FX_OVER_WIDTH
from tiny_model import HEIGHT
from tiny_model import tiny_depth
from tiny_model import WIDTH
from tiny_model import write_tiny_model

Live = tuple[NodeProcess, Graph]
Running = Callable[..., Any]


# First of this file: afterwards the node knows a camera.
def test_without_camera_info_the_cards_focal_length_counts_and_is_said_once(live: Live) -> None:
    process, graph = live
    image = noise(WIDTH, HEIGHT)
    first, answer = (graph.ask(image_message(image)) for _ in range(2))
    assert not graph.answered('camera_info', first.depth.header.stamp.sec)
    np.testing.assert_allclose(answer.metres, tiny_depth(image, CARD_FX_OVER_WIDTH), rtol=1e-4)
    assert process.log.count('no camera_info yet: depth is scaled for the training camera') == 1


@pytest.mark.parametrize(
    ('encoding', 'padding'), [('rgb8', 0), ('bgr8', 0), ('rgb8', 7), ('bgr8', 64)]
)
def test_depth_is_the_engines_and_the_closed_form(
    live: Live, tiny_model: Path, encoding: str, padding: int
) -> None:
    _, graph = live
    image = noise(WIDTH, HEIGHT, seed=padding)
    image[..., 1:] //= 4
    answer = graph.ask(image_message(image, encoding, padding), camera_info(WIDTH, HEIGHT, 50.0))
    offline = DepthEngine.load(tiny_model).infer(image, 50.0 / WIDTH)
    np.testing.assert_allclose(answer.metres, offline, rtol=1e-4)
    np.testing.assert_allclose(answer.metres, tiny_depth(image, 50.0 / WIDTH), rtol=1e-4)


def test_depth_at_pixels_by_hand(live: Live) -> None:
    _, graph = live
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[3, 5] = 255
    image[4, 6] = (255, 0, 0)
    metres = graph.ask(image_message(image), camera_info(WIDTH, HEIGHT, 64.0)).metres
    assert metres[0, 0] == pytest.approx(0.5 / 0.01, rel=1e-4)
    assert metres[3, 5] == pytest.approx(0.5 / 0.21, rel=1e-4)
    assert metres[4, 6] == pytest.approx(0.5 / (0.01 + 0.2 / 3), rel=1e-4)


def test_twice_the_focal_length_is_twice_the_depth(live: Live) -> None:
    _, graph = live
    message = image_message(noise(WIDTH, HEIGHT))
    near = graph.ask(message, camera_info(WIDTH, HEIGHT, 40.0)).metres
    far = graph.ask(message, camera_info(WIDTH, HEIGHT, 80.0)).metres
    np.testing.assert_allclose(far, 2.0 * near, rtol=1e-6)


def test_an_image_of_another_size_is_resized_as_offline(live: Live, tiny_model: Path) -> None:
    _, graph = live
    image = noise(5 * WIDTH, 4 * HEIGHT)
    answer = graph.ask(image_message(image), camera_info(5 * WIDTH, 4 * HEIGHT, 300.0))
    offline = DepthEngine.load(tiny_model).infer(image, 300.0 / (5 * WIDTH))
    assert answer.metres.shape == (HEIGHT, WIDTH)
    np.testing.assert_allclose(answer.metres, offline, rtol=1e-4)


def test_a_real_frame_above_the_shared_memory_segment_arrives_reliably(
    running: Running, tiny_model: Path, kitti: Path
) -> None:
    path = sorted((kitti / 'object' / 'training' / 'image_2').glob('*.jpg'))[0]
    image = cv2.imread(str(path))[..., ::-1]
    height, width = image.shape[:2]
    assert image.nbytes > 512 * 1024
    reliable = 'qos_overrides./image.subscription.reliability:=reliable'
    with running(f'model:={tiny_model}', reliable) as (process, graph):
        graph.wait_for(process)
        answer = graph.ask(image_message(image), camera_info(width, height, 721.5377))
        (subscription,) = graph.node.get_subscriptions_info_by_topic('/image')
        assert subscription.qos_profile.reliability.name == 'RELIABLE'
    offline = DepthEngine.load(tiny_model).infer(image, 721.5377 / width)
    np.testing.assert_allclose(answer.metres, offline, rtol=1e-4)


def test_headers_are_copied_and_camera_info_fits_the_depth(live: Live) -> None:
    _, graph = live
    message = image_message(noise(2 * WIDTH, 4 * HEIGHT), frame_id='front/optical')
    message.header.stamp.nanosec = 123_456_789
    answer = graph.ask(message, camera_info(2 * WIDTH, 4 * HEIGHT, 100.0))
    assert answer.depth.header == message.header
    assert answer.info.header == message.header
    assert (answer.depth.encoding, answer.depth.step) == ('32FC1', 4 * WIDTH)
    assert (answer.info.width, answer.info.height) == (WIDTH, HEIGHT)
    # cx = 63 and cy = 66 of 128 x 128 become (63 + 0.5) / 2 - 0.5 and (66 + 0.5) / 4 - 0.5.
    np.testing.assert_allclose(answer.info.k, np.array([50, 0, 31.25, 0, 25, 16.125, 0, 0, 1]))
    p = np.array([50, 0, 31.25, -150, 0, 25, 16.125, 0, 0, 0, 1, 0])
    np.testing.assert_allclose(answer.info.p, p)
    np.testing.assert_allclose(answer.info.d, np.array([0.1, 0.2, 0.3, 0.4, 0.5]))


def test_a_strange_encoding_is_named_and_the_next_image_works(live: Live) -> None:
    process, graph = live
    bad = image_message(noise(WIDTH, HEIGHT))
    bad.encoding = 'ultraviolet7'
    assert graph.insist(bad, lambda: "found 'ultraviolet7'" in process.log), process.log
    image = noise(WIDTH, HEIGHT, seed=3)
    answer = graph.ask(image_message(image), camera_info(WIDTH, HEIGHT, 50.0))
    np.testing.assert_allclose(answer.metres, tiny_depth(image, 50.0 / WIDTH), rtol=1e-4)


def test_many_images_of_a_strange_encoding_are_one_line(live: Live) -> None:
    process, graph = live
    bad = image_message(noise(WIDTH, HEIGHT))
    bad.encoding = 'infrared9'
    begin = time.monotonic()
    assert graph.insist(bad, lambda: 'infrared9' in process.log)
    dropped = _dropped_by_errors(graph)
    while _dropped_by_errors(graph) < dropped + 20:
        for _ in range(40):
            graph.send(bad)
            time.sleep(0.01)
    periods = (time.monotonic() - begin) / LOG_PERIOD_S
    assert process.log.count('infrared9') <= 1 + periods


def _dropped_by_errors(graph: Graph) -> int:
    graph.next_diagnostics()
    return int(graph.diagnostics['dropped: error'])


def test_the_process_is_small_and_free_of_torch(live: Live) -> None:
    process, graph = live
    graph.ask(image_message(noise(WIDTH, HEIGHT)), camera_info(WIDTH, HEIGHT, 50.0))
    status = Path(f'/proc/{process.pid}/status').read_text()
    resident_kb = next(int(s.split()[1]) for s in status.splitlines() if s.startswith('VmRSS'))
    assert resident_kb < 300_000
    maps = Path(f'/proc/{process.pid}/maps').read_text()
    assert 'onnxruntime' in maps
    assert 'torch' not in maps


def test_no_subscriber_no_work(running: Running, tiny_model: Path) -> None:
    with running(f'model:={tiny_model}', listen=False) as (process, graph):
        graph.wait_for(process)
        bad = image_message(noise(WIDTH, HEIGHT))
        bad.encoding = 'ultraviolet7'
        for _ in range(20):
            graph.send(bad, camera_info(WIDTH, HEIGHT, 50.0))
        assert 'ultraviolet7' not in process.log
        graph.listen()
        assert graph.insist(bad, lambda: 'ultraviolet7' in process.log), process.log


def test_compressed_in_millimetres_out_within_limits(running: Running, tiny_model: Path) -> None:
    parameters = (
        f'model:={tiny_model}',
        'image_transport:=compressed',
        'depth_encoding:=16UC1',
        'min_depth:=3.0',
        'max_depth:=20.0',
    )
    image = noise(WIDTH, HEIGHT)
    image[: HEIGHT // 2] //= 16
    metres = tiny_depth(image, 1.0)
    valid = (metres >= 3.0) & (metres <= 20.0)
    assert 0 < valid.sum() < valid.size
    png = cv2.imencode('.png', image[..., ::-1])[1].tobytes()
    with running(*parameters, image_type=CompressedImage) as (process, graph):
        graph.wait_for(process)
        message = CompressedImage(format='png', data=png)
        answer = graph.ask(message, camera_info(WIDTH, HEIGHT, float(WIDTH)))
        assert process.stop(signal.SIGTERM) == 0
    assert answer.depth.encoding == '16UC1'
    found = np.frombuffer(answer.depth.data, np.uint16).reshape(HEIGHT, WIDTH)
    np.testing.assert_allclose(found, np.where(valid, 1e3 * metres, 0.0), atol=0.51)


def test_the_lifecycle_there_and_back(running: Running, tiny_model: Path) -> None:
    with running(f'model:={tiny_model}') as (process, graph):
        graph.wait_for(process)
        assert graph.state() == 'active'
        assert graph.change(Transition.TRANSITION_DEACTIVATE)
        assert wait_until(lambda: graph.node.count_subscribers('/image') == 0, 60.0)
        assert graph.change(Transition.TRANSITION_CLEANUP)
        assert graph.state() == 'unconfigured'
        assert graph.change(Transition.TRANSITION_CONFIGURE)
        assert graph.change(Transition.TRANSITION_ACTIVATE)
        graph.wait_for(process)
        image = noise(WIDTH, HEIGHT)
        answer = graph.ask(image_message(image), camera_info(WIDTH, HEIGHT, 50.0))
        np.testing.assert_allclose(answer.metres, tiny_depth(image, 50.0 / WIDTH), rtol=1e-4)
        assert process.stop() == 0
        assert 'Traceback' not in process.log


@pytest.mark.parametrize(
    ('parameter', 'reason'),
    [
        ('model_sha256:=00ff', 'expected sha256 00ff'),
        ('image_transport:=theora', "expected raw or compressed, found 'theora'"),
        ('model:=/nowhere/m.onnx', '/nowhere/m.onnx: expected a model file'),
    ],
)
def test_what_cannot_work_is_refused_with_its_reason(
    running: Running, tiny_model: Path, parameter: str, reason: str
) -> None:
    with running(f'model:={tiny_model}', parameter, until=reason) as (process, graph):
        assert graph.state() == 'unconfigured'
        assert process.running


def test_a_model_without_a_card_is_refused_and_the_node_lives(
    running: Running, tmp_path: Path
) -> None:
    model = write_tiny_model(tmp_path / 'bare.onnx', card=None)
    reason = f'{model}: expected a model card in the metadata'
    with running(f'model:={model}', until=reason) as (process, graph):
        assert graph.state() == 'unconfigured'
        write_tiny_model(model)
        assert graph.change(Transition.TRANSITION_CONFIGURE)
        assert graph.state() == 'inactive'
        assert process.stop() == 0
