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

from typing import Any, List, NamedTuple, Sequence

from mobilenetv2_ros.image.image_message import shorten
from mobilenetv2_ros.node.image_topic import is_compressed_name
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

__all__ = [
    'find_publishers', 'make_sensor_qos', 'Mismatch', 'name_publishers', 'OVERRIDABLE',
    'SubscriptionEventCallbacks']

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


class Mismatch(NamedTuple):
    """
    Publishers that cannot reach a subscription, all for one reason.

    :param kind: the same for the same reason, whoever publishes.
    :param sentence: names some of them and says what to set.
    """

    kind: str
    sentence: str


class Publishers(NamedTuple):
    """
    Who publishes on a topic.

    :param total: how many there are.
    :param fitting: those that can reach a subscription, as rclpy tells of them.
    :param mismatches: the others.
    """

    total: int
    fitting: List[Any]
    mismatches: List[Mismatch]


def find_publishers(node: Node, topic: str, message_type: Any, qos: QoSProfile) -> Publishers:
    """
    Find the publishers on a topic, and why some cannot reach a subscription.

    Names and types come from anybody on the network: they are shortened and escaped, and few are
    told of many.

    :param topic: the full name, remapped.
    :param message_type: class of the subscription's messages; ``qos`` is its profile.
    """
    wanted = f"{message_type.__module__.partition('.')[0]}/msg/{message_type.__name__}"
    try:
        publishers = node.get_publishers_info_by_topic(topic)
    except UnicodeDecodeError:
        return Publishers(1, [], [Mismatch('unreadable', (
            f"a publisher on '{topic}' has a name or a type that is not UTF-8: it cannot be told "
            'whether any fits'))])
    others = [one for one in publishers if one.topic_type != wanted]
    deaf: List[Any] = []
    fitting: List[Any] = []
    for one in publishers:
        if one.topic_type == wanted:
            verdict, _ = qos_check_compatible(one.qos_profile, qos)
            (deaf if verdict == QoSCompatibility.ERROR else fitting).append(one)
    mismatches = ([Mismatch('type', _describe_type(others, topic, wanted))] if others else []) + (
        [Mismatch('qos', _describe_qos(deaf, topic, qos))] if deaf else [])
    return Publishers(len(publishers), fitting, mismatches)


def _describe_type(publishers: Sequence[Any], topic: str, wanted: str) -> str:
    offered = publishers[0].topic_type
    advice = 'remap the topic or see image_transport'
    if offered == 'sensor_msgs/msg/CompressedImage':
        advice = 'set image_transport to compressed' + (
            '' if is_compressed_name(topic) else f' and remap image_raw/compressed to {topic}')
    elif offered == 'hbm_img_msgs/msg/HbmMsg1080P':
        advice = 'set image_transport to shared_mem'
    return (f"no images from {name_publishers(publishers)} on '{topic}': it publishes "
            f'{shorten(offered, 80)}, but this node takes {wanted}; {advice}')


def name_publishers(publishers: Sequence[Any]) -> str:
    """Name the first publisher, and how many others there are."""
    first = publishers[0]
    name = f'{first.node_namespace.rstrip("/")}/{first.node_name}'
    # Its endpoint is discovered before its name.
    name = 'a publisher' if 'UNKNOWN' in name else shorten(name, 80)
    return name + (f' and {len(publishers) - 1} more' if len(publishers) > 1 else '')


def _describe_qos(publishers: Sequence[Any], topic: str, qos: QoSProfile) -> str:
    offered, asked = publishers[0].qos_profile, qos
    overrides = []
    if offered.reliability == ReliabilityPolicy.BEST_EFFORT != asked.reliability:
        overrides.append(('reliability', 'best_effort'))
    if offered.durability == DurabilityPolicy.VOLATILE != asked.durability:
        overrides.append(('durability', 'volatile'))
    advice = ' and '.join(
        f'qos_overrides.{topic}.subscription.{policy} to {value}' for policy, value in overrides)
    return (f"no images from {name_publishers(publishers)} on '{topic}': it offers "
            f'{offered.reliability.name} and {offered.durability.name}, but this node asks for '
            f'{asked.reliability.name} and {asked.durability.name}'
            + (f'; set {advice}' if advice else ''))
