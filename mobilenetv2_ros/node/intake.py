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

"""The subscription of images, and who takes them: born and destroyed together."""

from __future__ import annotations

from contextlib import ExitStack
import os
import time
from typing import Any, Callable, Optional

from mobilenetv2_ros.environment import advise_on_security
from mobilenetv2_ros.node.image_input import ImageInput, SubscriptionError
from mobilenetv2_ros.node.receiving import Receiver
from mobilenetv2_ros.node.silence import Silence, SilenceExplainer
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.qos_overriding_options import InvalidQosOverridesError


class Intake:
    """Takes the images of a topic until it is closed."""

    def __init__(self, node: Node, image_input: ImageInput, put: Callable[[Any], bool],
                 report: Callable[[Exception], None]) -> None:
        """
        Subscribe.

        :param put: takes each message, see :class:`.receiving.Receiver`.
        :param report: called for each message that cannot be taken.
        :raises SubscriptionError: images cannot be subscribed.
        """
        self.began = time.monotonic()
        """When it was subscribed, in seconds; before the first image."""
        with ExitStack() as stack:
            try:
                subscription = image_input.subscribe(node)
                stack.callback(node.destroy_subscription, subscription)
                self._receiver = Receiver(
                    subscription, put, report,
                    image_input.find_taker(subscription, node.get_logger()))
            except (
                    InvalidQosOverridesError, ParameterException, RuntimeError,
                    ValueError) as error:
                raise SubscriptionError(
                    f"cannot subscribe '{image_input.find_topic(node)}': {error}"
                    f'{advise_on_security(os.environ)}') from error
            stack.callback(self._receiver.stop)
            self._resources = stack.pop_all()
        self._silence = SilenceExplainer(node, subscription)
        self.topic = str(subscription.topic_name)
        """The full name of the topic."""

    @property
    def lost(self) -> Optional[int]:
        """Images that the middleware dropped on the way; None where it is not known."""
        return self._receiver.lost

    def explain_silence(self) -> Silence:
        """Tell why nothing may come."""
        return self._silence.explain()

    def close(self) -> None:
        """Unsubscribe."""
        self._resources.close()
