"""Configurations: wrong ones are named by key, in one line; ours load."""

from __future__ import annotations

from pathlib import Path

from command_line import run
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.offline.config import read_config
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.networks.catalogue import NETWORKS
import pydantic
import pytest

OURS = sorted((Path(__file__).resolve().parents[2] / 'config').glob('train_*.yaml'))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('stepz: 5', ':1: expected a known key, found stepz; nearest: steps'),
        (
            'steps: 5\nlosses: {ssim: 1}',
            ':2: expected a known key, found losses.ssim; nearest: losses.smoothness',
        ),
        (
            'losses:\n  depth: 1\n\n  flip: 1',
            ':4: expected a known key, found losses.flip; nearest: augment.flip',
        ),
        ('steps: many', ":1: steps: Input should be a valid integer.*, found 'many'"),
        ('batch: 1\nsteps: 0', ':2: steps: Input should be greater than or equal to 1, found 0'),
        ('augment: {crop: 0}', ':1: augment.crop: Input should be greater than 0, found 0'),
        ('prune:\n  floor: 1.5', r':2: prune\.floor: Input should be less than or equal to 1'),
        ('baseline_m: -0.5', r':1: baseline_m: Input should be greater than 0, found -0\.5'),
        ('shares: {street*: some}', r':1: shares\.street\*: Input should be a valid number'),
        ('seed: -1', ':1: seed: Input should be greater than or equal to 0, found -1'),
        ('shares: {street*: 0}', r':1: shares\.street\*: Input should be greater than 0, found 0'),
        ('shares: {a: 0.6, b: 0.6}', ':1: shares: .* should sum to 1 at most, found'),
        ('bf16: fast', ":1: bf16: .* valid boolean.* or Input should be 'auto', found 'fast'$"),
        ('network: mobilnet', ":1: network: .*; nearest: mobilenet, found 'mobilnet'"),
        (
            'width: 640\nheight: 200',
            ':2: height: .* multiple of 32 for mobilenet_subpixel, found 200',
        ),
        ('steps: 1\nsteps: 2', ':2: expected each key once, found steps in line 1, too'),
        ('losses: 3', ':1: losses: Input should be a valid dictionary'),
        ('- steps', ': expected keys and values, found'),
        ('steps: [', ': expected YAML, found: while parsing'),
        ('a: &a {b: *a}', ':1: a.b: expected a value, found an alias of what it stands in'),
        pytest.param('[' * 5000, ': expected YAML, found: ', id='brackets'),
        ('batch: 2\nlicence: 2024-99-99', ':2: licence: .*, found 2024-99-99 .*in quotes'),
        ('batch: 2\nshares: {a: 2024-99-99}', ':2: shares.a: .*, found 2024-99-99'),
        ('seed: 20000000000000000000', ':1: seed: Input should be less than 2147483648, found'),
        ('steps: 100000000000000000000', ':1: steps: Input should be less than 2147483648, fou'),
        ('steps: true', ':1: steps: .* should be a number, found True'),
        ('batch: yes', ':1: batch: .* should be a number, found True'),
        ('prune:\n  margin: no', ':2: prune.margin: .* should be a number, found False'),
        ('shares: {a: true}', ':1: shares.a: .* should be a number, found True'),
        ('learning_rate: .inf', ':1: learning_rate: Input should be a finite number, found inf'),
        ('losses: {depth: .nan}', ':1: losses.depth: Input should be a finite number, found nan'),
        (
            'batch: 2\nlosses: {photometric: 0, depth: 0}',
            ':2: losses.photometric: expected it, depth or hints above 0, found 0 in all',
        ),
        (
            'steps: 50\nprune: {ramp: 0.2, warmup: 20}',
            ':2: prune.warmup: expected at most 10 steps, where the ramp ends .*, found 20',
        ),
        ('height: {}', ':1: height: Input should be a valid integer, found {}$'),
        ('a: b: c', ': expected YAML, found: mapping values are not allowed here'),
    ],
)
def test_wrong_ones(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / 'train.yaml'
    file.write_text(text)
    with pytest.raises(ConfigError, match=f'^{file}{message}') as caught:
        read_config(file)
    assert '\n' not in str(caught.value)


def test_every_fault_is_said_at_once(tmp_path: Path) -> None:
    file = tmp_path / 'train.yaml'
    file.write_text('stepz: 5\nbatch: 0\n')
    with pytest.raises(ConfigError) as caught:
        read_config(file)
    faults = str(caught.value).split(f'{file}:')
    assert sorted(fault[0] for fault in faults[1:]) == ['1', '2']


def test_the_command_refuses_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / 'train.yaml').write_text('stepz: 5\n')
    arguments = ['--bags', 'nowhere', '--out', 'run', '--config', 'train.yaml']
    done = run('train', *arguments, folder=tmp_path)
    wanted = 'error: train.yaml:1: expected a known key, found stepz; nearest: steps\n'
    assert (done.returncode, done.stderr) == (1, wanted)


def test_no_text_at_all(tmp_path: Path) -> None:
    (tmp_path / 'model.yaml').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(ConfigError, match='model.yaml: expected YAML, found: ') as caught:
        read_config(tmp_path / 'model.yaml')
    assert '\n' not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match='none.yaml: expected a configuration file, found: No such'
    ):
        read_config(tmp_path / 'none.yaml')


def test_defaults(tmp_path: Path) -> None:
    (tmp_path / 'empty.yaml').write_text('# nothing\n')
    assert read_config(None) == read_config(tmp_path / 'empty.yaml') == TrainConfig()


def test_values_arrive(tmp_path: Path) -> None:
    file = tmp_path / 'train.yaml'
    file.write_text('steps: 7\nlearning_rate: 3e-4\nshares: {street*: 0.25}\nprune: {every: 2}\n')
    config = read_config(file)
    assert (config.steps, config.learning_rate, config.prune.every) == (7, 3e-4, 2)
    assert config.shares == {'street*': 0.25}
    with pytest.raises(pydantic.ValidationError, match='frozen'):
        config.steps = 8  # type: ignore[misc]


def test_hints_alone_teach(tmp_path: Path) -> None:
    path = tmp_path / 'train.yaml'
    path.write_text('losses: {photometric: 0, depth: 0, hints: 0.5}')
    assert read_config(path).needs_hints
    path.write_text('losses: {depth: 1, jumps: 0.5}')
    assert read_config(path).needs_hints
    path.write_text('augment: {paint: 0.5}')
    assert read_config(path).needs_hints
    assert not read_config(None).needs_hints


def test_there_are_configurations() -> None:
    assert OURS


@pytest.mark.parametrize('file', OURS, ids=lambda file: file.name)
def test_ours_load_and_fit_their_network(file: Path) -> None:
    config = read_config(file)
    multiple = NETWORKS[config.network].multiple
    assert config.height % multiple == config.width % multiple == 0


def test_what_the_command_says_stands_above_the_file(tmp_path: Path) -> None:
    file = tmp_path / 'prune.yaml'
    file.write_text('prune: {every: 2, multiple: 4}\n')
    prune = read_config(file, {'multiple': 8, 'form': None}).prune
    assert (prune.every, prune.multiple, prune.form) == (2, 8, 'budget')
    assert read_config(None, {'form': 'paper'}).prune.form == 'paper'
    with pytest.raises(ConfigError, match="^options: prune.form: .*, found 'papers'"):
        read_config(None, {'form': 'papers'})
    with pytest.raises(ConfigError, match='^options: prune.multiple: .*, found 0'):
        read_config(file, {'multiple': 0})
    file.write_text('steps: 30\n')
    assert read_config(file).steps == 30
    with pytest.raises(ConfigError, match='prune.warmup: expected at most 22 steps'):
        read_config(file, {})
    file.write_text('prune: [1]\n')
    with pytest.raises(ConfigError, match=r'prune: .*, found \[1\]'):
        read_config(file, {'multiple': 8})
