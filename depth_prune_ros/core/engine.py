"""Run a model file: a camera image in, disparity or metric depth out (onnxruntime)."""

from __future__ import annotations

import hashlib
from pathlib import Path
import time

from depth_prune_ros.core.camera import depth_from_disparity
from depth_prune_ros.core.card import METADATA_KEY
from depth_prune_ros.core.card import ModelCard
from depth_prune_ros.core.errors import ModelError
from depth_prune_ros.core.images import resize_image
import numpy as np
from numpy.typing import NDArray
import onnxruntime as ort

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]


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

    @classmethod
    def load(cls, path: Path | str, *, threads: int = 0, sha256: str = '') -> DepthEngine:
        """
        Load a model file and check it against its card.

        :param path: the ONNX file
        :param threads: threads of one inference; 0 leaves it to onnxruntime
        :param sha256: hex digest the file must have; empty accepts any
        :raises ModelError: missing, not ONNX, no card, or input and output other than the card's
        """
        path = Path(path)
        digest = _digest(path)
        if sha256 and digest != sha256.lower():
            msg = f'{path}: expected sha256 {sha256.lower()}, found {digest}; fetch the file again'
            raise ModelError(msg)
        session = _session(path, threads, _LEVELS[0])
        text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            msg = (
                f'{path}: expected a model card in the metadata ({METADATA_KEY}), found none; '
                'make the file with: depth-prune export'
            )
            raise ModelError(msg)
        try:
            card = ModelCard.from_json(text)
        except ModelError as error:
            msg = f'{path}: {error}'
            raise ModelError(msg) from error
        _check_signature(path, session, card)
        seconds = _seconds(session)
        other = _session(path, threads, _LEVELS[1])
        return cls(other if _seconds(other) < seconds else session, card, digest)

    def disparity(self, image: Bytes) -> Float:
        """
        Predict the left disparity.

        :param image: uint8 [H, W, 3] RGB, any size; it is resized to the network's
        :return: float32 [input_height, input_width], fractions of the image width
        """
        fitted = resize_image(image, self.card.input_width, self.card.input_height)
        name = self._session.get_inputs()[0].name
        output: Float = self._session.run(None, {name: fitted[None]})[0][0]
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


def _session(path: Path, threads: int, level: ort.GraphOptimizationLevel) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.graph_optimization_level = level
    providers = ['CPUExecutionProvider']
    try:
        return ort.InferenceSession(str(path), sess_options=options, providers=providers)
    except Exception as error:  # onnxruntime's errors share no public base
        msg = f'{path}: expected an ONNX model, found: {str(error).splitlines()[0]}'
        raise ModelError(msg) from error


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
