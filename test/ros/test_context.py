"""Nodes that are served in a thread of another program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import threading
from typing import Any

from depth_prune_ros.ros.context import free_domain
from depth_prune_ros.ros.context import ros_context
from depth_prune_ros.ros.context import spinning
from depth_prune_ros.ros.context import wait_until
import pytest
from rcl_interfaces.msg import Parameter
from rcl_interfaces.msg import ParameterValue
from rcl_interfaces.srv import SetParameters
from rcl_interfaces.srv import SetParametersAtomically
import rclpy
from rclpy import executors
from rclpy._rclpy_pybind11 import RCLError
from rclpy.client import Client
from rclpy.service import Service
from std_srvs.srv import Trigger


def test_the_thread_ends_also_while_it_looks_what_to_wait_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looking, told = threading.Event(), threading.Event()
    count = executors.NumberOfEntities

    def look(*numbers: int) -> Any:
        looking.set()
        told.wait(60.0)
        return count(*numbers)

    def serve() -> None:
        with (
            ros_context(free_domain()) as context,
            spinning(rclpy.create_node('a', context=context)),
        ):
            assert looking.wait(60.0)
            threading.Timer(0.5, told.set).start()

    monkeypatch.setattr(executors, 'NumberOfEntities', look)
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    thread.join(30.0)
    assert not thread.is_alive()


@contextmanager
def _asking(ended: threading.Event) -> Iterator[Client]:
    """Serve a node whose service says yes, and ask it from another one."""
    with ros_context(free_domain()) as context:
        server, asker = (rclpy.create_node(name, context=context) for name in ('a', 'b'))
        server.create_service(Trigger, 'ask', lambda _, found: _say_yes(found))
        client = asker.create_client(Trigger, 'ask')
        with spinning(server, ended=ended.set), spinning(asker):
            assert client.wait_for_service(20.0)
            yield client


def _say_yes(found: Any) -> Any:
    found.success = True
    return found


def _fail_first(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    send = Service.send_response
    failures = [RCLError(reason)]

    def fail_once(service: Service, response: Any, header: Any) -> None:
        if failures and isinstance(response, Trigger.Response):
            raise failures.pop()
        send(service, response, header)

    monkeypatch.setattr(Service, 'send_response', fail_once)


def test_an_answer_that_cannot_be_sent_does_not_end_the_node(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    reason = 'failed to send response: cannot publish data'
    _fail_first(monkeypatch, reason)
    ended = threading.Event()
    with _asking(ended) as client:
        lost, found = (client.call_async(Trigger.Request()) for _ in range(2))
        assert wait_until(found.done, 20.0)
        assert found.result().success
        assert not lost.done()
        assert not ended.is_set()
    assert reason in capfd.readouterr().err


@pytest.mark.parametrize('atomically', [False, True])
def test_a_parameter_of_a_type_that_does_not_exist_does_not_end_the_node(
    atomically: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    service, name = (
        (SetParametersAtomically, 'a/set_parameters_atomically')
        if atomically
        else (SetParameters, 'a/set_parameters')
    )
    told = 'a request to set parameters was left out: 99 is not a valid Parameter.Type'
    ended = threading.Event()
    with ros_context(free_domain()) as context:
        server, asker = (rclpy.create_node(name, context=context) for name in ('a', 'b'))
        client = asker.create_client(service, name)
        with spinning(server, ended=ended.set), spinning(asker):
            assert client.wait_for_service(20.0)
            value = ParameterValue(type=99)
            odd = service.Request(parameters=[Parameter(name='use_sim_time', value=value)])
            client.call_async(odd)
            found = client.call_async(service.Request(parameters=[]))
            assert wait_until(found.done, 20.0)
            assert not ended.is_set()
    assert told in capfd.readouterr().err


@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
def test_any_other_error_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _fail_first(monkeypatch, 'failed to publish')
    ended = threading.Event()
    with _asking(ended) as client:
        client.call_async(Trigger.Request())
        assert ended.wait(20.0)
