"""Run a model file: a camera image in, disparity or metric depth out (onnxruntime)."""

from __future__ import annotations

from collections.abc import Mapping
import hashlib
import math
from pathlib import Path
import time

from depth_prune_ros.core.camera import depth_from_disparity
from depth_prune_ros.core.card import DISPARITY_MEANING
from depth_prune_ros.core.card import METADATA_KEY
from depth_prune_ros.core.card import ModelCard
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.errors import ModelError
from depth_prune_ros.core.images import resize_image
import numpy as np
from numpy.typing import NDArray
import onnxruntime as ort

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]

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
_LEVELS = (
    ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
)
# How long threads wait for the next operator awake. By default they stay awake long after a run.
_SPIN_KEY, _SPIN_US = 'session.intra_op.spin_duration_us', '1000'


class DepthEngine:
    """A loaded and verified model file."""

    def __init__(
        self,
        session: ort.InferenceSession,
        card: ModelCard,
        sha256: str,
        left_out: Mapping[str, str],
    ) -> None:
        """
        Wrap a verified session; use :meth:`load`.

        :param left_out: the providers that auto tried in vain, and why each does not work
        """
        self._session = session
        self.card = card
        self.sha256 = sha256
        self.left_out = left_out
        self.provider: str = session.get_providers()[0]
        self._input: str = session.get_inputs()[0].name

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        threads: int = 0,
        sha256: str = '',
        provider: str = 'cpu',
        repeatable: bool = False,
    ) -> DepthEngine:
        """
        Load a model file and check it against its card.

        :param path: the ONNX file
        :param threads: threads of one inference; 0 leaves it to onnxruntime
        :param sha256: hex digest the file must have; empty accepts any
        :param provider: what computes: a key of PROVIDERS, or auto for the first that works
        :param repeatable: compute the same bits each time the file is loaded on a computer; else
            the faster way is measured and taken, and the two differ in the last digits
        :raises ModelError: missing, not ONNX, no card, or input and output other than the card's
        :raises ConfigError: a provider that this onnxruntime does not have or cannot start
        """
        path = Path(path)
        # Read once: the digest is of the very bytes that run, whatever becomes of the file.
        model = _read(path)
        digest = hashlib.sha256(model).hexdigest()
        if sha256 and digest != sha256.lower():
            msg = f'{path}: expected sha256 {sha256.lower()}, found {digest}; fetch the file again'
            raise ModelError(msg)
        try:
            session, left_out = _first_session(model, threads, provider)
            card = _card_of(session)
            _check_meaning(card)
            _check_signature(session, card)
        except ModelError as error:
            msg = f'{path}: {error}'
            raise ModelError(msg) from error
        if session.get_providers()[0] == PROVIDERS['cpu'] and not repeatable:
            session = _faster(session, _session(model, threads, _LEVELS[1]))
        return cls(session, card, digest, left_out)

    def disparity(self, image: Bytes) -> Float:
        """
        Predict the left disparity.

        :param image: uint8 [H, W, 3] RGB, any size; it is resized to the network's
        :return: float32 [input_height, input_width], fractions of the image width
        """
        return self.run(resize_image(image, self.card.input_width, self.card.input_height))

    def run(self, fitted: Bytes) -> Float:
        """
        Run the network alone.

        :param fitted: uint8 [input_height, input_width, 3] RGB
        :return: float32 [input_height, input_width], fractions of the image width
        """
        output: Float = self._session.run(None, {self._input: fitted[None]})[0][0]
        return output

    def infer(self, image: Bytes, fx_over_width: float | None = None) -> Float:
        """
        Predict metric depth.

        :param image: uint8 [H, W, 3] RGB, any size
        :param fx_over_width: focal length over width of the camera; None uses the card's
        :return: float32 [input_height, input_width] metres, NaN where invalid
        """
        scale = self.card.fx_over_width if fx_over_width is None else fx_over_width
        return depth_from_disparity(self.disparity(image), self.card.baseline_m, scale)


def sha256_of(path: Path) -> str:
    """
    Return the hex digest of a model file, as :attr:`DepthEngine.sha256` has it.

    :raises ModelError: missing, or not to be read
    """
    return hashlib.sha256(_read(path)).hexdigest()


def _first_session(
    model: bytes, threads: int, provider: str
) -> tuple[ort.InferenceSession, dict[str, str]]:
    """
    Make a session of the provider asked for, or of the first that works where it is auto.

    :return: the session, and why each provider tried before does not work
    """
    available = [name for name, full in PROVIDERS.items() if full in ort.get_available_providers()]
    if provider != AUTO and provider not in available:
        msg = (
            f'provider: expected one that this onnxruntime has ({", ".join(available)}), found '
            f'{provider}; install the onnxruntime package that has it, or take another'
        )
        raise ConfigError(msg)
    left_out: dict[str, str] = {}
    for name in available if provider == AUTO else [provider]:
        try:
            session = _session(model, threads, _LEVELS[0], PROVIDERS[name])
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


def _session(
    model: bytes,
    threads: int,
    level: ort.GraphOptimizationLevel,
    provider: str = PROVIDERS['cpu'],
) -> ort.InferenceSession:
    """
    Make a session.

    :raises ModelError: the cpu does not run the model either
    :raises ConfigError: the provider does not work; the reason alone
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.graph_optimization_level = level
    options.add_session_config_entry(_SPIN_KEY, _SPIN_US)
    providers = list(dict.fromkeys([provider, PROVIDERS['cpu']]))
    try:
        return ort.InferenceSession(
            model, sess_options=options, providers=providers, enable_fallback=0
        )
    except Exception as error:  # onnxruntime's errors share no public base
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if provider != PROVIDERS['cpu']:
            _session(model, threads, level)
            raise ConfigError(reason) from error
        msg = f'expected an ONNX model, found: {reason}'
        raise ModelError(msg) from error


def _faster(first: ort.InferenceSession, second: ort.InferenceSession) -> ort.InferenceSession:
    return second if _seconds(second) < _seconds(first) else first


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


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f'{path}: expected a model file, found: {error.strerror}'
        raise ModelError(msg) from error


def _card_of(session: ort.InferenceSession) -> ModelCard:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        msg = (
            f'expected a model card in the metadata ({METADATA_KEY}), found none; '
            'make the file with: depth-prune export'
        )
        raise ModelError(msg)
    return ModelCard.from_json(text)


def _check_meaning(card: ModelCard) -> None:
    """Refuse a card whose numbers no camera has, or whose colours or disparity are not ours."""
    for name, value in (('baseline_m', card.baseline_m), ('fx_over_width', card.fx_over_width)):
        if not (math.isfinite(value) and value > 0):
            msg = f'expected {name} above 0 in the card, found {value}; export the model again'
            raise ModelError(msg)
    expected = (('colour', card.colour, 'rgb'), ('disparity', card.disparity, DISPARITY_MEANING))
    for name, found, wanted in expected:
        if found != wanted:
            msg = f'expected {name} {wanted!r} in the card, found {found!r}'
            raise ModelError(msg)


def _check_signature(session: ort.InferenceSession, card: ModelCard) -> None:
    """Compare the graph's input and output with the card."""
    height, width = card.input_height, card.input_width
    expected = (
        ('input', session.get_inputs(), 'tensor(uint8)', [1, height, width, 3]),
        ('output', session.get_outputs(), 'tensor(float)', [1, height, width]),
    )
    for role, found, kind, shape in expected:
        if len(found) != 1 or found[0].type != kind or list(found[0].shape) != shape:
            seen = ', '.join(f'{f.type} {f.shape}' for f in found)
            msg = f'expected one {role} {kind} {shape} as in the card, found {seen}'
            raise ModelError(msg)
