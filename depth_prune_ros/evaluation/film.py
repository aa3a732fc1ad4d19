"""Frames and predictions to look at as a film of strips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import TracebackType

import cv2
from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.evaluation.pictures import frame_strip
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

# Where the stamps do not say how fast to play.
DEFAULT_RATE_HZ = 10.0


class Film:
    """
    Writes the strip of every frame (image, depth, ground truth, error) into one .mp4 file.

    The file appears whole when the with statement ends without an exception.
    """

    def __init__(self, path: Path) -> None:
        """Prepare to write; raises ConfigError for another ending than .mp4."""
        if path.suffix != '.mp4':
            msg = f'{path}: expected a file name that ends in .mp4, found {path.suffix!r}'
            raise ConfigError(msg)
        if path.is_dir():
            msg = f'{path}: expected a file to write the film to, found a folder; name another'
            raise ConfigError(msg)
        self._path = path
        self._part = path.with_name(f'.{path.stem}.part.mp4')
        self._writer: cv2.VideoWriter | None = None
        self._first: tuple[int, NDArray[np.uint8]] | None = None
        self._size = (0, 0)
        self._written = 0

    def __enter__(self) -> Film:
        """Make the folder."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the finished film its name, or remove it."""
        if kind is None and self._first is not None:
            self._write(self._first[1], DEFAULT_RATE_HZ)
        if self._writer is not None:
            self._writer.release()
            try:
                if kind is None:
                    self._require_whole()
                    self._part.rename(self._path)
            finally:
                self._part.unlink(missing_ok=True)

    def __call__(self, frame: Frame, depth: Float) -> None:
        """Add one frame and its predicted depth [h, w], metres."""
        if frame.depth is None:
            # Panels of the same number throughout: a film has one size.
            frame = replace(frame, depth=np.full(frame.left.shape[:2], np.nan, np.float32))
        picture = frame_strip(frame, depth)
        if self._writer is None and self._first is None:
            # How fast the film is shows with the second frame.
            self._first = frame.stamp_ns, picture
            return
        rate_hz = DEFAULT_RATE_HZ
        if self._first is not None:
            period_s = (frame.stamp_ns - self._first[0]) * 1e-9
            rate_hz = 1 / period_s if 0.01 <= period_s <= 1 else DEFAULT_RATE_HZ
            self._write(self._first[1], rate_hz)
            self._first = None
        self._write(picture, rate_hz)

    def _write(self, picture: NDArray[np.uint8], rate_hz: float) -> None:
        if self._writer is None:
            # The codec wants even numbers.
            self._size = picture.shape[1] // 2 * 2, picture.shape[0] // 2 * 2
            code = cv2.VideoWriter.fourcc(*'mp4v')
            self._writer = cv2.VideoWriter(str(self._part), code, rate_hz, self._size)
            if not self._writer.isOpened():
                msg = (
                    f'{self._path}: expected to begin a film, OpenCV cannot: it has no mp4 codec '
                    'here, or the disk is full'
                )
                raise ConfigError(msg)
        width, height = self._size
        shown = picture[:height, :width]
        if shown.shape[:2] != (height, width):
            shown = np.asarray(cv2.resize(picture, self._size), np.uint8)
        self._writer.write(cv2.cvtColor(shown, cv2.COLOR_RGB2BGR))
        self._written += 1

    def _require_whole(self) -> None:
        """Count the frames in the file: OpenCV says nothing when it could not write them."""
        film = cv2.VideoCapture(str(self._part))
        found = max(0, int(film.get(cv2.CAP_PROP_FRAME_COUNT)))
        if found != self._written:
            self._part.unlink(missing_ok=True)
            msg = (
                f'{self._path}: expected a film of {self._written} frames, found {found} written; '
                'is the disk full?'
            )
            raise ConfigError(msg)
