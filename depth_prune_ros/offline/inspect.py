"""What a network consists of, group by group."""

from __future__ import annotations

from pathlib import Path

from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline.cost import cost
from depth_prune_ros.offline.networks.catalogue import build


def describe(run: Path) -> tuple[list[tuple[str, ...]], str]:
    """
    List a checkpoint's groups.

    :return: rows (group, layers, dense width, kept filters, share of the parameters and of the
        MACs of the layers that make the group), and a summary line
    """
    last = checkpoints.load(run)
    network = build(last.network)
    masks = {k[5:]: int(v.sum()) for k, v in last.masks.items() if k.startswith('mask.')}
    widths = {**last.widths, **masks}
    pixels = last.card['input_height'] * last.card['input_width']
    whole = cost(network.layers, widths, pixels)
    dense = cost(network.layers, network.widths, pixels)
    rows: list[tuple[str, ...]] = []
    for group, width in network.widths.items():
        members = [layer for layer in network.layers if layer.output == group]
        own = cost(members, widths, pixels)
        rows.append(
            (
                group,
                str(len(members)),
                str(width),
                str(widths[group]),
                f'{own.params / whole.params:.1%}',
                f'{own.macs / whole.macs:.1%}',
            )
        )
    summary = (
        f'{last.network}, step {last.step}: {whole.params:.0f} parameters '
        f'({whole.params / dense.params:.1%} of dense), {whole.macs / 1e9:.3f} GMACs '
        f'({whole.macs / dense.macs:.1%})'
    )
    return rows, summary
