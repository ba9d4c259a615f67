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

"""Probes of ROS: distribution, middleware, shared memory, security, and cameras that publish."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
import os
from pathlib import Path
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from mobilenetv2_ros.environment import find_memory_problems, find_security_problems
from mobilenetv2_ros.resources import PROFILE_VARIABLES
from mobilenetv2_ros.tools.check.findings import ERROR, Finding, Machine, OK, WARNING

_TROS_MESSAGES = 'ai_msgs', 'hbm_img_msgs'
_MAX_CAMERAS = 8
_DISCOVERY_SECONDS = 2.0


def has_ros() -> bool:
    """Tell whether ROS is installed and sourced."""
    return find_spec('rclpy') is not None


def probe_ros(machine: Machine) -> Iterator[Finding]:
    """Tell the distribution and the middleware."""
    distribution = machine.environment.get('ROS_DISTRO', '')
    if not has_ros():
        yield Finding(
            WARNING, 'ros', 'rclpy is not installed', 'source the setup.bash of your ROS, or use '
            'only the tools for files')
        yield Finding(OK, 'middleware', 'unknown without ROS')
        return
    yield Finding(OK, 'ros', f'{distribution or "distribution unknown (ROS_DISTRO is not set)"}')
    try:
        from rclpy.utilities import get_rmw_implementation_identifier
        text = get_rmw_implementation_identifier()
    except Exception as error:  # noqa: B902 a middleware that cannot be loaded raises anything
        yield Finding(ERROR, 'middleware', f'cannot be loaded ({error})',
                      'install what RMW_IMPLEMENTATION names, or unset it')
        return
    parts = [f'domain {machine.environment.get("ROS_DOMAIN_ID") or 0}', *(
        f'{name}={machine.environment[name]}'
        for name in ('ROS_LOCALHOST_ONLY', 'ROS_AUTOMATIC_DISCOVERY_RANGE')
        if name in machine.environment)]
    yield Finding(OK, 'middleware', ', '.join([text, *parts]))


def probe_profile(machine: Machine) -> Iterator[Finding]:
    """Tell which profile of Fast DDS is in force, and whether shared memory has room for it."""
    yield _describe_profile(machine)
    problems = list(find_memory_problems(machine.environment))
    if problems:
        yield from (Finding(WARNING, '/dev/shm', problem) for problem in problems)
        return
    try:
        status = os.statvfs(machine.root / 'dev/shm')
    except OSError as error:
        yield Finding(WARNING, '/dev/shm', f'cannot be used ({error.strerror})',
                      'Fast DDS sends over the network instead, which is slow for images')
    else:
        size, free = (blocks * status.f_frsize >> 20
                      for blocks in (status.f_blocks, status.f_bavail))
        yield Finding(OK, '/dev/shm', f'{size} MB, {free} MB free')


def _describe_profile(machine: Machine) -> Finding:
    chosen = _find_profile(machine)
    if chosen is None:
        return Finding(OK, 'profile', 'none here; the launch files of this package set one')
    variable, path = chosen
    try:
        content = path.read_text(encoding='utf-8', errors='replace')
    except OSError as error:
        return Finding(ERROR, 'profile', f"{variable} names '{path}': {error.strerror}",
                       f'correct or unset {variable}')
    is_from_xml = machine.environment.get('RMW_FASTRTPS_USE_QOS_FROM_XML') == '1'
    if is_from_xml and 'PREALLOCATED_WITH_REALLOC' not in content:
        return Finding(
            WARNING, 'profile', f'{path}, with RMW_FASTRTPS_USE_QOS_FROM_XML=1 but without '
            'historyMemoryPolicy', 'on Humble no image gets through; use the file of this package')
    return Finding(OK, 'profile', f'{path} ({variable})')


def _find_profile(machine: Machine) -> Optional[Tuple[str, Path]]:
    """Find the variable that counts and the file that it names."""
    for variable in PROFILE_VARIABLES:
        if path := machine.environment.get(variable):
            return variable, Path(path)
    return None


def probe_loans(machine: Machine) -> Iterator[Finding]:
    """Tell what is set for loaned messages, through which shared-memory images come uncopied."""
    loans = machine.environment.get('ROS_DISABLE_LOANED_MESSAGES')
    from_xml = machine.environment.get('RMW_FASTRTPS_USE_QOS_FROM_XML')
    parts = [f'{name}={value}' for name, value in (
        ('ROS_DISABLE_LOANED_MESSAGES', loans), ('RMW_FASTRTPS_USE_QOS_FROM_XML', from_xml))
        if value is not None]
    are_on = loans == '0' and from_xml == '1'
    text = f'{"on" if are_on else "off"} ({", ".join(parts) or "nothing is set"})'
    if from_xml == '1' and _find_profile(machine) is None:
        yield Finding(WARNING, 'loans', text, 'RMW_FASTRTPS_USE_QOS_FROM_XML=1 without a profile '
                      'breaks Humble: unset it, or name a profile')
    else:
        yield Finding(OK, 'loans', text)


def probe_tros(machine: Machine) -> Iterator[Finding]:
    """Tell which messages of TROS are there; without ai_msgs its web page shows no result."""
    missing = [name for name in _TROS_MESSAGES if find_spec(name) is None]
    found = ', '.join(
        f'{name} {"missing" if name in missing else "found"}' for name in _TROS_MESSAGES)
    if missing and machine.is_x5:
        yield Finding(WARNING, 'tros', found, 'source /opt/tros/humble/setup.bash')
    else:
        yield Finding(OK, 'tros', found)


def probe_security(machine: Machine) -> Iterator[Finding]:
    """Tell whether SROS 2 is in force; one wrong letter leaves a node unprotected in silence."""
    problems = list(find_security_problems(machine.environment))
    if problems:
        yield from (Finding(WARNING, 'security', problem) for problem in problems)
    elif machine.environment.get('ROS_SECURITY_ENABLE') != 'true':
        yield Finding(OK, 'security', 'off')
    elif not os.path.isdir(machine.environment.get('ROS_SECURITY_KEYSTORE', '')):
        yield Finding(ERROR, 'security', 'enforced, but ROS_SECURITY_KEYSTORE names no folder',
                      'set it to the keystore')
    else:
        yield Finding(OK, 'security', 'enforced')


def probe_cameras(machine: Machine) -> Iterator[Finding]:
    """Listen for a moment to all images that are published now."""
    if not has_ros():
        yield Finding(OK, 'camera', 'unknown without ROS')
        return
    try:
        cameras = _listen(machine.seconds)
    except Exception as error:  # noqa: B902 rclpy raises classes of its own for each cause
        yield Finding(ERROR, 'camera', f'cannot listen ({error})', (
            'set ROS_LOG_DIR to a folder that can be written' if 'logging' in str(error) else
            'see the lines middleware and security'))
        return
    if not cameras:
        yield Finding(OK, 'camera', 'none publishes images in this domain now')
    for camera in cameras[:_MAX_CAMERAS]:
        yield camera.to_finding()
    if len(cameras) > _MAX_CAMERAS:
        yield Finding(OK, 'camera', f'and {len(cameras) - _MAX_CAMERAS} more')


class _Camera:
    """An image topic, and what came over it."""

    def __init__(self, topic: str, message_type: str) -> None:
        self.topic = topic
        self.message_type = message_type
        self.publishers: List[Any] = []
        self.arrivals: List[float] = []
        self.size = 0
        self.can_be_taken = True

    def take(self, message: bytes) -> None:
        """Count a message that came as bytes."""
        self.arrivals.append(time.monotonic())
        self.size = len(message)

    def to_finding(self) -> Finding:
        """Tell what is known of it."""
        text = f'{self.topic}, {self.message_type}, {self._describe_qos()}'
        if not self.can_be_taken:
            return Finding(OK, 'camera', f'{text}, not listened to: its message type is not '
                           'installed here')
        if not self.arrivals:
            return Finding(
                WARNING, 'camera', f'{text}, but nothing came',
                'the camera is idle, or runs as another user or in another container')
        took = self.arrivals[-1] - self.arrivals[0]
        rate = f'{(len(self.arrivals) - 1) / took:.1f}/s' if took else 'one message'
        return Finding(OK, 'camera', f'{text}, {rate} of {self.size / 1e6:.3g} MB')

    def _describe_qos(self) -> str:
        kinds = {f'{info.qos_profile.reliability.name} {info.qos_profile.durability.name}'.lower()
                 for info in self.publishers}
        count = len(self.publishers)
        return f'{" and ".join(sorted(kinds))} ({count} publisher{"s" if count > 1 else ""})'


def _listen(seconds: float) -> List[_Camera]:
    """Listen to all image topics for some seconds, with a node of our own."""
    import rclpy
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor

    context = Context()
    rclpy.init(args=[], context=context)
    try:
        node = rclpy.create_node(
            'mobilenetv2_check', context=context, enable_rosout=False,
            start_parameter_services=False)
        try:
            executor = SingleThreadedExecutor(context=context)
            executor.add_node(node)
            cameras: Dict[str, _Camera] = {}
            _spin(executor, _DISCOVERY_SECONDS, lambda: _discover(node, cameras))
            _spin(executor, seconds, lambda: None)
            for camera in cameras.values():
                camera.publishers = [
                    info for info in node.get_publishers_info_by_topic(camera.topic)
                    if info.topic_type == camera.message_type]
            executor.shutdown()
            return [one for one in cameras.values() if one.publishers]
        finally:
            node.destroy_node()
    finally:
        context.try_shutdown()


def _spin(executor: Any, seconds: float, look: Callable[[], None]) -> None:
    end_at = time.monotonic() + seconds
    while time.monotonic() < end_at:
        look()
        executor.spin_once(timeout_sec=0.1)


def _discover(node: Any, cameras: Dict[str, _Camera]) -> None:
    """Subscribe image topics that have appeared since the last look."""
    from mobilenetv2_ros.node.input_qos import make_sensor_qos
    from mobilenetv2_ros.node.silence import list_image_topics

    for topic, types in list_image_topics(node).items():
        for message_type in types:
            key = f'{topic} {message_type}'
            if key in cameras or not node.count_publishers(topic):
                continue
            camera = cameras[key] = _Camera(topic, message_type)
            package, _, name = message_type.split('/')
            try:
                message_class = getattr(import_module(f'{package}.msg'), name)
            except ImportError:
                camera.can_be_taken = False
            else:
                node.create_subscription(
                    message_class, topic, camera.take, make_sensor_qos(), raw=True)
