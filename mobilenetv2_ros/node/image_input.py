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

"""
The ways in which images arrive: one class for each value of ``image_transport``, in one table.

Each knows what is subscribed and how a message, as the receiver takes it, becomes an image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Callable, Dict, Optional

from mobilenetv2_ros.image.compressed_image import decode_compressed
from mobilenetv2_ros.image.image_message import (
    CompressedView, ImageView, make_view, parse_compressed_image)
from mobilenetv2_ros.image.sample_depth import SampleDepth
from mobilenetv2_ros.inference.loaded_model import LoadedModel
from mobilenetv2_ros.node.image_taking import (
    ImageMessage, ImageTaker, TakingUnsupportedError, view_image)
from mobilenetv2_ros.node.image_topic import find_image_topic
from mobilenetv2_ros.node.input_qos import (
    make_sensor_qos, OVERRIDABLE, SubscriptionEventCallbacks)
from mobilenetv2_ros.node.message_info import MessageTaker
from mobilenetv2_ros.node.parameters import Parameters
from mobilenetv2_ros.node.shared_memory import LoansUnavailableError, LoanTaker, SharedImage
from mobilenetv2_ros.process_setup import mapping_large_memory
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image


class SubscriptionError(Exception):
    """Images cannot be subscribed; the text says why."""


class ImageInput(ABC):
    """One way in which images arrive."""

    message_type: Any
    is_quick: bool
    """Whether a message becomes an image in no time."""

    def __init__(self, model: LoadedModel) -> None:
        """
        Remember the model.

        :param model: whose input is filled.
        """
        self._model = model

    def subscribe(self, node: Node) -> Subscription:
        """
        Subscribe, for a receiver that takes the messages apart from the node's executor.

        :raises rclpy.qos_overriding_options.InvalidQosOverridesError: the user's QoS is refused.
        """
        # Event handlers would wake the executor with each image: to Fast DDS a message is an
        # event of its reader too. Mismatches are looked for in the timer instead.
        return node.create_subscription(
            self.message_type, self.find_topic(node), _never_called, make_sensor_qos(),
            raw=True, qos_overriding_options=OVERRIDABLE,
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False))

    def find_taker(self, subscription: Subscription, log: Any) -> Optional[MessageTaker]:
        """
        Find what takes messages as structures.

        :param subscription: whose messages are taken.
        :param log: a logger of rclpy.
        :returns: None where they are taken as bytes.
        """
        return None

    @abstractmethod
    def read(self, message: Any, parameters: Parameters) -> ImageView:
        """
        Make an image of a message; from any worker.

        :param message: as the receiver has taken it.
        :raises ImageMessageError: it is no image, or not one that is taken.
        """

    def check(self, message: Any) -> None:
        """
        Make sure, after an image has been converted, that it has not changed meanwhile.

        :raises ImageMessageError: it has.
        """

    def keep(self, image: ImageView) -> ImageView:
        """Return an image that never changes; to be called before :meth:`check`."""
        return image

    @abstractmethod
    def find_topic(self, node: Node) -> str:
        """Find the full name of the topic, remapped."""


class RawInput(ImageInput):
    """``sensor_msgs/Image`` on ``image_raw``."""

    message_type = Image
    is_quick = True

    def __init__(self, model: LoadedModel) -> None:
        """Know nothing of the camera yet."""
        super().__init__(model)
        self._depth = SampleDepth()

    def find_taker(self, subscription: Subscription, log: Any) -> Optional[MessageTaker]:
        """Take the C structure that the middleware fills, where it is the one known."""
        try:
            return ImageTaker()
        except TakingUnsupportedError as error:
            log.info(f'images are taken as bytes, which costs some time: {error}')
            return None

    def read(self, message: ImageMessage, parameters: Parameters) -> ImageView:
        """View the pixels where they are."""
        image = view_image(message, parameters.max_image_pixels)
        return self._depth.mark(image, parameters.mono16_bits)

    def find_topic(self, node: Node) -> str:
        """Find ``image_raw``."""
        return find_image_topic(node, is_compressed=False)


class CompressedInput(ImageInput):
    """``sensor_msgs/CompressedImage`` on ``image_raw/compressed``."""

    message_type = CompressedImage
    is_quick = False

    def __init__(self, model: LoadedModel) -> None:
        """Know nothing of the camera yet."""
        super().__init__(model)
        self._depth = SampleDepth()

    def read(self, message: bytes, parameters: Parameters) -> ImageView:
        """Decode, as far as the model's input needs it."""
        info = self._model.backend.info
        image = decode_compressed(
            parse_compressed_image(message), info.height, info.width,
            self._model.choose_resize_mode(parameters.resize_mode), parameters.max_image_pixels)
        return self._depth.mark(image, parameters.mono16_bits)

    def find_topic(self, node: Node) -> str:
        """Find ``image_raw/compressed``."""
        return find_image_topic(node, is_compressed=True)


class SharedMemoryInput(ImageInput):
    """``hbm_img_msgs/HbmMsg1080P`` on ``hbmem_img``."""

    is_quick = True

    def __init__(self, model: LoadedModel) -> None:
        """
        Import the messages, which TROS has and other machines have not.

        :raises SubscriptionError: they are not installed.
        """
        super().__init__(model)
        try:
            from hbm_img_msgs.msg import HbmMsg1080P
        except ImportError as error:
            raise SubscriptionError(
                "image_transport 'shared_mem' needs the package hbm_img_msgs of TROS "
                f'({error}); source /opt/tros/humble/setup.bash, or use raw or compressed'
            ) from None
        self.message_type = HbmMsg1080P

    def subscribe(self, node: Node) -> Subscription:
        """Subscribe; what the middleware reserves for messages that never come costs nothing."""
        with mapping_large_memory():
            return super().subscribe(node)

    def find_taker(self, subscription: Subscription, log: Any) -> Optional[MessageTaker]:
        """Take the messages where they lie."""
        try:
            return LoanTaker(subscription)
        except LoansUnavailableError as error:
            raise SubscriptionError(str(error)) from error

    def read(self, message: SharedImage, parameters: Parameters) -> ImageView:
        """View the pixels where they are, or decode them."""
        image = message.read()
        if image.encoding != 'jpeg':
            return make_view(*image[:7], max_pixels=parameters.max_image_pixels)
        # Checks of a file are worth nothing while it may change.
        view = CompressedView(image.header, 'jpeg', image.data.copy())
        message.finish()
        info = self._model.backend.info
        return decode_compressed(
            view, info.height, info.width,
            self._model.choose_resize_mode(parameters.resize_mode), parameters.max_image_pixels)

    def check(self, message: SharedImage) -> None:
        """Make sure that the camera has not overwritten the pixels meanwhile."""
        message.finish()

    def keep(self, image: ImageView) -> ImageView:
        """Copy the pixels, which are the camera's."""
        return image._replace(data=image.data.copy())

    def find_topic(self, node: Node) -> str:
        """Find ``hbmem_img``."""
        return str(node.resolve_topic_name('hbmem_img'))


INPUTS: Dict[str, Callable[[LoadedModel], ImageInput]] = {
    'raw': RawInput, 'compressed': CompressedInput, 'shared_mem': SharedMemoryInput}
"""By the value of ``image_transport``; the same as ``IMAGE_TRANSPORTS`` of :mod:`.parameters`."""


def _never_called(message: bytes) -> None:
    """Stand in for the callback that rclpy asks for; the receiver takes the messages."""
