"""What the node does with an image before it is worked on."""

from __future__ import annotations

import gc
from pathlib import Path
import threading
from types import SimpleNamespace
from typing import Any
import weakref

from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.ros.calibration import calibration_of
from depth_prune_ros.ros.context import wait_until
from depth_prune_ros.ros.diagnostics import Statistics
from depth_prune_ros.ros.diagnostics import Timing
from depth_prune_ros.ros.parameters import DepthParameters
from depth_prune_ros.ros.processor import Arrival
from depth_prune_ros.ros.processor import Processor
from depth_prune_ros.ros.processor import RateLimit
from graph import camera_info
from graph import image_message
from graph import noise
import pytest
from rclpy.clock import Clock
from rclpy.duration import Duration
from rclpy.logging import get_logger
from sensor_msgs.msg import Image


def _passed(limit: RateLimit, begin_s: float, rate_hz: float) -> int:
    """Count what passes of 300 images in 10 s."""
    return sum(limit.passes(begin_s + frame / 30.0, rate_hz) for frame in range(300))


def test_a_rate_limit_lets_through_so_many() -> None:
    assert _passed(RateLimit(), 1000.0, 10.0) == pytest.approx(100, abs=1)
    assert _passed(RateLimit(), 1000.0, 0.0) == 300


@pytest.mark.parametrize(
    ('rate_hz', 'images'), [(10, 100), (20, 200), (25, 250), (30, 300), (0, 300)]
)
def test_a_higher_rate_counts_at_once(rate_hz: float, images: int) -> None:
    limit = RateLimit()
    assert _passed(limit, 1000.0, 0.01) == 1
    assert _passed(limit, 1010.0, rate_hz) == pytest.approx(images, abs=1)
    assert _passed(limit, 1020.0, 0.01) == 1


@pytest.mark.parametrize(
    ('waited_s', 'period_s', 'wanted_s'),
    [
        # the next is due, or late
        *((0.95, 1.0, 1.0), (0.5, 0.5, 0.5), (0.5, 0.25, 0.25)),
        # it is not due yet, however old the stamp is
        *((0.001, 1.0, 0.0), (0.001, 0.03125, 0.0), (0.875, 1.0, 0.0)),
        # it does not come any more
        *((0.75, 0.25, 0.0), (9.0, 1.0, 0.0)),
        # a camera that stamps all alike, a bag's next loop
        *((0.5, 0.0, 0.0), (0.5, -3.0, 0.0)),
    ],
)
@pytest.mark.parametrize('periods_old', [0.0, 1.0, 2.5, -1.0])
def test_an_image_that_lay_in_the_box_for_a_period_waits_for_the_next(
    waited_s: float,
    period_s: float,
    wanted_s: float,
    periods_old: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now: Any = SimpleNamespace(perf_counter=lambda: 1000.0)
    monkeypatch.setattr('depth_prune_ros.ros.processor.time', now)
    processor: Any = Processor.__new__(Processor)
    processor._clock = Clock()
    stamp = processor._clock.now() - Duration(seconds=periods_old * period_s)
    arrival = Arrival(Image(), 1000.0 - waited_s, stamp.nanoseconds, period_s)
    assert processor._patience_s(arrival) == wanted_s


def test_what_is_rectified_already_goes_on_as_it_is() -> None:
    info = camera_info(64, 32, 50.0)
    info.d = [0.0] * 5
    image, camera = noise(64, 32), calibration_of(info)
    processor: Any = Processor.__new__(Processor)
    found = processor._rectified(image, camera, DepthParameters(rectify=True))
    assert found[0] is image
    assert found[1] is camera


def test_what_is_timed_of_an_image(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def clock(*seconds: float) -> Any:
        return SimpleNamespace(perf_counter=iter(seconds).__next__)

    monkeypatch.setattr('depth_prune_ros.ros.processor.time', clock(7.25, 8.5))
    monkeypatch.setattr('depth_prune_ros.ros.frame.time', clock(7.5, 8.0))
    outputs: Any = SimpleNamespace(publish=lambda frame, *_: frame.depth)
    now: Any = SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=1_500_000_000))
    engine, statistics = DepthEngine.load(tiny_model), Statistics()
    processor = Processor(engine, outputs, statistics, now, get_logger('timed'))
    processor._process(Arrival(image_message(noise(64, 32)), 7.0, 1_000_000_000, 0.0))
    processor.stop()
    assert list(statistics._timings) == [
        Timing(age_s=0.5, waited_s=0.25, inference_s=0.5, total_s=1.5)
    ]


def test_an_unknown_distortion_is_told_of_and_the_next_camera_is_served(tiny_model: Path) -> None:
    done = threading.Event()
    outputs: Any = SimpleNamespace(wanted=['depth'], publish=lambda *_: done.set())
    statistics = Statistics()
    log = get_logger('distorted')
    processor = Processor(DepthEngine.load(tiny_model), outputs, statistics, Clock(), log)
    processor.settings = DepthParameters(rectify=True)
    info, message = camera_info(64, 32, 50.0), image_message(noise(64, 32))
    info.distortion_model = 'fisheye'
    processor.take_camera_info(info)
    processor.take_image(message)
    assert wait_until(lambda: bool(statistics.last_error), 60.0)
    assert statistics.last_error.startswith('image dropped: expected distortion_model plumb_bob')
    assert "found 'fisheye'" in statistics.last_error
    status = statistics.status(1.0, lambda _: False)
    assert (status.level, "found 'fisheye'" in status.message) == (status.WARN, True)
    assert not done.is_set()
    info.distortion_model = 'plumb_bob'
    processor.take_camera_info(info)
    processor.take_image(message)
    assert done.wait(60.0)
    processor.stop()


def test_one_that_was_stopped_keeps_no_model(tiny_model: Path) -> None:
    engine = DepthEngine.load(tiny_model)
    there = weakref.ref(engine)
    outputs: Any = SimpleNamespace(wanted=[])
    processor = Processor(engine, outputs, Statistics(), Clock(), get_logger('freed'))
    gc.disable()
    try:
        processor.stop()
        del processor, engine
        assert there() is None
    finally:
        gc.enable()
