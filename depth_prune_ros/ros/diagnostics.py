"""What the node counts and measures, and how /diagnostics says it."""

from __future__ import annotations

from collections import Counter
from collections import deque
from collections.abc import Callable
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
import threading
import time

from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_msgs.msg import KeyValue
import numpy as np

# Frames that the percentiles are taken over.
WINDOW = 1000
# Gaps between images that say how often a camera sends, and how many of these make a silence.
GAPS = 5
PATIENCE = 3.0
CLOCKS = "compare the camera's clock with the node's (use_sim_time)"


class Drop(Enum):
    """Why an image was not answered."""

    NEWER = 'newer image'
    RATE = 'rate limit'
    AGE = 'too old'
    ERROR = 'error'


@dataclass(frozen=True)
class Timing:
    """
    How long one image took, in seconds.

    :param age_s: from its stamp to the start of the work, by the node's clock; None for stamp 0
    :param waited_s: from the callback to the start of the work: for the image before it
    :param inference_s: the network's run; 0 where nobody needed it
    :param total_s: from the callback to the last publish
    """

    age_s: float | None
    waited_s: float
    inference_s: float
    total_s: float


class Statistics:
    """Counts and times of a node; any thread may add to them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Start with nothing.

        :param clock: seconds, rising
        """
        self._clock = clock
        self._arrived_s: deque[float] = deque(maxlen=GAPS + 1)
        self._warned: list[str] = []
        self._lock = threading.Lock()
        self._timings: deque[Timing] = deque(maxlen=WINDOW)
        self._dropped: Counter[Drop] = Counter()
        self._inputs = self._outputs = self._inferred = 0
        self._before = (0, 0, 0, 0)
        self._mismatches: dict[str, str] = {}
        self.last_error = ''
        self.scale_assumed = False  # no camera_info that can be used has come

    def received(self) -> None:
        """Count an image that arrived."""
        with self._lock:
            self._inputs += 1
            self._arrived_s.append(self._clock())

    def dropped(self, cause: Drop) -> None:
        """Count an image that goes no further."""
        with self._lock:
            self._dropped[cause] += 1

    def published(self, timing: Timing) -> None:
        """Count an answered image."""
        with self._lock:
            self._outputs += 1
            self._inferred += timing.inference_s > 0
            self._timings.append(timing)

    def mismatch(self, topic: str, policy: str) -> bool:
        """Note a QoS that does not fit; True if it is news."""
        with self._lock:
            news = self._mismatches.get(topic) != policy
            self._mismatches[topic] = policy
            return news

    def status(
        self, seconds: float, lasting: Callable[[str], str], silence: str = 'no images'
    ) -> DiagnosticStatus:
        """
        Sum up.

        :param seconds: since the last sum
        :param lasting: the full name of a mismatch's topic while it has one, '' after that
        :param silence: what it means where no image came
        :return: warns of a QoS mismatch, of images dropped by errors or all by age, and of
            silence; between two images of a slow camera it says what it said before
        """
        with self._lock:
            silent = self._is_silent()
            dropped = {cause: self._dropped[cause] for cause in Drop}
            now = (self._inputs, self._outputs, dropped[Drop.ERROR], dropped[Drop.AGE])
            came, went, failed, aged = (n - old for n, old in zip(now, self._before, strict=True))
            self._before = now
            inferred, timings = self._inferred, list(self._timings)
            mismatches = dict(self._mismatches)
        status = DiagnosticStatus(level=DiagnosticStatus.OK, message='active')
        quality = ', '.join(
            f'{name}: {policy}' for topic, policy in mismatches.items() if (name := lasting(topic))
        )
        warnings = {
            f'incompatible QoS ({quality})': bool(quality),
            f'{failed} images dropped by errors: {self.last_error}': failed > 0,
            'no camera_info that can be used: depth is scaled for the training camera': (
                went > 0 and self.scale_assumed
            ),
            f'all images dropped as older than max_age: {CLOCKS}': (
                aged > 0 and not went and not failed
            ),
            silence: not came and silent,
        }
        found = [text for text, holds in warnings.items() if holds]
        if came or found:
            self._warned = found
        if self._warned:
            status.level, status.message = DiagnosticStatus.WARN, '; '.join(self._warned)
        status.values = [
            _value('input rate (Hz)', f'{came / seconds:.1f}'),
            _value('output rate (Hz)', f'{went / seconds:.1f}'),
            _value('frames inferred', str(inferred)),
            *_times(timings),
            *(_value(f'dropped: {cause.value}', str(count)) for cause, count in dropped.items()),
            _value('incompatible QoS', quality),
            _value('last error', self.last_error),
        ]
        return status

    def _is_silent(self) -> bool:
        arrived = list(self._arrived_s)
        gaps = np.diff(arrived)
        usual_s = float(np.median(gaps)) if gaps.size else 0.0
        return not arrived or self._clock() - arrived[-1] > PATIENCE * usual_s


def _times(timings: list[Timing]) -> Iterable[KeyValue]:
    seconds = {
        'inference': [t.inference_s for t in timings if t.inference_s > 0],
        'total': [t.total_s for t in timings],
        'waited': [t.waited_s for t in timings],
        'own work': [t.total_s - t.waited_s - t.inference_s for t in timings],
        'age': [t.age_s for t in timings if t.age_s is not None],
    }
    for name, values in seconds.items():
        for percent in (50, 99):
            text = f'{1e3 * np.percentile(values, percent):.2f}' if values else ''
            yield _value(f'{name} p{percent} (ms)', text)


def model_values(name: str, sha256: str, provider: str) -> list[KeyValue]:
    """Say which model runs, and on what."""
    return [_value('model', name), _value('sha256', sha256), _value('provider', provider)]


def _value(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=value)
