"""What /diagnostics says of counts and times, by hand."""

from __future__ import annotations

from depth_prune_ros.ros.context import free_domain
from depth_prune_ros.ros.context import ros_context
from depth_prune_ros.ros.diagnostics import Drop
from depth_prune_ros.ros.diagnostics import Statistics
from depth_prune_ros.ros.diagnostics import Timing
from depth_prune_ros.ros.node import DepthNode
from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
import pytest
from rclpy.parameter import Parameter


def _values(status: DiagnosticStatus) -> dict[str, str]:
    return {value.key: value.value for value in status.values} | {'message': status.message}


def _told(statistics: Statistics, seconds: float) -> dict[str, str]:
    return _values(statistics.status(seconds, lambda topic: False))


def test_times_are_in_milliseconds() -> None:
    statistics = Statistics()
    statistics.published(Timing(age_s=0.5, waited_s=0.01, inference_s=0.02, total_s=0.1))
    found = _told(statistics, 1.0)
    expected = {
        'age': '500.00',
        'waited': '10.00',
        'inference': '20.00',
        'own work': '70.00',
        'total': '100.00',
    }
    for percent in (50, 99):
        assert {name: found[f'{name} p{percent} (ms)'] for name in expected} == expected


def _said(seconds: int, images: dict[float, Drop | None]) -> list[str]:
    """Sum up every second, of images at these times that are dropped, if they are."""
    now_s = 0.0
    statistics = Statistics(lambda: now_s)
    said = []
    for second in range(seconds):
        for now_s, cause in images.items():
            if second <= now_s < second + 1:
                statistics.received()
                if cause:
                    statistics.dropped(cause)
        now_s = second + 1.0
        said.append(_told(statistics, 1.0)['message'])
    return said


def test_rates_and_silence_are_of_the_time_since_the_last_sum() -> None:
    times_s = iter((0.1, 0.5, 0.9, 1.5, 2.5))
    statistics = Statistics(lambda: next(times_s))
    for _ in range(3):
        statistics.received()
    first, second = _told(statistics, 1.5), _told(statistics, 1.0)
    assert (first['input rate (Hz)'], first['message']) == ('2.0', 'active')
    assert (second['input rate (Hz)'], second['message']) == ('0.0', 'no images')


def test_a_slow_camera_is_silent_after_three_of_its_usual_gaps() -> None:
    images = dict.fromkeys((1.5, 3.5, 5.5, 20.5, 22.5, 24.5))
    said = _said(32, images)
    assert [second for second, text in enumerate(said) if text == 'no images'] == [
        0,
        2,
        *range(11, 20),
        30,
        31,
    ]
    assert set(said) == {'active', 'no images'}


def test_between_two_images_of_a_slow_camera_a_warning_stays() -> None:
    images = {0.5: None, 2.5: None, 4.5: Drop.ERROR, 6.5: None}
    said = _said(9, images)
    assert [text.startswith('1 images dropped by errors') for text in said[3:]] == [
        False,
        True,
        True,
        False,
        False,
        False,
    ]


def test_silence_by_age_is_warned_of_while_it_lasts() -> None:
    statistics = Statistics()
    statistics.received()
    statistics.dropped(Drop.AGE)
    assert 'all images dropped as older than max_age' in _told(statistics, 1.0)['message']
    statistics.received()
    statistics.dropped(Drop.AGE)
    statistics.dropped(Drop.ERROR)
    assert 'max_age' not in _told(statistics, 1.0)['message']
    for _ in range(2):
        statistics.received()
    statistics.dropped(Drop.AGE)
    statistics.published(Timing(age_s=0.5, waited_s=0.01, inference_s=0.02, total_s=0.1))
    assert _told(statistics, 1.0)['message'] == 'active'


def test_nodes_of_two_namespaces_have_two_names(monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    with ros_context(free_domain()) as context:
        for namespace in ('/front/robot', '/rear', '/'):
            node = DepthNode(
                context=context,
                namespace=namespace,
                parameter_overrides=[Parameter('autostart', value=False)],
            )
            sent: list[DiagnosticArray] = []
            monkeypatch.setattr(node._diagnostics, 'publish', sent.append)
            node._report()
            names.append(sent[0].status[0].name)
            node.destroy_node()
    assert names == [
        'front/robot/depth_node: depth',
        'rear/depth_node: depth',
        'depth_node: depth',
    ]


def test_the_node_sums_up_since_its_last_report(monkeypatch: pytest.MonkeyPatch) -> None:
    spans: list[float] = []

    def status(seconds: float, *_: object) -> DiagnosticStatus:
        spans.append(seconds)
        return DiagnosticStatus()

    with ros_context(free_domain()) as context:
        node = DepthNode(
            context=context, parameter_overrides=[Parameter('autostart', value=False)]
        )
        monkeypatch.setattr(node._statistics, 'status', status)
        node._reported_s -= 1000.0
        node._report()
        node._report()
        node.destroy_node()
    assert spans[0] >= 1000.0
    assert 0.0 <= spans[1] < 500.0
