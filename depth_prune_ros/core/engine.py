"""Run a model file: a camera image in, disparity or metric depth out (onnxruntime)."""

from __future__ import annotations

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


class DepthEngine:
    """A loaded and verified model file."""

    def __init__(self, session: ort.InferenceSession, card: ModelCard, sha256: str) -> None:
        """Wrap a verified session; use :meth:`load`."""
        self._session = session
        self.card = card
        self.sha256 = sha256
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
        digest = _digest(path)
        if sha256 and digest != sha256.lower():
            msg = f'{path}: expected sha256 {sha256.lower()}, found {digest}; fetch the file again'
            raise ModelError(msg)
        session = _first_session(path, threads, provider)
        text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            msg = (
                f'{path}: expected a model card in the metadata ({METADATA_KEY}), found none; '
                'make the file with: depth-prune export'
            )
            raise ModelError(msg)
        try:
            card = ModelCard.from_json(text)
            _check_meaning(card)
        except ModelError as error:
            msg = f'{path}: {error}'
            raise ModelError(msg) from error
        _check_signature(path, session, card)
        if session.get_providers()[0] == PROVIDERS['cpu'] and not repeatable:
            session = _faster(session, _session(path, threads, _LEVELS[1]))
        return cls(session, card, digest)

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


def _first_session(path: Path, threads: int, provider: str) -> ort.InferenceSession:
    """Make a session of the provider asked for, or of the first that works where it is auto."""
    available = [name for name, full in PROVIDERS.items() if full in ort.get_available_providers()]
    if provider != AUTO and provider not in available:
        msg = (
            f'provider: expected one that this onnxruntime has ({", ".join(available)}), found '
            f'{provider}; install the onnxruntime package that has it, or take another'
        )
        raise ConfigError(msg)
    for name in available if provider == AUTO else [provider]:
        session = _session(path, threads, _LEVELS[0], PROVIDERS[name])
        # Without a provider's libraries onnxruntime leaves it out, with a log line alone.
        if session.get_providers()[0] == PROVIDERS[name]:
            return session
    msg = f'provider: expected {provider} to start, found that it does not; see the log above'
    raise ConfigError(msg)


def _session(
    path: Path,
    threads: int,
    level: ort.GraphOptimizationLevel,
    provider: str = PROVIDERS['cpu'],
) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.graph_optimization_level = level
    providers = list(dict.fromkeys([provider, PROVIDERS['cpu']]))
    try:
        return ort.InferenceSession(
            str(path), sess_options=options, providers=providers, enable_fallback=0
        )
    except Exception as error:  # onnxruntime's errors share no public base
        msg = f'{path}: expected an ONNX model, found: {str(error).splitlines()[0]}'
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


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        msg = f'{path}: expected a model file, found: {error.strerror}'
        raise ModelError(msg) from error


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


def _check_signature(path: Path, session: ort.InferenceSession, card: ModelCard) -> None:
    """Compare the graph's input and output with the card."""
    height, width = card.input_height, card.input_width
    expected = (
        ('input', session.get_inputs(), 'tensor(uint8)', [1, height, width, 3]),
        ('output', session.get_outputs(), 'tensor(float)', [1, height, width]),
    )
    for role, found, kind, shape in expected:
        if len(found) != 1 or found[0].type != kind or list(found[0].shape) != shape:
            seen = ', '.join(f'{f.type} {f.shape}' for f in found)
            msg = f'{path}: expected one {role} {kind} {shape} as in the card, found {seen}'
            raise ModelError(msg)
