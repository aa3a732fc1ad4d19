"""Two processes and a latency: rank 0 alone measures, and both have what it found."""

from __future__ import annotations

from contextlib import suppress
import json
import os
from pathlib import Path
import subprocess
import sys

from depth_prune_ros import cli_offline
from depth_prune_ros.offline import budget
from depth_prune_ros.offline.latency_table import NETWORKS
from depth_prune_ros.offline.latency_table import ROUNDS
import pytest
from test_ranks import TORCHRUN

SCRIPT = """
import json
import os
from pathlib import Path
import sys
rank = os.environ['RANK']
os.environ['XDG_CACHE_HOME'] = sys.argv[1] + '/cache' + rank  # as on two computers
from depth_prune_ros.offline import latency_table
from depth_prune_ros.offline import ranks
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.cost import Budget
from depth_prune_ros.offline.latency import Timing
from depth_prune_ros.offline.latency_stage import latency_bench
from depth_prune_ros.offline.latency_stage import LatencyBench
from depth_prune_ros.offline.masks import Masks
from depth_prune_ros.offline.masks import Pressure
from depth_prune_ros.offline.networks.catalogue import build

timed, measured = [], []

def time(network):
    timed.append(1)
    layers = {l.conv: float(network.channels(l.output)) + float(rank) for l in network.layers}
    return Timing((sum(layers.values()),) * 2, (layers, layers))

def measure(bench, widths):
    measured.append(1)
    return bench.measure.price(widths) * 0.9

latency_table.export_model = lambda network, *_: network
latency_table.time_model = time
LatencyBench.measured = measure
with ranks.process_group():
    bench = latency_bench(TrainConfig(height=32, width=64), 'mobilenet')
    network = build('mobilenet')
    price = bench.measure.price(network.widths)
    budget = Budget(bench.measure, 0.6 * price, bench.check)
    masks = Masks(network, budget, Pressure(warmup=0, multiple=8))
    for scores in masks.scores.values():
        scores.uniform_()
    for step in range(4):
        masks.choose(step, 4)
    found = [len(timed), len(measured), price, masks.widths]
    Path(sys.argv[1], 'rank' + rank).write_text(json.dumps(found))
"""


def test_rank_0_measures_for_all(tmp_path: Path) -> None:
    script = tmp_path / 'script.py'
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, *TORCHRUN, str(script), str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f'rank{rank}').read_text()) for rank in range(2))
    assert first[:2] == [NETWORKS * ROUNDS, 1]
    assert second == [0, 0, *first[2:]]
    assert not list(tmp_path.glob('cache1/depth_prune_ros/*'))


def test_the_command_prepares_the_table_on_rank_0(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def measure(_config: object, network: str, _progress: object) -> None:
        made.append(network)
        raise KeyboardInterrupt

    monkeypatch.setattr(budget, 'latency_bench', measure)
    for rank, wanted in (('1', []), ('0', ['mobilenet_subpixel'])):
        monkeypatch.setenv('RANK', rank)
        with suppress(KeyboardInterrupt):
            cli_offline._prepare_budget(Path('shipped'), 'latency=12ms', None, {})
        assert made == wanted
