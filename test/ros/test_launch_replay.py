"""What replay.launch.py does as things happen, with launch stood in for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import signal
from types import SimpleNamespace
from typing import Any

from launch_stand_in import context_for
from launch_stand_in import kind
from launch_stand_in import load
from launch_stand_in import Made
import pytest

ACTIVE = '[INFO] [1.5] [depth_node]: active: /image -> depth\n'
REFUSED = '[ERROR] [1.5] [depth_node]: /nowhere.onnx: expected a model file, found: none\n'


class Course:
    """The actions of a replay, and what happens to them."""

    def __init__(self, make: Callable[..., list[Any]], context: SimpleNamespace) -> None:
        self.context = context
        self.actions = make(context)
        self.handlers = [
            action.arguments[0]
            for action in self.actions
            if kind(action) == 'RegisterEventHandler'
        ]

    def say(self, text: str, process: str = 'depth_node-1') -> list[Any]:
        """Let a process write to its error output."""
        event = SimpleNamespace(process_name=process, text=text.encode())
        heard = [h for h in self.handlers if kind(h) == 'OnProcessIO']
        return [made for handler in heard for made in handler.options['on_stderr'](event)]

    def end(self, process: Any, code: int) -> list[Any]:
        """Let a process end: an action, or the node by its name."""
        name = process if isinstance(process, str) else f'{process.options["name"]}-2'
        event = SimpleNamespace(process_name=name, returncode=code)
        return [
            made
            for handler in self.handlers
            if kind(handler) == 'OnProcessExit'
            and handler.options.get('target_action') in (None, process)
            for made in handler.options['on_exit'](event, self.context)
        ]

    def begin(self) -> tuple[Any, Any]:
        """Let the node be active; return recorder and player."""
        recorder, timer = self.say(ACTIVE)
        return recorder, timer.options['actions'][0]


@pytest.fixture
def course(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Course]:
    """Return a function that makes a replay into tmp_path/out from arguments."""
    module = load('replay.launch.py', monkeypatch)
    bag = tmp_path / 'bag'
    bag.mkdir()

    def make(**given: str) -> Course:
        arguments = {'bag': str(bag), 'out': str(tmp_path / 'out'), **given}
        return Course(module.make_actions, context_for(module, **arguments))

    return make


def test_the_course(course: Callable[..., Course], tmp_path: Path) -> None:
    replay = course(image='/a', camera_info='/b', name='eye', rate='2.0')
    assert replay.say('[INFO] [1.5] [eye]: small: 2 parameters\n') == []
    recorder, player = replay.begin()
    assert recorder.options['cmd'][-4:] == [
        *('--output', str(tmp_path / 'out' / 'depth')),
        *('/eye/depth', '/eye/camera_info'),
    ]
    assert player.options['cmd'] == [
        *('ros2', 'bag', 'play', str(tmp_path / 'bag'), '--clock', '--rate', '2.0'),
        *('--topics', '/a', '/b'),
    ]
    assert replay.say(ACTIVE) == []
    (timer,) = replay.end(player, 0)
    interrupt = timer.options['actions'][0].options['event'].options
    assert interrupt['signal_number'] == signal.SIGINT
    assert interrupt['process_matcher'].arguments == (recorder,)
    (judge,) = replay.end(recorder, 0)
    assert judge.options['cmd'][1:] == [
        *('--left', '/a', '--left-info', '/b'),
        *('evaluate', str(tmp_path / 'bag'), '--depth-topic', '/eye/depth'),
        *('--depth-bag', str(tmp_path / 'out' / 'depth'), '--out', str(tmp_path / 'out')),
    ]
    (last,) = replay.end(judge, 0)
    assert kind(last.options['event']) == 'Shutdown'


def test_the_node_publishes_where_the_recorder_listens(course: Callable[..., Course]) -> None:
    node = course(image='/a', camera_info='/b', name='eye', reliable='true').actions[-1]
    assert kind(node) == 'IncludeLaunchDescription'
    assert dict(node.options['launch_arguments']) == {
        'image': '/a',
        'camera_info': '/b',
        'name': 'eye',
        'reliable': 'true',
        'namespace': '',
        'depth': '~/depth',
        'depth_info': '~/camera_info',
        'use_sim_time': 'true',
        'min_depth': '0.0',
        'max_depth': '1000.0',
        'respawn': 'false',
    }


def test_an_older_recording_is_never_judged(course: Callable[..., Course], tmp_path: Path) -> None:
    (tmp_path / 'out' / 'depth').mkdir(parents=True)
    with pytest.raises(RuntimeError, match='no older recording.*remove it or give another out'):
        course()


@pytest.mark.parametrize('bag', ['', '/nowhere/bag'])
def test_without_a_bag_nothing_starts(course: Callable[..., Course], bag: str) -> None:
    with pytest.raises(RuntimeError, match='expected a bag'):
        course(bag=bag)


def test_a_node_that_refuses_ends_it_with_its_reason(course: Callable[..., Course]) -> None:
    replay = course()
    with pytest.raises(RuntimeError, match='did not start: /nowhere.onnx: expected a model'):
        replay.say(REFUSED)
    assert replay.say(REFUSED + ACTIVE) == []


def test_a_line_may_come_in_parts(course: Callable[..., Course]) -> None:
    replay = course()
    assert replay.say(REFUSED[:60]) == []
    with pytest.raises(RuntimeError, match='expected a model file, found: none'):
        replay.say(REFUSED[60:])


def test_only_the_node_is_listened_to(course: Callable[..., Course]) -> None:
    assert course().say(REFUSED + ACTIVE, process='rviz2-2') == []


def test_errors_of_a_node_that_is_active_end_nothing(course: Callable[..., Course]) -> None:
    replay = course()
    replay.begin()
    assert replay.say(REFUSED) == []


@pytest.mark.parametrize('active', [False, True])
def test_a_node_that_ends_ends_it(course: Callable[..., Course], active: bool) -> None:
    replay = course()
    if active:
        replay.begin()
    assert replay.end('rviz2-2', 1) == []
    with pytest.raises(RuntimeError, match='the node ended with code -9'):
        replay.end('depth_node-1', -9)


def test_a_node_that_says_nothing_ends_it_in_time(course: Callable[..., Course]) -> None:
    replay = course(start_timeout='7')
    (timer,) = (action for action in replay.actions if kind(action) == 'TimerAction')
    late = timer.options['actions'][0].options['function']
    assert timer.options['period'] == 7.0
    with pytest.raises(RuntimeError, match='not active after 7 s'):
        late(replay.context)
    playing = course()
    playing.begin()
    (timer,) = (action for action in playing.actions if kind(action) == 'TimerAction')
    assert timer.options['actions'][0].options['function'](playing.context) is None


@pytest.mark.parametrize('code', [0, 1])
def test_a_recorder_that_ends_too_early_is_not_judged(
    course: Callable[..., Course], code: int
) -> None:
    replay = course()
    recorder, _ = replay.begin()
    with pytest.raises(RuntimeError, match=f'record ended with code {code}; nothing is judged'):
        replay.end(recorder, code)


@pytest.mark.parametrize('code', [0, 2, 130, -2])
def test_a_recorder_may_say_that_it_was_interrupted(
    course: Callable[..., Course], code: int
) -> None:
    replay = course(evaluate='false')
    recorder, player = replay.begin()
    replay.end(player, 0)
    said, last = replay.end(recorder, code)
    assert (kind(said), kind(last)) == ('LogInfo', 'EmitEvent')


@pytest.mark.parametrize('code', [1, -11])
def test_a_recorder_that_failed_is_not_judged(course: Callable[..., Course], code: int) -> None:
    replay = course()
    recorder, player = replay.begin()
    replay.end(player, 0)
    with pytest.raises(RuntimeError, match=f'record ended with code {code}'):
        replay.end(recorder, code)


def test_a_player_or_a_judge_that_fails_ends_it(course: Callable[..., Course]) -> None:
    replay = course()
    _, player = replay.begin()
    with pytest.raises(RuntimeError, match='play ended with code 1'):
        replay.end(player, 1)
    replay = course()
    recorder, player = replay.begin()
    replay.end(player, 0)
    (judge,) = replay.end(recorder, 0)
    assert isinstance(judge, Made)
    with pytest.raises(RuntimeError, match='evaluate ended with code 1'):
        replay.end(judge, 1)


def test_what_ends_because_all_ends_is_no_failure(course: Callable[..., Course]) -> None:
    replay = course()
    recorder, player = replay.begin()
    replay.context.is_shutdown = True
    for process in (player, recorder, 'depth_node-1'):
        assert replay.end(process, -2) == []
