"""The work of an active node: images in, depth out, the newest first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
import time

from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import CameraError
from depth_prune_ros.core.errors import DepthPruneError
from depth_prune_ros.ros.calibration import assumed_calibration
from depth_prune_ros.ros.calibration import Calibration
from depth_prune_ros.ros.calibration import calibration_of
from depth_prune_ros.ros.calibration import rectify
from depth_prune_ros.ros.diagnostics import CLOCKS
from depth_prune_ros.ros.diagnostics import Drop
from depth_prune_ros.ros.diagnostics import Statistics
from depth_prune_ros.ros.diagnostics import Timing
from depth_prune_ros.ros.frame import DepthFrame
from depth_prune_ros.ros.inputs import CameraImage
from depth_prune_ros.ros.inputs import read_image
from depth_prune_ros.ros.mailbox import Worker
from depth_prune_ros.ros.outputs import Outputs
from depth_prune_ros.ros.parameters import DepthParameters
import numpy as np
from numpy.typing import NDArray
from rclpy.clock import Clock
from rclpy.impl.rcutils_logger import RcutilsLogger
from sensor_msgs.msg import CameraInfo

LOG_PERIOD_S = 5.0
# Aspect ratios of image and camera_info closer than this are the same: drivers round sizes.
SAME_ASPECT = 0.02
# How much wider or narrower than the network's an image may be before stretching it is warned of.
STRETCHABLE = 1.3
# Times in the box, in periods of the camera, after which the next image is due, and after which it
# does not come any more.
NEXT_DUE = (0.9, 3.0)


@dataclass(frozen=True)
class Arrival:
    """
    An image on its way.

    :param at_s: when it came (time.perf_counter)
    :param stamp_ns: its stamp
    :param period_s: from the stamp of the image before to its own
    """

    message: CameraImage
    at_s: float
    stamp_ns: int
    period_s: float


class RateLimit:
    """Let through so many images a second on average, whatever the rate they come at."""

    def __init__(self) -> None:
        """Start with the next image due at once."""
        self._due_s = 0.0
        self._rate_hz = 0.0

    def passes(self, now_s: float, rate_hz: float) -> bool:
        """Tell whether an image that came now goes on; a rate of 0 lets all through."""
        if rate_hz != self._rate_hz:
            self._rate_hz, self._due_s = rate_hz, 0.0
        if rate_hz <= 0:
            return True
        period_s = 1.0 / rate_hz
        # A camera of that very rate has jitter; it must not lose every other image to it.
        if now_s < self._due_s - 0.25 * period_s:
            return False
        self._due_s = max(self._due_s, now_s - 0.5 * period_s) + period_s
        return True


class Processor:
    """Takes what the subscriptions get and publishes what comes of it, in a thread of its own."""

    def __init__(
        self,
        engine: DepthEngine,
        outputs: Outputs,
        statistics: Statistics,
        clock: Clock,
        log: RcutilsLogger,
    ) -> None:
        """Start the thread; :attr:`settings` and :attr:`camera` may be exchanged at any time."""
        self.settings = DepthParameters()
        self.said: set[str] = set()
        self._engine = engine
        self._outputs = outputs
        self._statistics = statistics
        self._clock = clock
        self._log = log
        self.camera: Calibration | None = None
        self._limit = RateLimit()
        self._before_ns = 0
        self._worker: Worker[Arrival] = Worker(self._process, self._failed, self._patience_s)

    def take_camera_info(self, message: CameraInfo) -> None:
        """Remember the camera; one that cannot be used leaves the last one that could."""
        try:
            self.camera = calibration_of(message)
        except CameraError as error:
            self._statistics.last_error = str(error)
            self._say('camera_info', f'camera_info ignored: {error}')

    def take_image(self, message: CameraImage) -> None:
        """Hand an image to the thread, if anybody wants to know."""
        now_s = time.perf_counter()
        self._statistics.received()
        if not self._outputs.wanted:
            return
        if not self._limit.passes(now_s, self.settings.rate_limit):
            self._statistics.dropped(Drop.RATE)
            return
        stamp = message.header.stamp
        stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
        period_s, self._before_ns = (stamp_ns - self._before_ns) * 1e-9, stamp_ns
        if self._worker.put(Arrival(message, now_s, stamp_ns, period_s)):
            self._statistics.dropped(Drop.NEWER)

    def stop(self) -> None:
        """Finish the image at hand and end the thread, for good."""
        self._worker.stop()
        # it holds us in turn, and a cycle would keep the model until Python looks for cycles
        del self._worker

    def _process(self, arrival: Arrival) -> None:
        """Turn one image into what is wanted of it; runs in the thread."""
        settings = self.settings
        waited_s = time.perf_counter() - arrival.at_s
        age_s = self._age_s(arrival.stamp_ns)
        if age_s is not None and 0 < settings.max_age < age_s:
            self._statistics.dropped(Drop.AGE)
            text = f'image dropped: {age_s:.3g} s old by the clock of the node'
            self._say('age', f'{text}, more than max_age allows; if all are: {CLOCKS}')
            return
        image = read_image(arrival.message)
        known = self.camera
        raw = self._camera_of(image, known)
        image, camera = self._rectified(image, raw, settings)
        self._check_fit(camera, settings)
        frame = DepthFrame(image, camera, self._engine, settings, raw)
        self._tell_size(camera, frame)
        self._outputs.publish(frame, arrival.message.header, settings, known is not None)
        total_s = time.perf_counter() - arrival.at_s
        self._statistics.published(Timing(age_s, waited_s, frame.inference_s, total_s))

    def _patience_s(self, arrival: Arrival) -> float:
        """
        Tell how long to wait for the image after one that waited.

        The next is due one period after it came, whatever the age of its stamp: images of a slow
        transport are old, but none the newer for waiting.

        :return: seconds at most; the next ends the wait
        """
        waited_s, period_s = time.perf_counter() - arrival.at_s, arrival.period_s
        due, gone = NEXT_DUE
        waits = due * period_s <= waited_s < gone * period_s
        return period_s if waits else 0.0

    def _age_s(self, stamp_ns: int) -> float | None:
        """Return the age of a stamp; None for 0, which drivers without a clock send."""
        return (self._clock.now().nanoseconds - stamp_ns) * 1e-9 if stamp_ns else None

    def _camera_of(self, image: NDArray[np.uint8], known: Calibration | None) -> Calibration:
        """Return the camera at the image's size; the training camera's where none is known."""
        height, width = image.shape[:2]
        self._statistics.scale_assumed = known is None
        if known is None:
            text = 'no camera_info yet: depth is scaled for the training camera'
            self._say('no camera', text)
            return assumed_calibration(width, height, self._engine.card.fx_over_width)
        if abs(width * known.height / (height * known.width) - 1.0) > SAME_ASPECT:
            text = (
                f'camera_info is of {known.width}x{known.height}, the image of {width}x{height}: '
                'the depth may be out of scale'
            )
            self._say(f'aspect {width}x{height}', text)
        return _resized(known, width, height)

    def _rectified(
        self, image: NDArray[np.uint8], camera: Calibration, settings: DepthParameters
    ) -> tuple[NDArray[np.uint8], Calibration]:
        if not camera.unrectified:
            return image, camera
        if settings.rectify:
            return rectify(image, camera), camera.rectified()
        text = (
            'camera_info tells raw from rectified images (D, R, or K beside P): unless the image '
            'is rectified already, depth is off; subscribe to image_rect or set rectify'
        )
        self._say('distortion', text)
        return image, camera

    def _check_fit(self, camera: Calibration, settings: DepthParameters) -> None:
        """Warn where what the network sees has other proportions than what it learned from."""
        card = self._engine.card
        stretch = card.input_width * camera.height / (card.input_height * camera.width)
        matched = settings.fit == 'match' and card.size_multiple
        stretched = settings.fit != 'crop' and not matched
        if stretched and not 1 / STRETCHABLE < stretch < STRETCHABLE:
            text = (
                f"the image of {camera.width}x{camera.height} is stretched to the network's "
                f'{card.input_width}x{card.input_height}: unless it was trained on such images, '
                f'depth is far off; set fit to {"match" if card.size_multiple else "crop"}'
            )
            self._say('fit', text)

    def _tell_size(self, camera: Calibration, frame: DepthFrame) -> None:
        """Say once of each camera at what size the network sees its images."""
        text = (
            f'images of {camera.width}x{camera.height} are seen at {frame.size[0]}x{frame.size[1]}'
        )
        if text not in self.said:
            self.said.add(text)
            self._log.info(text)

    def _say(self, subject: str, text: str) -> None:
        """Warn of a subject once."""
        if subject not in self.said:
            self.said.add(subject)
            self._log.warning(text)

    def _failed(self, error: Exception) -> None:
        kind = '' if isinstance(error, DepthPruneError) else f'{type(error).__name__}: '
        text = ' '.join(f'image dropped: {kind}{error}'.split())
        self._statistics.dropped(Drop.ERROR)
        self._statistics.last_error = text
        self._log.error(text, throttle_duration_sec=LOG_PERIOD_S)


@lru_cache(maxsize=8)
def _resized(camera: Calibration, width: int, height: int) -> Calibration:
    return camera.resized(width, height)
