"""
How far the milliseconds that a latency table predicts are from measured ones.

Run by ``make bench-latency``, on a computer that does nothing else: makes the tables of this
computer where they are not there, and measures the networks of the comparison that were pruned
by latency, turn by turn; the least time of each counts. They are none of the table's networks.
The figures are kept in benchmarks/results/latency.json, for ``make results``.
"""

from __future__ import annotations

import json
from pathlib import Path
import random
from typing import Any

from depth_prune_ros.cli_terminal import bars
from depth_prune_ros.offline import latency_table
from depth_prune_ros.offline.latency import milliseconds
from depth_prune_ros.offline.machine import processor
from depth_prune_ros.offline.networks.catalogue import build

HERE = Path(__file__).resolve().parent
ROWS = HERE / 'results' / 'compare'
RESULTS = HERE / 'results' / 'latency.json'
THREADS, TURNS = 2, 6


def main() -> None:
    """Print one row a network and keep them."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(ROWS.glob('*-ours-latency-*.json')):
        row = json.loads(file.read_text())
        rows.setdefault(row['network'], []).append(row)
    found = [one for network, own in rows.items() for one in _checked(network, own)]
    for one in found:
        off = one['predicted_ms'] / one['ms'] - 1
        print(
            f'{one["network"]} {one["budget"]:g}, seed {one["seed"]}: {one["ms"]:.2f} ms '
            f'measured, {one["predicted_ms"]:.2f} ms predicted ({off:+.1%})'
        )
    about = {'machine': processor(), 'threads': THREADS, 'turns': TURNS}
    RESULTS.write_text(json.dumps({**about, 'rows': found}, indent=1) + '\n')


def _checked(name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what was predicted and what was measured of each row's network."""
    height, width = map(int, rows[0]['size'].split('x'))
    with bars() as progress:
        model = latency_table.cached_table(
            latency_table.key(name, (height, width), THREADS),
            lambda *at: progress(f'table of {name}', *at),
        )
        networks = [build(name, row['widths']).eval() for row in rows]
        times: list[list[float]] = [[] for _ in rows]
        for turn in range(TURNS):
            # in another order each time: slow moments of the computer meet all alike
            order = random.Random(turn).sample(range(len(rows)), len(rows))
            for done, which in enumerate(order, turn * len(rows) + 1):
                times[which].append(milliseconds(networks[which], (height, width), THREADS))
                progress(f'networks of {name}', done, TURNS * len(rows))
    return [
        {
            **{key: row[key] for key in ('network', 'budget', 'seed')},
            'predicted_ms': round(model.milliseconds(row['widths']), 3),
            'ms': round(min(own), 3),
        }
        for row, own in zip(rows, times, strict=True)
    ]


if __name__ == '__main__':
    main()
