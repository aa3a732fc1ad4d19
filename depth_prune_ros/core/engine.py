"""Run a model file: a camera image in, disparity or metric depth out."""

from __future__ import annotations

from collections.abc import Mapping
import hashlib
import math
from pathlib import Path
from threading import Lock
from typing import Any

from depth_prune_ros.core.camera import depth_from_disparity
from depth_prune_ros.core.card import DISPARITY_MEANING
from depth_prune_ros.core.card import METADATA_KEY
from depth_prune_ros.core.card import ModelCard
from depth_prune_ros.core.errors import ModelError
from depth_prune_ros.core.fit import matching_size
from depth_prune_ros.core.images import resize_image
from depth_prune_ros.core.session import Sessions
from depth_prune_ros.core.session import Size
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]

# Sizes whose sessions are kept: of a camera's images, and of the few others that may come between.
_KEPT = 4


class DepthEngine:
    """A loaded and verified model file."""

    def __init__(
        self,
        sessions: Sessions,
        session: Any,
        card: ModelCard,
        sha256: str,
        left_out: Mapping[str, str],
    ) -> None:
        """
        Wrap verified sessions; use :meth:`load`.

        :param sessions: makes those for other sizes
        :param session: for the card's size
        :param left_out: the providers that auto tried in vain, and why each does not work
        """
        self.card = card
        self.sha256 = sha256
        self.left_out = left_out
        self.provider: str = session.get_providers()[0]
        self._sessions = sessions
        self._by_size: dict[Size, Any] = {(card.input_width, card.input_height): session}
        self._making = Lock()
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
        sessions = Sessions(model, threads, repeatable)
        try:
            session, left_out = sessions.first(provider, _check)
            card = _card_of(session)
        except ModelError as error:
            msg = f'{path}: {error}'
            raise ModelError(msg) from error
        return cls(sessions, session, card, digest, left_out)

    def disparity(
        self,
        image: Bytes,
        fx_over_width: float | None = None,
        fy_over_height: float | None = None,
    ) -> Float:
        """
        Predict the left disparity.

        :param image: uint8 [H, W, 3] RGB, any size; it is resized to core.fit.matching_size
        :param fx_over_width: focal length over width of the camera; None uses the card's
        :param fy_over_height: focal length over height; None where pixels are square
        :return: float32 [h, w] of that size, fractions of the image width
        """
        fx = self.card.fx_over_width if fx_over_width is None else fx_over_width
        fy = fx * image.shape[1] / image.shape[0] if fy_over_height is None else fy_over_height
        return self.run(resize_image(image, *matching_size(self.card, fx, fy)))

    def run(self, fitted: Bytes) -> Float:
        """
        Run the network alone.

        :param fitted: uint8 [H, W, 3] RGB of the card's size, or with sides in multiples of
            card.size_multiple; the first of a size takes longer
        :return: float32 [H, W], fractions of the image width
        :raises ModelError: the network does not run at this size
        """
        size = fitted.shape[1], fitted.shape[0]
        session = self._by_size.get(size) or self._make(size)
        output: Float = session.run(None, {self._input: fitted[None]})[0][0]
        own = self.card.input_width
        return output if size[0] == own else output * np.float32(own / size[0])

    def infer(
        self,
        image: Bytes,
        fx_over_width: float | None = None,
        fy_over_height: float | None = None,
    ) -> Float:
        """
        Predict metric depth.

        :param image: uint8 [H, W, 3] RGB, any size
        :param fx_over_width: focal length over width of the camera; None uses the card's
        :param fy_over_height: focal length over height; None where pixels are square
        :return: float32 [h, w] metres, of the size of :meth:`disparity`; NaN where invalid
        """
        scale = self.card.fx_over_width if fx_over_width is None else fx_over_width
        disparity = self.disparity(image, scale, fy_over_height)
        return depth_from_disparity(disparity, self.card.baseline_m, scale)

    def _make(self, size: Size) -> Any:
        """Make the session for a size, and forget the one that was made first of many."""
        step = self.card.size_multiple
        own = self.card.input_width, self.card.input_height
        if not step or any(side < step or side % step for side in size):
            other = f' or multiples of {step}' if step else ''
            msg = f'expected an image of {own[0]}x{own[1]}{other}, found {size[0]}x{size[1]}'
            raise ModelError(msg)
        with self._making:
            if size not in self._by_size:
                made = self._sessions.resized(self._by_size[own], size)
                kept = [old for old in self._by_size if old != own][-_KEPT + 1 :]
                self._by_size = {old: self._by_size[old] for old in (own, *kept)} | {size: made}
            return self._by_size[size]


def sha256_of(path: Path) -> str:
    """
    Return the hex digest of a model file, as :attr:`DepthEngine.sha256` has it.

    :raises ModelError: missing, or not to be read
    """
    return hashlib.sha256(_read(path)).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f'{path}: expected a model file, found: {error.strerror}'
        raise ModelError(msg) from error


def _check(session: Any) -> None:
    card = _card_of(session)
    _check_meaning(card)
    _check_signature(session, card)


def _card_of(session: Any) -> ModelCard:
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
    numbers = {'baseline_m': card.baseline_m, 'fx_over_width': card.fx_over_width}
    if card.fy_over_height != 0:
        numbers['fy_over_height'] = card.fy_over_height
    for name, value in numbers.items():
        if not (math.isfinite(value) and value > 0):
            msg = f'expected {name} above 0 in the card, found {value}; export the model again'
            raise ModelError(msg)
    expected = (('colour', card.colour, 'rgb'), ('disparity', card.disparity, DISPARITY_MEANING))
    for name, found, wanted in expected:
        if found != wanted:
            msg = f'expected {name} {wanted!r} in the card, found {found!r}'
            raise ModelError(msg)


def _check_signature(session: Any, card: ModelCard) -> None:
    """Compare the graph's input and output with the card."""
    sides: list[Any] = [card.input_height, card.input_width]
    step = card.size_multiple
    if step and (step < 0 or any(side % step for side in sides)):
        msg = f'expected sides in multiples of size_multiple {step} in the card, found {sides}'
        raise ModelError(msg)
    expected = (
        ('input', session.get_inputs(), 'tensor(uint8)', [1, *sides, 3]),
        ('output', session.get_outputs(), 'tensor(float)', [1, *sides]),
    )
    for role, found, kind, shape in expected:
        if len(found) != 1 or found[0].type != kind or list(found[0].shape) != shape:
            seen = ', '.join(f'{f.type} {f.shape}' for f in found)
            msg = f'expected one {role} {kind} {shape} as in the card, found {seen}'
            raise ModelError(msg)
