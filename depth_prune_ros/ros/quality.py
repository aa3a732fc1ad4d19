"""Quality of service: what the node asks for and offers, and how it hears of a mismatch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.event_handler import PublisherEventCallbacks
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import qos_policy_name_from_kind
from rclpy.qos import QoSProfile
from rclpy.qos import QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

Mismatch = Callable[[str, str], None]


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


def _overridable() -> dict[str, Any]:
    return {'qos_overriding_options': QoSOverridingOptions.with_default_policies()}


def _reporter(topic: str, mismatch: Mismatch) -> Callable[[Any], None]:
    def report(event: Any) -> None:
        if event.total_count_change > 0:
            mismatch(topic, qos_policy_name_from_kind(event.last_policy_kind))

    return report
