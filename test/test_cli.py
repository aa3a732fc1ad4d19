"""The command line as a user meets it: a process, its output, its exit code."""

from __future__ import annotations

from collections.abc import Callable
import errno
import json
import os
from pathlib import Path
import signal

from command_line import run
from depth_prune_ros import cli
from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.cli_terminal import stoppable
from depth_prune_ros.core.card import ModelCard
from depth_prune_ros.offline import checkpoint as checkpoints
import pytest
from small_model import write_small_model
from tiny_model import CARD
from tiny_model import write_tiny_model
from tiny_networks import checkpoint
from tiny_networks import narrow
import typer

COMMANDS = (
    ('bag', 'kitti'),
    ('bag', 'street'),
    ('bag', 'info'),
    ('train',),
    ('prune',),
    ('compact',),
    ('average',),
    ('export',),
    ('evaluate',),
    ('merge',),
    ('inspect',),
    ('quantize',),
    ('time',),
    ('run',),
    ('demo',),
    ('replay',),
    ('view',),
    ('node',),
)
STREET = Street(seed=1, frames=4, width=128, height=64)


@pytest.fixture(scope='module')
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bag of a small street."""
    bag = tmp_path_factory.mktemp('bags') / 'street'
    street_to_bag(bag, STREET)
    return bag


@pytest.mark.parametrize('command', COMMANDS, ids=' '.join)
def test_every_help_has_an_example(command: tuple[str, ...]) -> None:
    shown = run(*command, '--help')
    assert shown.returncode == 0
    assert f'Example: depth-prune {" ".join(command)} ' in ' '.join(shown.stdout.split())


def test_help_lists_every_command() -> None:
    shown = run('--help').stdout
    assert all(f'  {command[0]} ' in shown for command in COMMANDS)


def test_an_error_is_one_line_that_names_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    done = run('evaluate', tmp_path / 'no_bag', '--out', tmp_path / 'out')
    assert done.returncode == 1
    assert done.stdout == ''
    assert done.stderr.count('\n') == 1
    assert done.stderr.startswith('error: ')
    assert 'no_bag' in done.stderr
    assert not (tmp_path / 'out').exists()


def test_a_missing_depth_topic_is_named_with_those_there(street: Path, tmp_path: Path) -> None:
    done = run('evaluate', street, '--depth-topic', '/nowhere', '--out', tmp_path / 'out')
    assert done.returncode == 1
    assert '/nowhere' in done.stderr
    assert '/kitti/camera_color_left/depth' in done.stderr
    assert not (tmp_path / 'out').exists()


def test_evaluate_writes_the_figures_it_prints(street: Path, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / 'tiny.onnx')
    done = run('evaluate', street, '--model', model, '--out', tmp_path / 'out')
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert found['frames'] == STREET.frames
    assert f'{found["metrics"]["abs_rel"]:.4f}' in done.stdout
    assert ModelCard.from_json(json.dumps(found['model'])).name == 'tiny'
    assert (tmp_path / 'out' / 'report.html').is_file()


def test_exact_depth_as_a_topic_is_judged_as_exact(street: Path) -> None:
    topic = '/kitti/camera_color_left/depth'
    done = run('evaluate', street, '--depth-topic', topic, '--ground-truth', topic)
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if 'AbsRel' in line)
    assert float(row.split()[1]) < 0.01


def test_street_bags_are_made_by_size_and_seed(tmp_path: Path) -> None:
    size = f'{STREET.width}x{STREET.height}'
    done = run('bag', 'street', tmp_path / 'a', '--seed', '1', '--frames', '1', '--size', size)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'a' / 'metadata.yaml').is_file()
    again = run('bag', 'street', tmp_path / 'a', '--size', size)
    assert again.returncode == 1
    assert 'exists' in again.stderr
    assert run('bag', 'street', tmp_path / 'b', '--size', 'big').stderr.count('\n') == 1


def test_training_wants_bags_it_can_read(tmp_path: Path) -> None:
    done = run('train', '--bags', tmp_path / 'none', '--out', tmp_path / 'run')
    assert done.returncode == 1
    assert done.stderr.count('error: ') == 1
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('option', ['--start', '--teacher'])
def test_a_training_refuses_what_it_begins_with_before_it_reads_bags(
    tmp_path: Path, option: str
) -> None:
    bags = ('--bags', tmp_path / 'none', '--out', tmp_path / 'out')
    done = run('train', *bags, option, tmp_path / 'typo')
    assert done.returncode == 1
    assert done.stderr.startswith(f'error: {tmp_path / "typo"}: expected a checkpoint')
    assert done.stderr.count('\n') == 1


def test_pruning_refuses_its_budget_before_it_reads_bags(tmp_path: Path) -> None:
    start = checkpoint('mobilenet_subpixel', narrow('mobilenet_subpixel', 8))
    checkpoints.save(tmp_path / 'start', start)
    bags = ('--bags', tmp_path / 'none', '--out', tmp_path / 'out')
    for budget, said in (('macs=0.0001', 'a budget above'), ('nonsense', 'a budget such as')):
        done = run('prune', tmp_path / 'start', '--budget', budget, *bags)
        assert done.returncode == 1
        assert f'error: expected {said}' in done.stderr
        assert done.stderr.count('\n') == 1


def test_quantize_says_what_int8_costs(street: Path, tmp_path: Path) -> None:
    model = write_small_model(tmp_path / 'small.onnx', CARD, 1.0)
    bags = ('--bags', street, '--val', street)
    done = run('quantize', model, tmp_path / 'int8.onnx', *bags, '--max-loss', '0.5')
    assert done.returncode == 0, done.stderr
    assert f'street ({STREET.frames} frames): AbsRel ' in done.stdout
    assert '100.0% of the MACs in int8, 0 layers float' in done.stdout
    assert (tmp_path / 'int8.onnx').is_file()
    again = run('quantize', tmp_path / 'int8.onnx', tmp_path / 'b.onnx', *bags)
    assert again.returncode == 1
    assert 'expected a float model, found an int8 one' in again.stderr
    assert not (tmp_path / 'b.onnx').exists()


def test_an_error_of_the_file_system_is_one_line() -> None:
    done = run('bag', 'street', '/proc/nowhere', '--frames', '1', '--size', '64x48')
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith('error: /proc/')
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_end_is_an_interrupt(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a command has open, a replay's node above all, is closed on the way out."""
    closed: list[bool] = []

    def told() -> None:
        try:
            os.kill(os.getpid(), number)
        finally:
            closed.append(True)

    monkeypatch.setattr(cli, 'app', told)
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
    assert (ended.value.code, closed) == (130, [True])


def _interrupted() -> None:
    raise KeyboardInterrupt


def _interrupted_in_a_module_of_c() -> None:
    raise ImportError('initialization failed') from KeyboardInterrupt()


def _interrupted_in_a_training() -> None:
    with stoppable():
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ('command', 'printed', 'error'),
    [
        (_interrupted, '', 'error: interrupted\n'),
        (_interrupted_in_a_module_of_c, '', 'error: interrupted\n'),
        (_interrupted_in_a_training, 'stopped; the same command goes on from what is done\n', ''),
    ],
)
def test_an_interrupt_is_one_line(
    command: Callable[[], None], printed: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)
    with pytest.raises(SystemExit) as ended, cli._one_line():
        app([])
    assert ended.value.code == 130
    assert capsys.readouterr() == (printed, error)


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_says_where_to_look(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match='1'), cli._one_line():
        raise OSError(number, os.strerror(number))
    said = capsys.readouterr().err
    assert said.startswith('error: a file (where the output goes, or in ')
    assert 'TMPDIR names another' in said
