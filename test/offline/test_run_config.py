"""The configuration of a run: common values, and every fault named before anything starts."""

from __future__ import annotations

from pathlib import Path

from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.offline.run_config import read_run_config
import pytest
import yaml

HEAD = 'name: yard\nbags: [{0}/a]\nval: [{0}/b]\nout: {0}/out\nstart: none\n'  # lines 1 to 5


def _file(folder: Path, text: str) -> Path:
    for name in 'ab':
        (folder / name).mkdir(exist_ok=True)
    file = folder / 'run.yaml'
    file.write_text(text.replace('{0}', str(folder)))
    return file


def test_common_values_hold_where_a_section_says_nothing_else(tmp_path: Path) -> None:
    text = (
        'common:\n  steps: 7\n  losses: {depth: 2, photometric: 0.5}\n  shares: {a: 0.1}\n'
        'train: {steps: 9}\nprune:\n  losses: {depth: 3}\n  shares: {a: 0.2}\n'
        '  prune: {warmup: 1}\n'
    )
    found = read_run_config(_file(tmp_path, HEAD + text))
    assert (found.train.steps, found.prune.steps, found.finetune.steps) == (9, 7, 7)
    depth = [getattr(found, name).losses.depth for name in ('train', 'prune', 'finetune')]
    assert depth == [2, 3, 2]
    assert found.prune.losses.photometric == 0.5
    assert (found.train.shares, found.prune.shares) == ({'a': 0.1}, {'a': 0.2})
    assert found.start_from is None


def test_the_trainings_are_judged_as_the_run_is(tmp_path: Path) -> None:
    found = read_run_config(_file(tmp_path, HEAD + 'protocol: plain\nprune: {protocol: eigen}'))
    names = [getattr(found, name).protocol for name in ('train', 'prune', 'finetune')]
    assert names == ['plain', 'eigen', 'plain']


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('budgt: 1', ':6: expected a known key, found budgt; nearest: budget'),
        ('steps: 5', ':6: expected a known key, found steps; nearest: common.steps'),
        ('common: {stepz: 5}', ':6: .* key, found common.stepz; nearest: common.steps'),
        (
            'prune:\n  prune:\n    rampe: 1',
            ':8: .* found prune.prune.rampe; nearest: prune.prune.ramp',
        ),
        ('quantize: {loss: 1}', ':6: .* key, found quantize.loss; nearest: quantize.max_loss'),
        ('train: {steps: 0}', ':6: train.steps: Input should be greater than or equal to 1'),
        (
            'common: {height: 96}\nfinetune: {network: monodepth_vgg}',
            ':6: finetune.height: .* multiple of 128 for monodepth_vgg, found 96',
        ),
        ('finetune: {network: monodepth_vgg}', ': start: expected the network of common'),
        ('budget: macs=2x', ":6: budget: expected a budget such as macs=0.2.*, found 'macs=2x'"),
        ('budget: latency=fast', ':6: budget: expected a budget such as .*latency=12ms'),
        ('protocol: eigem', ":6: protocol: .*one of eigen, .*, kitti2015, plain, found 'eigem'$"),
        ('bags: []', ':6: expected each key once, found bags in line 2, too'),
    ],
)
def test_wrong_ones(text: str, message: str, tmp_path: Path) -> None:
    file = _file(tmp_path, HEAD + text)
    with pytest.raises(ConfigError, match=f'^{file}.*{message}') as caught:
        read_run_config(file)
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'bags': []}, r'run.yaml:1: bags: List should have at least 1 item'),
        ({'bags': ['nowhere']}, r'bags: .* a bag that is there, found .*nowhere'),
        ({'val': ['b', 'more/b']}, r'val: .* bags of different names'),
        ({'name': 'a/b'}, r"name: .*, found 'a/b'"),
        ({'start': 'no_run'}, r'start: no_run: expected a checkpoint'),
    ],
)
def test_bags_name_and_start_are_tried_beforehand(
    changes: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'more' / 'b').mkdir(parents=True)
    right = {'bags': ['a'], 'val': ['b'], 'name': 'yard', 'out': 'out', 'start': 'none'}
    read_run_config(_file(tmp_path, yaml.safe_dump(right)))
    with pytest.raises(ConfigError, match=message):
        read_run_config(_file(tmp_path, yaml.safe_dump({**right, **changes})))


def test_it_starts_from_the_shipped_checkpoint_unless_told(tmp_path: Path) -> None:
    found = read_run_config(_file(tmp_path, HEAD.replace('start: none\n', '')))
    assert str(found.start_from) == 'shipped'
    with pytest.raises(ConfigError, match='expected a checkpoint of monodepth_vgg, found one of'):
        read_run_config(
            _file(
                tmp_path,
                HEAD.replace('start: none\n', '')
                + 'common: {network: monodepth_vgg, height: 128, width: 128}',
            )
        )
