# Copyright 2026 mobilenetv2_ros contributors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Quality of service of the image subscription, and what to say of publishers that do not fit."""

from __future__ import annotations

from typing import Any, List

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy, HistoryPolicy, qos_check_compatible, QoSCompatibility, QoSPolicyKind,
    QoSProfile, ReliabilityPolicy)
from rclpy.qos_overriding_options import QoSOverridingOptions

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

__all__ = ['describe_mismatches', 'make_sensor_qos', 'OVERRIDABLE', 'SubscriptionEventCallbacks']

_MAX_DEPTH = 1000


def _check_depth(qos: QoSProfile) -> SetParametersResult:
    """Refuse what the middleware would choke on."""
    if 1 <= qos.depth <= _MAX_DEPTH:
        return SetParametersResult(successful=True)
    return SetParametersResult(
        successful=False, reason=f'depth {qos.depth}; expected 1 to {_MAX_DEPTH}')


OVERRIDABLE = QoSOverridingOptions(
    (QoSPolicyKind.DEPTH, QoSPolicyKind.DURABILITY, QoSPolicyKind.HISTORY,
     QoSPolicyKind.RELIABILITY), callback=_check_depth)
"""Each is a parameter ``qos_overrides.<topic>.subscription.<policy>``."""


def make_sensor_qos() -> QoSProfile:
    """
    Make the profile of sensor data, which nearly every publisher matches.

    :returns: a profile of its own: overrides are written into it.
    """
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.VOLATILE)


def describe_mismatches(
        node: Node, topic: str, message_type: Any, qos: QoSProfile) -> List[str]:
    """
    Find the publishers on a topic that cannot reach a subscription.

    :param topic: the full name, remapped.
    :param message_type: class of the subscription's messages; ``qos`` is its profile.
    :returns: a sentence for each, with what to set.
    """
    wanted = f"{message_type.__module__.partition('.')[0]}/msg/{message_type.__name__}"
    publishers = node.get_publishers_info_by_topic(topic)
    others = [f"no pictures from {_name(info)} on '{topic}': it publishes {info.topic_type}, but "
              f'this node takes {wanted}; remap the topic or see image_transport'
              for info in publishers if info.topic_type != wanted]
    return others + [
        _describe_qos(info, topic, qos) for info in publishers if info.topic_type == wanted
        and qos_check_compatible(info.qos_profile, qos)[0] == QoSCompatibility.ERROR]


def _name(publisher: Any) -> str:
    name = f'{publisher.node_namespace.rstrip("/")}/{publisher.node_name}'
    # Its endpoint is discovered before its name.
    return 'a publisher' if 'UNKNOWN' in name else name


def _describe_qos(info: Any, topic: str, qos: QoSProfile) -> str:
    offered, asked = info.qos_profile, qos
    overrides = []
    if offered.reliability == ReliabilityPolicy.BEST_EFFORT != asked.reliability:
        overrides.append(('reliability', 'best_effort'))
    if offered.durability == DurabilityPolicy.VOLATILE != asked.durability:
        overrides.append(('durability', 'volatile'))
    advice = ' and '.join(
        f'qos_overrides.{topic}.subscription.{policy} to {value}' for policy, value in overrides)
    return (f"no pictures from {_name(info)} on '{topic}': it offers "
            f'{offered.reliability.name} and {offered.durability.name}, but this node asks for '
            f'{asked.reliability.name} and {asked.durability.name}'
            + (f'; set {advice}' if advice else ''))
