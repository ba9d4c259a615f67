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

"""Why no image comes: what is to be seen of the publishers, and what is likely."""

from __future__ import annotations

from contextlib import suppress
import os
import pwd
import time
from typing import AbstractSet, Any, Dict, List, NamedTuple, Optional, Sequence

from mobilenetv2_ros.environment import advise_on_security
from mobilenetv2_ros.image.image_message import shorten
from mobilenetv2_ros.node.input_qos import find_publishers, Mismatch, name_publishers
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.utilities import get_rmw_implementation_identifier
from rclpy.validate_full_topic_name import validate_full_topic_name

_PATIENCE = 3.0
"""Seconds in which a publisher sends its first image; the slowest in use send once a second."""

_SHARED_MEMORY = '/dev/shm'
_OF_FAST_DDS = 'fastdds_', 'fastrtps_'

_IMAGE_TYPES = frozenset((
    'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage', 'hbm_img_msgs/msg/HbmMsg1080P'))
_OVERLAYS = '/overlay', '/overlay/compressed'
_MAX_TOPICS = 3


class Silence(NamedTuple):
    """
    What is known of a topic on which nothing comes.

    :param publishers: how many there are on it.
    :param is_suspicious: they cannot reach the subscription, or should have reached it by now.
    :param text: says so, for a topic on which no image has come at all.
    :param mismatches: publishers that cannot reach the subscription.
    """

    publishers: int
    is_suspicious: bool
    text: str
    mismatches: List[Mismatch]


NO_SILENCE = Silence(0, False, '', [])
"""While images come."""


class SilenceExplainer:
    """Look at the publishers of a subscription while nothing comes."""

    def __init__(self, node: Node, subscription: Subscription) -> None:
        """Remember whom to look for."""
        self._node = node
        self._subscription = subscription
        self._fitting_since: Optional[float] = None

    def explain(self) -> Silence:
        """Tell what is to be seen now."""
        topic = self._subscription.topic_name
        count, fitting, mismatches = find_publishers(
            self._node, topic, self._subscription.msg_type, self._subscription.qos_profile)
        if not fitting:
            self._fitting_since = None
            if mismatches:
                return Silence(count, True, mismatches[0].sentence, mismatches)
        now = time.monotonic()
        if fitting and self._fitting_since is None:
            self._fitting_since = now
        if self._fitting_since is not None and now - self._fitting_since > _PATIENCE:
            return Silence(count, True, _explain_fitting(topic, fitting), mismatches)
        return Silence(count, False, (
            f"no image yet on '{topic}', which has {count} publisher(s)"
            + ('' if count else _find_elsewhere(self._node))), mismatches)


def _explain_fitting(topic: str, publishers: Sequence[Any]) -> str:
    causes = ['it sends nothing', 'its images are too large for the transport']
    commands = [f'ros2 topic hz {topic}', 'ros2 run mobilenetv2_ros check']
    if 'fastrtps' in get_rmw_implementation_identifier():
        users = ', '.join(_find_other_users())
        causes.insert(1, f'it runs in a container without this {_SHARED_MEMORY}')
        causes.insert(0 if users else 1, 'it runs as another user' + (
            f' ({_SHARED_MEMORY} holds memory of {users})' if users else ''))
        commands.insert(1, f'ls -l {_SHARED_MEMORY}/fast*')
    return (f"no image yet on '{topic}', though {name_publishers(publishers)} offers what this "
            f"node takes; likeliest first: {', '.join(causes)}; look with {', '.join(commands)}"
            f'{advise_on_security(os.environ)}')


def _find_other_users() -> List[str]:
    """Name the users whose Fast DDS uses shared memory here, besides this process's own."""
    uids = set()
    with suppress(OSError), os.scandir(_SHARED_MEMORY) as entries:
        for entry in entries:
            if entry.name.startswith(_OF_FAST_DDS):
                with suppress(FileNotFoundError):
                    uids.add(entry.stat().st_uid)
    return sorted(map(_name_user, uids - {os.geteuid()}))


def _name_user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # of a container, for example
        return f'user {uid}'


def list_image_topics(node: Any) -> Dict[str, AbstractSet[str]]:
    """
    Return the topics of images and their types, but for what nodes like this one make of images.

    :raises UnicodeDecodeError: a name, which comes from anybody, is no text.
    """
    topics = {topic: _IMAGE_TYPES.intersection(types)
              for topic, types in node.get_topic_names_and_types() if _is_name(topic)}
    made = {topic.rpartition('/')[0] + overlay
            for topic in topics if topic.endswith('/classification') for overlay in _OVERLAYS}
    return {topic: types for topic, types in topics.items() if types and topic not in made}


def _is_name(topic: str) -> bool:
    """Tell whether a node can subscribe it; programs without ROS name topics as they like."""
    try:
        validate_full_topic_name(topic)
    except InvalidTopicNameException:
        return False
    return True


def _find_elsewhere(node: Node) -> str:
    """Name topics on which somebody else publishes images."""
    own = f'{node.get_fully_qualified_name()}/'
    try:
        topics = [topic for topic in list_image_topics(node)
                  if not topic.startswith(own) and node.count_publishers(topic)]
    except UnicodeDecodeError:
        return ''
    names = ', '.join(shorten(topic, 80) for topic in topics[:_MAX_TOPICS])
    more = f' and {len(topics) - _MAX_TOPICS} more' if len(topics) > _MAX_TOPICS else ''
    return f'; there are images on {names}{more}' if topics else ''
