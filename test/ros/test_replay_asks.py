"""The replay asks for the node's lifecycle state again where an answer is lost."""

from __future__ import annotations

from types import SimpleNamespace

from depth_prune_ros.core.errors import ReplayError
from depth_prune_ros.ros import replay as replaying
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
import pytest
from rclpy.task import Future


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
    process = SimpleNamespace(running=True, last_line='waiting')
    replaying._wait_until_active(node, process)


@pytest.mark.parametrize('lost', [0, 2])
def test_a_lost_answer_is_asked_for_again(monkeypatch: pytest.MonkeyPatch, lost: int) -> None:
    client = _Client(lost)
    _ask(monkeypatch, client)
    assert client.asked == lost + 1


def test_a_node_that_never_answers_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    client = _Client(lost=100)
    with pytest.raises(ReplayError, match='expected its lifecycle state; its last line: waiting'):
        _ask(monkeypatch, client)
    assert client.asked > 1
