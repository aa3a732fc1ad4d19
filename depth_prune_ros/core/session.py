"""Sessions of onnxruntime: for a size of image, by a provider, in the layout that is faster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import time

from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.errors import ModelError
from depth_prune_ros.core.sides import with_sides
import numpy as np
import onnxruntime as ort

# By the name the node's parameter has; also the order in which `auto` tries what is there.
PROVIDERS = {
    'tensorrt': 'TensorrtExecutionProvider',
    'cuda': 'CUDAExecutionProvider',
    'openvino': 'OpenVINOExecutionProvider',
    'cpu': 'CPUExecutionProvider',
}
AUTO = 'auto'

# With ENABLE_ALL onnxruntime lays channels out in blocks of 8 or 16: faster for round widths,
# slower for those that pruning leaves. Which it is for a model is measured when it is loaded.
LEVELS = (
    ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
)
# How long threads wait for the next operator awake. By default they stay awake long after a run.
_SPIN_KEY, _SPIN_US = 'session.intra_op.spin_duration_us', '1000'

Size = tuple[int, int]
Check = Callable[[ort.InferenceSession], None]


@dataclass(frozen=True)
class Sessions:
    """
    Makes the sessions of a model.

    :param model: the file's bytes
    :param threads: threads of one inference; 0 leaves it to onnxruntime
    :param repeatable: compute the same bits each time on a computer; else the faster way is
        measured and taken, and the two differ in the last digits
    """

    model: bytes
    threads: int = 0
    repeatable: bool = False

    def resized(self, session: ort.InferenceSession, size: Size) -> ort.InferenceSession:
        """
        Make a session for images of another size: by the same provider, in the same layout.

        :param size: width and height
        """
        level = session.get_session_options().graph_optimization_level
        model = with_sides(self.model, *size)
        return self._session(model, level, session.get_providers()[0])

    def first(self, provider: str, check: Check) -> tuple[ort.InferenceSession, dict[str, str]]:
        """
        Make a session of the provider asked for, or of the first that works where it is auto.

        :param provider: a key of PROVIDERS, or auto
        :param check: called with a session before it runs; raises ModelError
        :return: the session, and why each provider tried before does not work
        :raises ConfigError: a provider that this onnxruntime does not have or cannot start
        """
        there = ort.get_available_providers()
        available = [name for name, full in PROVIDERS.items() if full in there]
        if provider != AUTO and provider not in available:
            msg = (
                f'provider: expected one that this onnxruntime has ({", ".join(available)}), '
                f'found {provider}; install the onnxruntime package that has it, or take another'
            )
            raise ConfigError(msg)
        left_out: dict[str, str] = {}
        for name in available if provider == AUTO else [provider]:
            try:
                session = self._by(PROVIDERS[name], check)
            except ConfigError as error:
                left_out[name] = str(error)
                continue
            # Without a provider's libraries onnxruntime leaves it out, with a log line alone.
            if session.get_providers()[0] == PROVIDERS[name]:
                return session, left_out
            left_out[name] = 'onnxruntime leaves it out, see the log above'
        found = '; '.join(f'{name}: {reason}' for name, reason in left_out.items())
        msg = f'provider: expected {provider} to start, found {found}'
        raise ConfigError(msg)

    def _by(self, provider: str, check: Check) -> ort.InferenceSession:
        session = self._session(self.model, LEVELS[0], provider)
        check(session)
        if provider != PROVIDERS['cpu'] or self.repeatable:
            return session
        other = self._session(self.model, LEVELS[1], provider)
        return other if _seconds(other) < _seconds(session) else session

    def _session(
        self, model: bytes, level: ort.GraphOptimizationLevel, provider: str
    ) -> ort.InferenceSession:
        options = session_options(self.threads, level)
        providers = list(dict.fromkeys([provider, PROVIDERS['cpu']]))
        try:
            return ort.InferenceSession(
                model, sess_options=options, providers=providers, enable_fallback=0
            )
        except Exception as error:  # onnxruntime's errors share no public base
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            if provider != PROVIDERS['cpu']:
                self._session(model, level, PROVIDERS['cpu'])
                raise ConfigError(reason) from error
            msg = f'expected an ONNX model, found: {reason}'
            raise ModelError(msg) from error


def session_options(threads: int, level: ort.GraphOptimizationLevel) -> ort.SessionOptions:
    """
    Return the options of every session of this package.

    :param threads: threads of one inference; 0 leaves it to onnxruntime
    :param level: one of LEVELS
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.graph_optimization_level = level
    options.add_session_config_entry(_SPIN_KEY, _SPIN_US)
    return options


def _seconds(session: ort.InferenceSession) -> float:
    """Return the shortest of a few inferences, after one that warms up."""
    image = session.get_inputs()[0]
    blank = {image.name: np.zeros(image.shape, np.uint8)}
    found = []
    for _ in range(5):
        start = time.perf_counter()
        session.run(None, blank)
        found.append(time.perf_counter() - start)
    return min(found[1:])
