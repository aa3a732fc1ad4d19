"""Latency tables: made once, gone on with, kept and refused by what they hold for."""

from __future__ import annotations

from dataclasses import asdict
from dataclasses import replace
import itertools
import json
from pathlib import Path
import re

from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.offline import latency_table
from depth_prune_ros.offline.latency import Timing
from depth_prune_ros.offline.latency_fit import Sample
from depth_prune_ros.offline.networks.catalogue import build
from full_disk import files_of_at_most
import pytest

Key = latency_table.Key
MOBILENET = latency_table.key('mobilenet', (32, 64), 1)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    return tmp_path / 'depth_prune_ros'


def _make(wanted: Key) -> list[tuple[int, int]]:
    """Return the progress of making a table of two networks, each measured twice."""
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))

    latency_table.cached_table(wanted, progress, networks=2, rounds=2)
    return seen


def test_a_table_is_made_once_and_gone_on_with(cache: Path) -> None:
    def stop(done: int, _total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        latency_table.cached_table(MOBILENET, stop, networks=2, rounds=2)
    assert [file.name for file in cache.iterdir()] == [MOBILENET.file().name]
    before = json.loads(MOBILENET.file().read_text())
    assert (before['done'], before['total']) == (3, 4)
    with pytest.raises(ConfigError, match='whole latency table, found 3 of 4 measurements; leave'):
        latency_table.load_table(MOBILENET.file(), MOBILENET)
    assert _make(MOBILENET) == [(3, 4), (4, 4)]
    after = json.loads(MOBILENET.file().read_text())
    assert after['samples'][0] == before['samples'][0]
    assert _make(MOBILENET) == []
    dense = build('mobilenet').widths
    assert after['samples'][0]['widths'] == dense
    tenth = {group: min(w, 4 * max(1, round(w / 40))) for group, w in dense.items()}
    assert after['samples'][1]['widths'] == tenth


def test_the_lesser_of_two_measurements_stays_whole_and_by_layer() -> None:
    samples: list[Sample] = []
    for whole, layers in (
        ((7.0, 8.0), ({'a': 1.0, 'b': 5.0}, {'a': 4.0, 'b': 4.0})),
        ((9.0, 6.0), ({'a': 2.0, 'b': 3.0}, {'a': 3.0, 'b': 6.0})),
    ):
        latency_table._add(samples, 0, Sample({'a': 8, 'b': 8}, Timing(whole, layers)))
    least = Timing((7.0, 6.0), ({'a': 1.0, 'b': 3.0}, {'a': 3.0, 'b': 4.0}))
    assert samples == [Sample({'a': 8, 'b': 8}, least)]


def test_networks_of_a_table_have_widths_that_a_search_can_round_to() -> None:
    dense = build('mobilenet').widths
    drawn = list(itertools.islice(latency_table._widths(dense), 28))
    assert drawn[0] == dense
    assert all(width % 8 == 0 for widths in drawn[::2] for width in widths.values())
    assert all(width % 4 == 0 for widths in drawn for width in widths.values())
    odd = [width % 8 for widths in drawn[1::2] for width in widths.values()]
    assert 0.3 < sum(map(bool, odd)) / len(odd) < 0.6
    assert min(min(widths.values()) for widths in drawn) == 4


@pytest.mark.parametrize('damage', ['{', '[]', '{"key": {}, "samples": [], "done": 9}'])
def test_a_damaged_table_in_the_cache_is_made_anew(cache: Path, damage: str) -> None:
    cache.mkdir()
    MOBILENET.file().write_text(damage)
    assert _make(MOBILENET)[0] == (0, 4)
    assert json.loads(MOBILENET.file().read_text())['key'] == asdict(MOBILENET)


def test_a_table_that_the_disk_does_not_take_leaves_nothing(cache: Path) -> None:
    samples = [Sample({'a': 8}, Timing((7.0,), ({'a': 7.0},)))]
    table = latency_table._Table(MOBILENET, 1, 2, samples)
    latency_table._write(MOBILENET.file(), table)
    before = MOBILENET.file().read_text()
    said = f'^{MOBILENET.file()}: expected to keep a latency table, found: File too large$'
    with files_of_at_most(len(before) - 1), pytest.raises(ConfigError, match=said):
        latency_table._write(MOBILENET.file(), replace(table, samples=samples * 2))
    assert MOBILENET.file().read_text() == before
    assert [file.name for file in cache.iterdir()] == [MOBILENET.file().name]


def test_tables_are_kept_by_what_they_hold_for(cache: Path) -> None:
    others = [
        latency_table.key('monodepth_vgg', (32, 64), 1),
        latency_table.key('mobilenet', (64, 64), 1),
        latency_table.key('mobilenet', (32, 64), 2),
        replace(MOBILENET, cpu='another'),
        replace(MOBILENET, onnxruntime='0.1'),
    ]
    assert len({MOBILENET.file(), *(other.file() for other in others)}) == 6
    assert {other.file().parent for other in others} == {cache}


def test_a_table_of_another_plan_is_made_anew(cache: Path) -> None:
    assert cache.parent.is_dir()
    latency_table.cached_table(MOBILENET, lambda *_: None, networks=1, rounds=1)
    assert _make(MOBILENET)[0] == (0, 4)


def _table(path: Path, made_for: Key) -> Path:
    network = build('mobilenet')
    layers = {layer.conv: 0.5 for layer in network.layers}
    sample = Sample(network.widths, Timing((40.0, 40.0), (layers, layers)))
    values = {'key': asdict(made_for), 'samples': [asdict(sample)]}
    path.write_text(json.dumps({**values, 'done': 1, 'total': 1}))
    return path


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'threads': 4}, 'table of threads 1, found one of 4; leave it out'),
        ({'cpu': 'Z80 x 1'}, f'table of cpu {re.escape(MOBILENET.cpu)}, found one of Z80 x 1'),
        ({'onnxruntime': '1.0'}, 'table of onnxruntime .*, found one of 1.0'),
        ({'height': 64}, 'table of height 32, found one of 64'),
        ({'network': 'other'}, 'table of network mobilenet, found one of other'),
    ],
)
def test_a_table_of_something_else_is_refused(
    tmp_path: Path, change: dict[str, str | int], message: str
) -> None:
    path = _table(tmp_path / 'table.json', replace(MOBILENET, **change))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=f'table.json: expected a latency {message}'):
        latency_table.load_table(path, MOBILENET)


def test_a_named_table_is_read(tmp_path: Path) -> None:
    model = latency_table.load_table(_table(tmp_path / 'table.json', MOBILENET), MOBILENET)
    assert model.milliseconds(build('mobilenet').widths) == pytest.approx(40)
    with pytest.raises(ConfigError, match=r'none\.json: expected a latency table, found none'):
        latency_table.load_table(tmp_path / 'none.json', MOBILENET)
