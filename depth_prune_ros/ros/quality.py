"""Quality of service: what the node asks for and offers, and how it hears of a mismatch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.event_handler import PublisherEventCallbacks
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import qos_check_compatible
from rclpy.qos import qos_policy_name_from_kind
from rclpy.qos import QoSCompatibility
from rclpy.qos import QoSPolicyKind
from rclpy.qos import QoSProfile
from rclpy.qos import QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.topic_endpoint_info import TopicEndpointInfo

Mismatch = Callable[[str, str], None]

OVERRIDABLE = (
    QoSPolicyKind.HISTORY,
    QoSPolicyKind.DEPTH,
    QoSPolicyKind.RELIABILITY,
    QoSPolicyKind.DURABILITY,
)


def input_profile() -> QoSProfile:
    """Return what every camera offers: the newest message, best effort."""
    return QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)


def input_options(topic: str, mismatch: Mismatch) -> dict[str, Any]:
    """
    Return the options of a subscription: overridable by parameters, watched for mismatches.

    :param mismatch: called with the topic and the policy that does not fit
    """
    report = SubscriptionEventCallbacks(incompatible_qos=_reporter(topic, mismatch))
    return {'event_callbacks': report, **_overridable()}


def output_options(topic: str, mismatch: Mismatch) -> dict[str, Any]:
    """Return the options of a publisher, as :func:`input_options`."""
    report = PublisherEventCallbacks(incompatible_qos=_reporter(topic, mismatch))
    return {'event_callbacks': report, **_overridable()}


def incompatible(node: Node, topic: str) -> bool:
    """
    Tell whether a partner of a topic has, at this moment, a QoS that does not fit the node's.

    The events only ever say that one came.

    :param topic: as the node names it; a remapped name would be remapped once more
    """
    ours = (node.get_name(), node.get_namespace())
    return any(
        qos_check_compatible(writer.qos_profile, reader.qos_profile)[0] == QoSCompatibility.ERROR
        for writer in node.get_publishers_info_by_topic(topic)
        for reader in node.get_subscriptions_info_by_topic(topic)
        if ours in (_owner(writer), _owner(reader))
    )


def other_type(node: Node, topic: str, taken: type) -> str:
    """
    Return the type of a topic's publishers where none publishes what the node takes; '' else.

    :param topic: as for :func:`incompatible`
    :param taken: a message class
    """
    known = {end.topic_type for end in node.get_publishers_info_by_topic(topic)}
    wanted = '/'.join((taken.__module__.split('.')[0], 'msg', taken.__name__))
    return '' if wanted in known else ', '.join(sorted(known))


def _owner(end: TopicEndpointInfo) -> tuple[str, str]:
    return end.node_name, end.node_namespace


def _overridable() -> dict[str, Any]:
    return {'qos_overriding_options': QoSOverridingOptions(OVERRIDABLE)}


def _reporter(topic: str, mismatch: Mismatch) -> Callable[[Any], None]:
    def report(event: Any) -> None:
        if event.total_count_change > 0:
            mismatch(topic, qos_policy_name_from_kind(event.last_policy_kind))

    return report
