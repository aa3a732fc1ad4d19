"""What a replay waits for: lost answers, a full disk, stamps that go back."""

from __future__ import annotations

from pathlib import Path
import struct
from types import SimpleNamespace
from typing import cast

from depth_prune_ros.bags.write import BagWriter
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import ReplayError
from depth_prune_ros.ros import replay as replaying
from depth_prune_ros.ros.play import header_stamp_ns
from depth_prune_ros.ros.play import with_stamp
from depth_prune_ros.ros.process import NodeProcess
from depth_prune_ros.ros.record import Recorder
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
import pytest
from rclpy.task import Future
from rosbags.rosbag2 import Writer


class _Client:
    """Loses the first answers, as Fast DDS may before client and service have matched."""

    def __init__(self, lost: int) -> None:
        self.lost = lost
        self.asked = 0

    def service_is_ready(self) -> bool:
        return True

    def call_async(self, _: GetState.Request) -> Future:
        self.asked += 1
        answer = Future()
        if self.asked > self.lost:
            answer.set_result(
                GetState.Response(current_state=State(id=State.PRIMARY_STATE_ACTIVE))
            )
        return answer


def _ask(monkeypatch: pytest.MonkeyPatch, client: _Client) -> None:
    monkeypatch.setattr(replaying, 'ASK_AGAIN_S', 0.02)
    monkeypatch.setattr(replaying, 'READY_TIMEOUT_S', 0.1)
    node = SimpleNamespace(create_client=lambda *_: client)
    process = SimpleNamespace(running=True, complaint='waiting')
    replaying._wait_until_active(node, process)


@pytest.mark.parametrize('lost', [0, 2])
def test_a_lost_answer_is_asked_for_again(monkeypatch: pytest.MonkeyPatch, lost: int) -> None:
    client = _Client(lost)
    _ask(monkeypatch, client)
    assert client.asked == lost + 1


def test_a_node_that_never_answers_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    client = _Client(lost=100)
    with pytest.raises(ReplayError, match='expected its lifecycle state; it says: waiting'):
        _ask(monkeypatch, client)
    assert client.asked > 1


def test_a_recording_that_cannot_be_written_ends_the_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[object] = []

    def fail(*given: object) -> None:
        tries.append(given)
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Writer, 'write', fail)
    told = f'{tmp_path / "out"}: expected to write the bag, found: No space left on device; free'
    with pytest.raises(BagError, match=told), BagWriter(tmp_path / 'out') as sink:
        recorder = Recorder(SimpleNamespace(), {}, sink)
        recorder.received_ns['/depth'] = {}
        watch = replaying._watch(SimpleNamespace(running=True), recorder, None)
        watch(1, 9)
        for _ in range(2):
            header = bytes([0, 1, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0])
            recorder._keep('/depth', 'sensor_msgs/msg/Image', header)
        assert recorder.received_ns['/depth'].keys() == {5_000_000_000}
        watch(2, 9)
    assert len(tries) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_latency_is_from_publishing_to_the_answer_behind_it_in_seconds() -> None:
    recorder = Recorder(SimpleNamespace(), {}, SimpleNamespace())
    recorder.received_ns['/depth'] = {1: 1_250_000_000, 2: 900_000_000}
    # of stamp 2 only an earlier loop's answer came, of stamp 3 none
    published_ns = {1: 1_000_000_000, 2: 1_000_000_000, 3: 1_000_000_000}
    assert recorder.latency_s('/depth', published_ns) == {1: pytest.approx(0.25)}


def test_a_message_without_a_header_is_a_damaged_bag() -> None:
    with pytest.raises(BagError, match='a message with a header, found 4 bytes'):
        header_stamp_ns(bytes(4))


@pytest.mark.parametrize('order', ['<', '>'])
def test_a_message_gets_another_stamp_and_keeps_the_rest(order: str) -> None:
    head = bytes([0, 1 if order == '<' else 0, 0, 0])
    message = head + struct.pack(f'{order}iI', 0, 0) + b'the rest'
    stamped = with_stamp(message, 3_000_000_007)
    assert header_stamp_ns(message) == 0
    assert header_stamp_ns(stamped) == 3_000_000_007
    assert (stamped[:4], stamped[12:]) == (head, b'the rest')


def test_the_last_image_is_waited_for_where_stamps_go_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Played in the order 30, 20, 10: the answer to 30 is not the end."""
    published_ns = {30: 1, 20: 2, 10: 3}
    for answered, wanted in (({30: 4, 20: 5}, False), ({30: 4, 10: 5}, True)):
        done, _ = _drained(monkeypatch, published_ns, answered)
        assert done is wanted


@pytest.mark.parametrize(
    ('answered', 'seconds'),
    [({}, 30.0), ({10: 300_000_000}, 7.0), ({10: 300_000_000, 20: 6_000_000_000}, 30.0)],
)
def test_an_answer_that_does_not_come_is_waited_for_as_the_others_were_late(
    monkeypatch: pytest.MonkeyPatch, answered: dict[int, int], seconds: float
) -> None:
    published_ns = {10: 100_000_000, 20: 200_000_000, 30: 300_000_000}
    assert _drained(monkeypatch, published_ns, answered) == (False, pytest.approx(seconds))


def _drained(
    monkeypatch: pytest.MonkeyPatch, published_ns: dict[int, int], answered: dict[int, int]
) -> tuple[bool, float]:
    """Return whether all that is waited for is there, and for how long it is waited for."""
    waited: list[tuple[bool, float]] = []
    monkeypatch.setattr(
        replaying, 'wait_until', lambda done, seconds: waited.append((done(), seconds))
    )
    recorder = Recorder(SimpleNamespace(), {}, SimpleNamespace())
    recorder.received_ns.update(dict.fromkeys(replaying.OUTPUTS, answered))
    replaying._drain(SimpleNamespace(running=True), recorder, published_ns, with_info=True)
    return waited[-1]


@pytest.mark.parametrize(
    ('running', 'told'), [(True, '[ERROR] [1.5] [depth_node]: no such model'), (False, 'last = 2')]
)
def test_what_a_node_says_is_its_last_error_or_what_it_died_of(running: bool, told: str) -> None:
    log = (
        '[ERROR] [1.0] [depth_node]: early\n' + told + '\n[WARN] an answer was lost\nlast = 2\n\n'
    )
    process = cast('NodeProcess', SimpleNamespace(log=log, running=running))
    assert cast('property', NodeProcess.complaint).__get__(process) == told
    process = cast('NodeProcess', SimpleNamespace(log='', running=running))
    assert cast('property', NodeProcess.complaint).__get__(process) == 'nothing was logged'
