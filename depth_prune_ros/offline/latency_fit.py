"""
From some measured networks to the milliseconds of one of any widths.

A layer's milliseconds are fitted, at each of onnxruntime's two optimisation levels, by

    a + b * in + c * out + d * in * out      (a, b, c, d >= 0; depthwise: a + c * out)

in channels as onnxruntime's kernels count them: those written in whole blocks, those read in
multiples of 4, which is all that kernels of blocks can read; a layer that reads another number is
priced as without blocks. A network takes the sum of its layers, scaled and shifted to what whole
networks took (timing a layer takes time itself), at the faster level.
On widths in multiples of the block the price never falls when a network widens.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import itertools

from depth_prune_ros.offline.cost import Measure
from depth_prune_ros.offline.latency import Timing
from depth_prune_ros.offline.networks.prunable import Prunable
from depth_prune_ros.offline.networks.prunable import Source
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

_BLOCKS = (8, 16)
_ALIGNED = 4


@dataclass(frozen=True)
class Sample:
    """A network of these widths and what it took."""

    widths: dict[str, int]
    timing: Timing


class LatencyModel:
    """Milliseconds of a network of any widths."""

    def __init__(self, network: Prunable, samples: Sequence[Sample]) -> None:
        """Fit a network's layers to measured ones; its own widths do not matter."""
        self._groups = tuple(network.widths)
        inputs = [() if layer.depthwise else layer.inputs for layer in network.layers]
        outputs = [(layer.output,) for layer in network.layers]
        # integers: for so small a product the threads of a float one cost more than they bring
        self._counts = np.concatenate((self._rows(inputs), self._rows(outputs)))
        self._masked = self._rows([layer.inputs for layer in network.layers])
        self._masked[:, -1] = 0
        names = [layer.conv for layer in network.layers]
        channels = np.stack([self._channels(sample.widths) for sample in samples])
        blocked, plain = (
            _Measured(
                channels,
                np.array([[s.timing.layers[level].get(n, 0.0) for n in names] for s in samples]),
                np.array([sample.timing.whole[level] for sample in samples]),
            )
            for level in (0, 1)
        )
        fits = [_Fit(blocked, block) for block in _BLOCKS]
        self._blocked = min(fits, key=lambda fit: fit.error)
        self._plain = _Fit(plain, 1)
        self.block = self._blocked.block

    def milliseconds(self, widths: Mapping[str, int]) -> float:
        """Return the milliseconds of one inference."""
        channels = self._channels(widths)
        plain, blocked = self._plain.layers(channels), self._blocked.layers(channels)
        if self.block > 1:
            masked = self._masked @ self._vector(widths)
            aligned = (masked < self.block) | (masked % _ALIGNED == 0)
            blocked = np.where(aligned, blocked, plain)
        return min(self._blocked.whole(blocked), self._plain.whole(plain))

    def measure(self) -> Measure:
        """Return what budgets and masks count by."""
        return Measure('latency', self.milliseconds, unit='ms', grain=self.block)

    def _rows(self, sources: Sequence[Sequence[Source]]) -> Counts:
        """Return how often each group is among a layer's sources; last, channels in numbers."""
        rows = [
            [*(row.count(g) for g in self._groups), sum(s for s in row if isinstance(s, int))]
            for row in sources
        ]
        return np.array(rows, np.int64)

    def _vector(self, widths: Mapping[str, int]) -> Counts:
        return np.array([*(widths[group] for group in self._groups), 1], np.int64)

    def _channels(self, widths: Mapping[str, int]) -> Counts:
        """Return channels read (0 if depthwise) and written by each layer: [2, layers]."""
        return (self._counts @ self._vector(widths)).reshape(2, -1)


@dataclass(frozen=True)
class _Measured:
    """
    Networks at one optimisation level.

    :param channels: [networks, 2, layers] read and written
    :param layers: [networks, layers] milliseconds
    :param whole: [networks] milliseconds
    """

    channels: Counts
    layers: Array
    whole: Array


class _Fit:
    """The layers at one optimisation level: errors count relative to the whole network."""

    def __init__(self, measured: _Measured, block: int) -> None:
        self.block = block
        weights = 1 / measured.whole[:, None]
        terms = self._terms(measured.channels) * weights[..., None]
        times = measured.layers * weights
        fitted = [_least_squares(terms[:, i], times[:, i]) for i in range(times.shape[1])]
        self._coefficients = np.stack(fitted)
        found = (terms * self._coefficients).sum(-1)
        self.error = float(np.square(found - times).sum())
        sums = np.concatenate((found.sum(1, keepdims=True), weights), 1)
        self._scale, self._offset = np.linalg.lstsq(sums, np.ones(len(sums)))[0]
        if self._scale <= 0:
            self._scale, self._offset = _least_squares(sums, np.ones(len(sums)))

    def layers(self, channels: Counts) -> Array:
        """Return the milliseconds of every layer."""
        times: Array = (self._terms(channels) * self._coefficients).sum(-1)
        return times

    def whole(self, layers: Array) -> float:
        """Return the milliseconds of a network from those of its layers."""
        return float(self._scale * layers.sum() + self._offset)

    def _terms(self, channels: Counts) -> Array:
        """Return [..., layers, 4]."""
        blocks = np.array([min(self.block, _ALIGNED), self.block])[:, None]
        rounded = (np.ceil(channels / blocks) * blocks).astype(np.float64)
        inputs, outputs = rounded[..., 0, :], rounded[..., 1, :]
        return np.stack([np.ones_like(inputs), inputs, outputs, inputs * outputs], -1)


def _least_squares(terms: Array, wanted: Array) -> Array:
    """Return the coefficients that fit best and are not below 0: the best subset of terms."""
    best, least = np.zeros(terms.shape[1]), float(wanted @ wanted)
    for chosen in itertools.product((False, True), repeat=terms.shape[1]):
        part = terms[:, chosen]
        found = np.linalg.lstsq(part, wanted)[0]
        error = float(np.square(part @ found - wanted).sum())
        if error < least and (found >= 0).all():
            best, least = np.zeros(terms.shape[1]), error
            best[list(chosen)] = found
    return best
