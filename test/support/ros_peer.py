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

"""What a node under test talks to: a camera, a listener and an operator in one."""

from __future__ import annotations

from array import array
import itertools
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Type, Union

from lifecycle_msgs.srv import ChangeState, GetState
import numpy as np
from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from support.hostile_images import compress
from support.node_process import PATIENCE_SECONDS
from vision_msgs.msg import Classification

AnyImage = Union[Image, CompressedImage]

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_SERVICES: Dict[Type[Any], str] = {
    ChangeState: 'change_state', SetParameters: 'set_parameters',
    GetParameters: 'get_parameters', DescribeParameters: 'describe_parameters',
    GetState: 'get_state'}
"""GetState is the last one, see ``Peer._become_known``."""

_EVERYTHING = QoSProfile(depth=1000)
_WARMING_UP = 'warming up '


class Peer:
    """A node in a context of its own, spun only while something is waited for."""

    def __init__(self, domain: int, target: str = '/mobilenetv2') -> None:
        """
        Join a domain.

        :param target: the full name of the node under test.
        """
        self._context = Context()
        rclpy.init(args=[], context=self._context, domain_id=domain)
        self.node = Node('peer', context=self._context, start_parameter_services=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._target = target
        self._clients: Dict[Type[Any], Any] = {
            kind: self.node.create_client(kind, f'{target}/{name}')
            for kind, name in _SERVICES.items()}
        self._is_known = False
        self._is_listening = False
        self._warmed_up = ''
        self._camera: Any = None
        self._numbers = itertools.count(1)
        self.results: List[Classification] = []

    def close(self) -> None:
        """Leave the domain."""
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    # Waiting

    def wait_until(self, reached: Callable[[], bool],
                   what: Union[str, Callable[[], str]] = '') -> None:
        """Receive messages until something is so."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            assert time.monotonic() < deadline, (
                f'waited in vain; {what() if callable(what) else what}')
            self._executor.spin_once(timeout_sec=0.05)

    def spin_for(self, seconds: float, step: float = 0.05) -> None:
        """
        Receive messages for a time in which nothing is expected.

        :param step: seconds by which it may take longer.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._executor.spin_once(timeout_sec=step)

    # Topics

    def collect(self, kind: Type[Any], topic: str, qos: QoSProfile = _EVERYTHING) -> List[Any]:
        """Subscribe; returns the list that messages go to."""
        messages: List[Any] = []
        self.node.create_subscription(kind, topic, messages.append, qos)
        return messages

    def receive(self, kind: Type[Any], topic: str, qos: QoSProfile = _EVERYTHING) -> Any:
        """Return the next message of a topic."""
        messages: List[Any] = []
        subscription = self.node.create_subscription(kind, topic, messages.append, qos)
        self.wait_until(lambda: bool(messages), f'nothing on {topic}')
        self.node.destroy_subscription(subscription)
        return messages[0]

    # Images and results

    def open_camera(self, topic: str = 'image_raw', kind: Type[Any] = Image,
                    qos: QoSProfile = _EVERYTHING) -> None:
        """Make the publisher of images."""
        self._camera = self.node.create_publisher(kind, topic, qos)

    def close_camera(self) -> None:
        """Destroy the publisher of images."""
        self.node.destroy_publisher(self._camera)
        self._camera = None

    def connect(self, sample: Optional[AnyImage] = None, topic: str = 'image_raw') -> None:
        """
        Send images until the first one is answered: from then on nothing gets lost.

        Until the node deactivates, that is; then this has to be called again.

        :param sample: what is sent, by default a small grey image.
        """
        sample = make_image(np.full((8, 8, 3), 127, np.uint8)) if sample is None else sample
        if self._camera is None:
            self.open_camera(topic, type(sample))
        if not self._is_listening:
            self._is_listening = True
            self.node.create_subscription(
                Classification, f'{self._target}/classification', self._take, _EVERYTHING)
        self._warmed_up = ''
        own, sample.header.frame_id = sample.header.frame_id, f'{_WARMING_UP}{next(self._numbers)}'
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._warmed_up != sample.header.frame_id:
            assert time.monotonic() < deadline, 'no image was ever answered'
            self._camera.publish(sample)
            self.spin_for(0.1)
        sample.header.frame_id = own

    def _take(self, result: Classification) -> None:
        if result.header.frame_id.startswith(_WARMING_UP):
            self._warmed_up = result.header.frame_id
        else:
            self.results.append(result)

    def publish(self, image: Union[AnyImage, bytes]) -> None:
        """Send an image, or what is to pass for a serialized one, as it is."""
        self._camera.publish(image)

    def classify(self, image: AnyImage) -> Classification:
        """Send an image, stamped, and wait for its result."""
        stamp = self.stamp(image)
        self.publish(image)
        self.wait_until(lambda: any(stamp_of(one) == stamp for one in self.results),
                        f'no result for image {stamp}')
        return next(one for one in self.results if stamp_of(one) == stamp)

    def publish_all(self, images: Sequence[AnyImage], under_way: int = 1) -> None:
        """Send images, so many at a time at most, and wait for as many results."""
        before = len(self.results)
        for sent, image in enumerate(images):
            self.wait_until(lambda: len(self.results) - before > sent - under_way,
                            f'{len(self.results) - before} results of {sent}')
            self.publish(image)
        self.wait_until(lambda: len(self.results) - before >= len(images),
                        f'{len(self.results) - before} results of {len(images)}')

    def stamp(self, image: AnyImage) -> Tuple[int, int]:
        """Give an image a stamp that no other one has."""
        image.header.stamp.sec = next(self._numbers)
        image.header.stamp.nanosec = 999_999_999 - image.header.stamp.sec
        return stamp_of(image)

    # Services

    def call(self, kind: Type[Any], request: Any) -> Any:
        """Call one of the node's services."""
        if not self._is_known:
            self._become_known()
        future = self._clients[kind].call_async(request)
        self.wait_until(future.done, f'no answer from {_SERVICES[kind]}')
        return future.result()

    def _become_known(self) -> None:
        """
        Wait until the node knows all clients; before that answers get lost.

        A node learns of clients in the order in which they were made, and who asks for its state
        again and again does no harm.
        """
        for client in self._clients.values():
            self.wait_until(client.service_is_ready, f'no service {client.srv_name}')
        future = self._clients[GetState].call_async(GetState.Request())
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not future.done():
            assert time.monotonic() < deadline, 'the node never told its state'
            self.spin_for(0.2)
            if not future.done():
                future = self._clients[GetState].call_async(GetState.Request())
        self._is_known = True

    def change_state(self, transition: str) -> bool:
        """Ask for a transition by its name; tells whether it succeeded."""
        request = ChangeState.Request()
        request.transition.label = transition
        return bool(self.call(ChangeState, request).success)

    def change_states(self, *transitions: str) -> None:
        """Ask for transitions that have to succeed."""
        for transition in transitions:
            assert self.change_state(transition), transition

    def state(self) -> str:
        """Return the name of the node's state."""
        return str(self.call(GetState, GetState.Request()).current_state.label)

    def set_parameters(self, **values: Any) -> List[SetParametersResult]:
        """Set parameters, one by one."""
        request = SetParameters.Request(parameters=[
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()])
        return list(self.call(SetParameters, request).results)

    def set_parameter(self, name: str, value: Any) -> str:
        """Set one; returns the reason why it was refused, empty if it was not."""
        result, = self.set_parameters(**{name: value})
        assert result.successful != bool(result.reason), result
        return str(result.reason)

    def get_parameters(self, *names: str) -> List[object]:
        """Return their values."""
        request = GetParameters.Request(names=list(names))
        values = self.call(GetParameters, request).values
        return [parameter_value_to_python(value) for value in values]

    def describe_parameters(self, *names: str) -> List[ParameterDescriptor]:
        """Return their descriptors."""
        request = DescribeParameters.Request(names=list(names))
        return list(self.call(DescribeParameters, request).descriptors)


def stamp_of(message: Any) -> Tuple[int, int]:
    """Return the time in a message's header."""
    return message.header.stamp.sec, message.header.stamp.nanosec


def class_ids(result: Classification) -> List[str]:
    """Return the classes of a result, best first."""
    return [one.class_id for one in result.results]


def make_image(pixels: Any, encoding: str = 'bgr8', height: int = 0,
               frame_id: str = 'camera') -> Image:
    """
    Make an image message.

    :param pixels: uint8, one row of the array for each row of bytes.
    :param height: of the image, where it is not that of the array.
    """
    rows = pixels.shape[0]
    row_bytes = pixels.size // rows
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    message = Image(
        height=height or rows, width=row_bytes // channels, encoding=encoding, step=row_bytes,
        data=array('B', np.ascontiguousarray(pixels).tobytes()))
    message.header.frame_id = frame_id
    return message


def make_compressed(pixels: Any, form: str = 'jpeg') -> CompressedImage:
    """
    Make a compressed image message.

    :param pixels: bgr8.
    :param form: ``jpeg`` or ``png``.
    """
    return wrap_compressed(compress(pixels, form), form)


def wrap_compressed(data: bytes, form: str = 'jpeg') -> CompressedImage:
    """Make a compressed image message of any bytes."""
    message = CompressedImage(format=form, data=array('B', data))
    message.header.frame_id = 'camera'
    return message
