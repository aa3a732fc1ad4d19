"""
What robots do to a node. The counts are a tenth here; `make soak` has them in full.

The environment variable DEPTH_PRUNE_SOAK is the factor: 10 makes 100,000 malformed images.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from itertools import cycle
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import cv2
from depth_prune_ros.ros.context import free_domain
from depth_prune_ros.ros.context import ros_environment
from depth_prune_ros.ros.context import wait_until
from depth_prune_ros.ros.process import NodeProcess
from graph import camera_info
from graph import Graph
from graph import image_message
from graph import noise
from malformed import malformed_camera
from malformed import malformed_compressed
from malformed import malformed_image
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from tiny_model import HEIGHT
from tiny_model import OFFSET
from tiny_model import SLOPE
from tiny_model import tiny_depth
from tiny_model import WIDTH

Running = Callable[..., Any]

FACTOR = int(os.environ.get('DEPTH_PRUNE_SOAK', '1'))
BATCH = 250
HERE = Path(__file__).parent


def _torment(graph: Graph, image_type: type, batches: int, make: Callable[..., Any]) -> None:
    """Send malformed images and calibrations, and after each batch a good one to be answered."""
    random = np.random.default_rng(0)
    for batch in range(batches):
        for _ in range(BATCH):
            if random.random() < 0.2:
                graph.send_as_is(camera_info_message=malformed_camera(random))
            graph.send_as_is(make(random))
        image = noise(WIDTH, HEIGHT, seed=batch)
        if image_type is Image:
            good: Any = image_message(image)
        else:
            png = cv2.imencode('.png', image[..., ::-1])[1].tobytes()
            good = CompressedImage(format='png', data=png)
        answer = graph.ask(good, camera_info(WIDTH, HEIGHT, 50.0 + batch))
        expected = tiny_depth(image, (50.0 + batch) / WIDTH)
        np.testing.assert_allclose(answer.metres, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ('transport', 'image_type', 'batches', 'make'),
    [
        ('raw', Image, 32, malformed_image),
        ('compressed', CompressedImage, 8, malformed_compressed),
    ],
)
def test_good_images_among_malformed_ones_are_answered_right(
    running: Running,
    tiny_model: Path,
    transport: str,
    image_type: type,
    batches: int,
    make: Callable[..., Any],
) -> None:
    parameters = (
        f'model:={tiny_model}',
        f'image_transport:={transport}',
        'max_depth:=1000.0',
        'qos_overrides./image.subscription.reliability:=reliable',
        'qos_overrides./image.subscription.depth:=200',
    )
    with running(*parameters, image_type=image_type) as (process, graph):
        graph.wait_for(process)
        _torment(graph, image_type, batches * FACTOR, make)
        graph.next_diagnostics()
        # The newest image wins, so not every bad one was looked at; a good part was.
        assert int(graph.diagnostics['dropped: error']) > batches * FACTOR
        assert process.stop() == 0
        assert 'Traceback' not in process.log


def _camera(domain_id: int, width: int, height: int, level: int) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(HERE), str(HERE.parents[1]), os.environ.get('PYTHONPATH', '')])
    return subprocess.Popen(
        [sys.executable, str(HERE / 'camera_process.py'), str(width), str(height), str(level)],
        env={**os.environ, 'PYTHONPATH': path, **ros_environment(domain_id)},
    )


def test_a_camera_that_dies_comes_back_and_changes_its_resolution(
    running: Running, tiny_model: Path
) -> None:
    with running(f'model:={tiny_model}', 'max_depth:=1000.0') as (process, graph):
        for width, height, level in [(WIDTH, HEIGHT, 40), (3 * WIDTH, WIDTH, 200)] * FACTOR:
            graph.forget()
            camera = _camera(graph.domain_id, width, height, level)
            try:
                assert wait_until(lambda at=width: graph.answered('depth', at), 60.0)
                # The first image may come before its calibration.
                expected = 0.5 * 50.0 / width / (OFFSET + SLOPE * level / 255)
                assert wait_until(
                    lambda at=width, want=expected: np.allclose(
                        graph.answer(at).metres, want, rtol=1e-3
                    ),
                    20.0,
                )
                assert wait_until(lambda at=width: graph.answered('camera_info', at), 20.0)
            finally:
                camera.kill()
                camera.wait()
        assert process.running


def test_sigint_and_sigterm_at_any_moment_are_exit_code_0(tiny_model: Path) -> None:
    moments = np.random.default_rng(1).uniform(0.0, 2.5, 10 * FACTOR)
    for moment_s, number in zip(moments, cycle((signal.SIGINT, signal.SIGTERM))):
        with NodeProcess(['-p', f'model:={tiny_model}'], free_domain()) as process:
            assert wait_until(lambda process=process: _catches_sigterm(process.pid), 60.0)
            time.sleep(moment_s)
            begin = time.monotonic()
            assert process.stop(number) == 0, (number, moment_s, process.log)
            assert 'Traceback' not in process.log
            # On a computer that does nothing else; elsewhere it says nothing.
            assert FACTOR == 1 or time.monotonic() - begin < 1.0, (number, moment_s)


def _catches_sigterm(pid: int) -> bool:
    """Tell whether a process has a handler for SIGTERM, which Python alone has not."""
    status = Path(f'/proc/{pid}/status').read_text()
    caught = next(line for line in status.splitlines() if line.startswith('SigCgt'))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 256 KiB."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', str(folder)]
    if shutil.which('mount') is None or subprocess.run(mount, check=False).returncode:
        pytest.skip('mounting is not allowed here')
    yield folder
    subprocess.run(['umount', '--lazy', str(folder)], check=True)


def _fill(folder: Path) -> None:
    """Write to a file until the disk is full."""
    with (folder / 'full').open('ab', buffering=0) as file, pytest.raises(OSError, match='space'):
        while True:
            file.write(bytes(512))


@pytest.mark.parametrize('moment', ['before it starts', 'while it works'])
def test_a_full_disk_under_the_log_does_not_stop_the_node(
    running: Running,
    tiny_model: Path,
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    monkeypatch.setenv('ROS_LOG_DIR', str(small_disk))
    if moment == 'before it starts':
        _fill(small_disk)
    with running(f'model:={tiny_model}', 'max_depth:=1000.0') as (process, graph):
        graph.wait_for(process)
        if moment == 'while it works':
            _fill(small_disk)
        bad = Image(encoding='ultraviolet7', width=8, height=8, step=8)
        assert graph.insist(bad, lambda: 'ultraviolet7' in process.log)
        image = noise(WIDTH, HEIGHT)
        answer = graph.ask(image_message(image), camera_info(WIDTH, HEIGHT, 50.0))
        np.testing.assert_allclose(answer.metres, tiny_depth(image, 50.0 / WIDTH), rtol=1e-4)
        assert process.stop() == 0
        assert 'Traceback' not in process.log


def _resident_mb(pid: int) -> float:
    status = Path(f'/proc/{pid}/status').read_text()
    return next(int(s.split()[1]) for s in status.splitlines() if s.startswith('VmRSS')) / 1024


def test_memory_stays_flat(running: Running, tiny_model: Path) -> None:
    message, info = image_message(noise(256, 96)), camera_info(256, 96, 300.0)
    first, last = (1000, 2000) if FACTOR == 1 else (1000, 20_000)
    parameters = (f'model:={tiny_model}', 'points_fields:=xyzrgb', 'output_size:=input')
    with running(*parameters) as (process, graph):
        graph.listen('points', 'preview')
        graph.wait_for(process)
        before = 0.0
        for frame in range(last):
            if frame == first:
                before = _resident_mb(process.pid)
            graph.ask_quickly(message, info)
        assert 0 < _resident_mb(process.pid) < before + 5.0
