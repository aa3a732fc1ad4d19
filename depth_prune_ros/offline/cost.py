"""What a network costs, in closed form from its declared layers and widths."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
import math

from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.offline.networks.prunable import Layer
from depth_prune_ros.offline.networks.prunable import Source

_LEAST_SAVED = 1e-9
Price = Callable[[Mapping[str, int]], float]


@dataclass(frozen=True)
class Cost:
    """Learned parameters, and multiply-accumulates of one image."""

    params: int
    macs: int


def cost(layers: Sequence[Layer], widths: Mapping[str, int], pixels: int) -> Cost:
    """
    Count parameters and multiply-accumulates of the convolutions and their norms.

    Each runs once an image; check_coupling refuses a network that has or runs another.

    :param layers: the network's declared layers
    :param widths: filters of every group
    :param pixels: height * width of the network's image
    """
    params = macs = 0
    for layer in layers:
        filters = _channels(widths, layer.output)
        fan_in = 1 if layer.depthwise else sum(_channels(widths, s) for s in layer.inputs)
        weights = layer.kernel**2 * fan_in * filters
        params += weights + filters * (2 * bool(layer.norm) + layer.bias)
        macs += weights * pixels // layer.stride**2
    return Cost(params=params, macs=macs)


@dataclass(frozen=True)
class Measure:
    """
    What a network of given widths costs, in one unit.

    :param name: 'params', 'macs', 'filters' or 'latency'
    :param price: group -> filters, to an amount
    :param unit: written behind an absolute amount; without one, amounts above 1 are absolute
    :param grain: filters that are only seen to cost something together
    """

    name: str
    price: Price = field(compare=False)
    unit: str = ''
    grain: int = 1

    def per_filter(self, widths: Mapping[str, int]) -> dict[str, float]:
        """Return for each group what one filter fewer saves at these widths, always above 0."""
        whole = self.price(widths)
        saved = {}
        for group, width in widths.items():
            step = min(self.grain, width)
            fewer = self.price({**widths, group: width - step})
            saved[group] = max((whole - fewer) / step, _LEAST_SAVED * whole)
        return saved

    def show(self, amount: float) -> str:
        """Return an amount as people read it."""
        return f'{amount:.4g} {self.unit}' if self.unit else f'{amount:.0f}'


def measures(layers: Sequence[Layer], pixels: int) -> dict[str, Measure]:
    """Return by name what can be counted; 'filters' is the paper's measure."""
    known = (
        Measure('params', lambda widths: cost(layers, widths, pixels).params),
        Measure('macs', lambda widths: cost(layers, widths, pixels).macs),
        Measure('filters', lambda widths: float(sum(widths.values()))),
    )
    return {measure.name: measure for measure in known}


@dataclass(frozen=True)
class Budget:
    """
    How much of the dense network may stay, as an absolute amount of a measure.

    :param check: amount of a network as it is, where the measure's price is a prediction
    """

    measure: Measure
    amount: float
    check: Price | None = field(default=None, compare=False)

    @property
    def free(self) -> bool:
        """Return whether there is no pressure at all."""
        return math.isinf(self.amount)


def parse_budget(
    text: str, known: Mapping[str, Measure], dense_widths: Mapping[str, int]
) -> Budget:
    """
    Read a budget such as ``macs=0.2``, a ratio of the dense network, or ``latency=12ms``.

    ``none`` is no pressure: the paper's L_task alone.

    :raises ConfigError: an unknown measure, or an amount that is no pruning
    """
    if text == 'none':
        return Budget(known['params'], math.inf)
    name, _, amount = text.partition('=')
    unit = known[name].unit if name in known else ''
    number = amount.removesuffix(unit)
    value = _number(number)
    absolute = number != amount or (not unit and value > 1)
    if name not in known or not value > 0 or (value > 1 and not absolute):
        examples = 'macs=0.2, params=500000, latency=12ms, latency=0.5'
        msg = f'expected a budget such as {examples} or none, found {text!r}'
        raise ConfigError(msg)
    whole = known[name].price(dense_widths)
    wanted = value if absolute else value * whole
    if wanted > whole:
        dense = known[name].show(whole)
        msg = f'expected at most the dense {dense} {name} as a budget, found {text!r}'
        raise ConfigError(msg)
    return Budget(known[name], wanted)


def counts_latency(text: str) -> bool:
    """
    Return whether a budget is a latency, which takes a table to price.

    :raises ConfigError: it is one, but no amount
    """
    if not text.startswith('latency='):
        return False
    parse_budget(text, {'latency': Measure('latency', lambda _: math.inf, unit='ms')}, {})
    return True


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _channels(widths: Mapping[str, int], source: Source) -> int:
    return source if isinstance(source, int) else widths[source]
