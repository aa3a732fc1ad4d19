"""What a network consists of, group by group: as a table, and as a picture of its widths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from depth_prune_ros.core.errors import CheckpointError
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline.cost import cost
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.catalogue import build
from depth_prune_ros.offline.networks.catalogue import NETWORKS

_INCHES_PER_GROUP, _HEIGHT_INCHES, _DPI = 0.28, 4.5, 110
_KINDS = {'encoder': '#2a6f97', 'upconv': '#e07a2f', 'iconv': '#6a994e'}


@dataclass(frozen=True)
class Group:
    """
    A group of filters that stay or go together.

    :param members: convolutions whose filters they are
    :param dense: filters before pruning
    :param kept: filters that are in
    :param params: share of the network's parameters in the members
    :param macs: share of the network's multiply-accumulates in the members
    """

    name: str
    members: tuple[str, ...]
    dense: int
    kept: int
    params: float
    macs: float

    @property
    def kind(self) -> str:
        """Return 'upconv', 'iconv' or 'encoder'."""
        return next((kind for kind in _KINDS if self.name.startswith(kind)), 'encoder')


def describe(run: Path) -> tuple[list[Group], str]:
    """
    List a checkpoint's groups in the order of computation, against the dense network.

    :return: the groups, and a summary line
    """
    last = checkpoints.load(run)
    network = build(last.network, last.kept_widths)
    dense = NETWORKS[last.network].dense_widths
    pixels = last.card['input_height'] * last.card['input_width']
    whole = cost(network.layers, network.widths, pixels)
    full = cost(network.layers, dense, pixels)
    groups = [_group(network, name, dense[name], pixels) for name in network.widths]
    summary = (
        f'{last.network}, step {last.step}: {whole.params} parameters '
        f'({whole.params / full.params:.1%} of dense), {whole.macs / 1e9:.3f} GMACs '
        f'({whole.macs / full.macs:.1%})'
    )
    return groups, summary


def draw_widths(groups: list[Group], title: str, path: Path) -> None:
    """
    Draw each group's filters before (outline) and after (filled), in the order of computation.

    :param path: .png or .svg
    :raises CheckpointError: another ending, or the file cannot be written
    """
    if path.suffix not in ('.png', '.svg'):
        msg = f'{path}: expected the name of a picture (.png or .svg), found {path.suffix!r}'
        raise CheckpointError(msg)
    from matplotlib.figure import Figure

    size = (2 + _INCHES_PER_GROUP * len(groups), _HEIGHT_INCHES)
    figure = Figure(figsize=size, dpi=_DPI, layout='constrained')
    axes = figure.subplots()
    at = range(len(groups))
    dense, kept = [g.dense for g in groups], [g.kept for g in groups]
    axes.bar(at, dense, color='none', edgecolor='#888888', linewidth=0.8, label='dense')
    for kind, colour in _KINDS.items():
        own = [i for i in at if groups[i].kind == kind]
        axes.bar(own, [kept[i] for i in own], color=colour, label=f'kept, {kind}')
    for i in at:
        axes.annotate(str(kept[i]), (i, kept[i]), ha='center', va='bottom', fontsize=6)
    axes.set_yscale('log', base=2)
    axes.yaxis.set_major_formatter('{x:.0f}')
    axes.set_ylim(bottom=1, top=2 * max(dense))
    axes.set_ylabel('filters (logarithmic)')
    axes.set_xticks(list(at), [g.name for g in groups], rotation=90, fontsize=7)
    axes.set_xlim(-0.7, len(groups) - 0.3)
    axes.set_title(title, fontsize=9)
    figure.legend(fontsize=7, loc='outside lower center', ncols=4)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    except OSError as error:
        msg = f'{path}: expected to write a picture, found: {error}'
        raise CheckpointError(msg) from error


def _group(network: DepthNetwork, name: str, dense: int, pixels: int) -> Group:
    members = [layer for layer in network.layers if layer.output == name]
    own = cost(members, network.widths, pixels)
    whole = cost(network.layers, network.widths, pixels)
    return Group(
        name,
        tuple(layer.conv for layer in members),
        dense,
        network.widths[name],
        own.params / whole.params,
        own.macs / whole.macs,
    )
