"""
Textures of the rendered street: one atlas, filtered beforehand in both directions.

Every layer is stored as a rip-map (all combinations of halved widths and halved heights), so a
wall seen at a grazing angle is filtered along one direction only, and nothing shimmers. Texture
coordinates are tied to the surfaces, hence equal for both eyes and for all moments. Row 0 is the
bottom of a texture. The fourth channel says how much of an object's own colour is mixed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]  # float32 wherever there is one number per pixel
Rng = np.random.Generator


def fractal(rng: Rng, height: int, width: int, beta: float = 1.6, low: float = 1.0) -> Array:
    """Return tileable noise of mean 0 and deviation 1 with a spectrum of frequency ** -beta."""
    fy = np.fft.fftfreq(height)[:, None] * height
    fx = np.fft.rfftfreq(width)[None, :] * width
    frequency = np.hypot(fy, fx)
    gain = np.where(frequency >= low, np.maximum(frequency, 1.0) ** -beta, 0.0)
    white = rng.standard_normal((height, width), np.float32)
    noise = np.fft.irfft2(np.fft.rfft2(white) * gain.astype(np.float32), (height, width))
    out: Array = (noise / noise.std()).astype(np.float32)
    return out


class Canvas:
    """A texture being painted, in metres: x to the right, y up."""

    def __init__(self, size_m: tuple[float, float], pixels: tuple[int, int], grey: float) -> None:
        """Start with one grey that takes the object's colour everywhere."""
        self.wide_m, self.high_m = size_m
        self.width, self.height = pixels
        self.rgb = np.full((self.height, self.width, 3), grey, np.float32)
        self.mask = np.ones((self.height, self.width), np.float32)
        self.x = (np.arange(self.width, dtype=np.float32) + 0.5) * (self.wide_m / self.width)
        self.y = (np.arange(self.height, dtype=np.float32) + 0.5) * (self.high_m / self.height)

    def box(self, x: tuple[float, float], y: tuple[float, float]) -> tuple[slice, slice]:
        """Return the pixels of a rectangle."""
        to_x, to_y = self.width / self.wide_m, self.height / self.high_m
        rows = slice(max(round(y[0] * to_y), 0), max(round(y[1] * to_y), 0))
        return rows, slice(max(round(x[0] * to_x), 0), max(round(x[1] * to_x), 0))

    def rect(
        self, x: tuple[float, float], y: tuple[float, float], rgb: tuple[float, float, float]
    ) -> None:
        """Fill a rectangle with a colour of its own."""
        where = self.box(x, y)
        self.rgb[where] = rgb
        self.mask[where] = 0

    def fill(self, where: NDArray[np.bool_], rgb: tuple[float, float, float], mask: float) -> None:
        """Fill the pixels of a mask that broadcasts to [height, width]."""
        where = np.broadcast_to(where, self.mask.shape)
        self.rgb[where] = rgb
        self.mask[where] = mask

    def shade(self, x: tuple[float, float], y: tuple[float, float], gain: float) -> None:
        """Make a rectangle lighter or darker."""
        self.rgb[self.box(x, y)] *= gain

    def noise(self, field: Array, strength: float) -> None:
        """Make the texture lighter and darker by a noise field."""
        self.rgb *= np.clip(1.0 + strength * field, 0.2, 2.0)[..., None]

    def rgba(self) -> NDArray[np.uint8]:
        """Return the texture, uint8 [height, width, 4]."""
        mask = np.clip(self.mask * 255, 0, 255)[..., None]
        full = np.concatenate([np.clip(self.rgb, 0, 255), mask], axis=-1)
        out: NDArray[np.uint8] = np.rint(full).astype(np.uint8)
        return out


def _ripmap(rgba: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return all halvings of a texture side by side, packed, [2 * height, 2 * width]."""
    height, width = rgba.shape[:2]
    out = np.zeros((2 * height, 2 * width, 4), np.uint8)
    tall, top = rgba.astype(np.float32), 0
    while True:
        level, left = tall, 0
        while True:
            rows, columns = level.shape[:2]
            out[top : top + rows, left : left + columns] = level + 0.5
            left += columns
            if columns == 1:
                break
            level = (level[:, 0::2] + level[:, 1::2]) * 0.5
        top += len(tall)
        if len(tall) == 1:
            return out.view(np.uint32)[..., 0]
        tall = (tall[0::2] + tall[1::2]) * 0.5


@dataclass(frozen=True)
class Atlas:
    """
    All layers in one array.

    :param texels: packed RGBA rip-maps, one after the other
    :param offset: [layers] where each layer starts
    :param log_width: [layers] log2 of the width
    :param log_height: [layers] log2 of the height
    """

    texels: NDArray[np.uint32]
    offset: NDArray[np.int32]
    log_width: NDArray[np.int32]
    log_height: NDArray[np.int32]

    def sample(self, layer: NDArray[np.int32], st: Array, footprint: Array) -> Array:
        """
        Look up filtered colours.

        :param layer: [N] layer numbers
        :param st: [2, N] coordinates in tiles, repeating
        :param footprint: [2, N] tiles that one pixel covers in s and in t
        :return: [N, 4] float32, 0 to 255
        """
        log_w, log_h = self.log_width[layer], self.log_height[layer]
        s = _axis(st[0], footprint[0], log_w)
        t = _axis(st[1], footprint[1], log_h)
        stride = np.int32(2) << log_w
        base = self.offset[layer]
        row0, row1 = base + t[0] * stride, base + t[1] * stride
        low = self._mix(row0 + s[0], row0 + s[1], s[2])
        high = self._mix(row1 + s[0], row1 + s[1], s[2])
        high -= low
        high *= t[2][:, None]
        low += high
        return low

    def _mix(self, i: NDArray[np.int32], j: NDArray[np.int32], weight: Array) -> Array:
        a = self.texels[i].view(np.uint8).reshape(-1, 4).astype(np.float32)
        b = self.texels[j].view(np.uint8).reshape(-1, 4).astype(np.float32)
        b -= a
        b *= weight[:, None]
        a += b
        return a


def _axis(
    coordinate: Array, footprint: Array, log_size: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32], Array]:
    """Return the two neighbouring texels along one direction and the second one's weight."""
    size = np.int32(1) << log_size
    level = np.log2(np.maximum(footprint * size, 1e-6)) + np.float32(0.4)
    halvings = np.minimum(np.maximum(level, 0), log_size).astype(np.int32)
    count = size >> halvings
    x = coordinate * count - np.float32(0.5)
    floor = np.floor(x)
    weight = x - floor
    first = floor.astype(np.int32) & (count - 1)
    second = (first + 1) & (count - 1)
    start = 2 * size - ((2 * size) >> halvings)
    return start + first, start + second, weight


class AtlasBuilder:
    """Collects named layers."""

    def __init__(self) -> None:
        """Start empty."""
        self._maps: list[NDArray[np.uint32]] = []
        self._names: dict[str, int] = {}

    def add(self, name: str, rgba: NDArray[np.uint8]) -> int:
        """Add a layer whose sides are powers of two; return its number."""
        self._names[name] = len(self._maps)
        self._maps.append(_ripmap(rgba))
        return self._names[name]

    def __getitem__(self, name: str) -> int:
        """Return the number of a layer."""
        return self._names[name]

    def numbers(self) -> dict[str, int]:
        """Return the number of every layer by its name."""
        return dict(self._names)

    def build(self) -> Atlas:
        """Return the atlas of all layers."""
        sizes = [m.size for m in self._maps]
        return Atlas(
            texels=np.concatenate([m.ravel() for m in self._maps]),
            offset=np.cumsum([0, *sizes[:-1]]).astype(np.int32),
            log_width=np.array([m.shape[1].bit_length() - 2 for m in self._maps], np.int32),
            log_height=np.array([m.shape[0].bit_length() - 2 for m in self._maps], np.int32),
        )
