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
The lifecycle node ``mobilenetv2``: pictures in, classifications out.

Subscribes ``image_raw`` (sensor_msgs/Image). Publishes ``~/classification``
(vision_msgs/Classification, one for each picture, with the picture's header) and, latched,
``~/label_info`` and ``~/vision_info``. Parameters: :data:`mobilenetv2_ros.parameters.PARAMETERS`.
"""

from __future__ import annotations

from typing import Any, Callable, List, NamedTuple, Optional

from mobilenetv2_ros.backends.base import BackendError
from mobilenetv2_ros.classifier import Classifier
from mobilenetv2_ros.engine import Engine
from mobilenetv2_ros.image_message import ImageView, parse_image
from mobilenetv2_ros.labels import LabelError
from mobilenetv2_ros.messages import ClassificationWriter, make_label_info, make_vision_info
from mobilenetv2_ros.parameters import declare_parameters, find_refusal, replace_values
from mobilenetv2_ros.pipeline import Pipeline
from mobilenetv2_ros.ranking import RankedClass, ScoreRangeError
from mobilenetv2_ros.trouble_log import TroubleLog
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import (
    DurabilityPolicy, HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy)
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image
from vision_msgs.msg import Classification, LabelInfo, VisionInfo

_OVERRIDABLE = (QoSPolicyKind.DEPTH, QoSPolicyKind.DURABILITY, QoSPolicyKind.HISTORY,
                QoSPolicyKind.RELIABILITY)


class ClassifiedPicture(NamedTuple):
    """A picture and its classes, best first."""

    picture: ImageView
    classes: List[RankedClass]


class ClassifierNode(LifecycleNode):
    """Configured it holds a model, activated it classifies."""

    def __init__(self, **node_options: Any) -> None:
        """
        Declare the parameters.

        :param node_options: those of ``rclpy.node.Node``.
        :raises rclpy.exceptions.ParameterException: a parameter is of the wrong type.
        :raises ValueError: it is out of range or unknown.
        """
        super().__init__('mobilenetv2', **node_options)
        self._troubles = TroubleLog(self.get_logger().warning)
        self._engine: Optional[Engine] = None
        self._outputs: Optional[_Outputs] = None
        self._pipeline: Optional[Pipeline[bytes, ClassifiedPicture]] = None
        self._input: Optional[Subscription] = None
        self._parameters_now = declare_parameters(self)
        self.add_on_set_parameters_callback(self._on_parameters)

    @property
    def autostart(self) -> bool:
        """Whether the node is to configure and activate itself."""
        return self._parameters_now.autostart

    # Transitions. rclpy swallows what they raise, so each failure is told here.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the model and tell which one it is."""
        values = self._parameters_now
        try:
            self._engine = Engine(
                lambda: self._parameters_now.settings, values.model_path, values.labels_path,
                values.backend, values.thread_count)
        except (BackendError, LabelError, ScoreRangeError) as error:
            self.get_logger().error(f'cannot configure: {error}')
            return TransitionCallbackReturn.FAILURE
        self._outputs = _Outputs(self, self._engine, values.score_threshold)
        self.get_logger().info(
            f"model '{self._engine.model_path}' on {self._engine.backend.kind} with "
            f'{len(self._engine.classifiers)} worker(s)')
        if self._engine.backend.notice:
            self.get_logger().warning(self._engine.backend.notice)
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the workers, then subscribe."""
        assert self._engine is not None
        self._pipeline = Pipeline(
            [self._make_work(classifier) for classifier in self._engine.classifiers],
            self._publish, self._report)
        try:
            self._input = self._subscribe(self._pipeline.put)
        except (RuntimeError, ValueError) as error:  # unusable QoS overrides
            self.get_logger().error(f"cannot subscribe 'image_raw': {error}")
            self._stop_classifying()
            return TransitionCallbackReturn.FAILURE
        self.get_logger().info(f"classifying '{self._input.topic_name}'")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and end the workers; the model stays open."""
        self._stop_classifying()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the model."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back, from whichever state."""
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back, so that configure works again."""
        self._release()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Give everything back, then the node itself."""
        self._release()
        super().destroy_node()

    # What the transitions are made of.

    def _subscribe(self, take: Callable[[bytes], None]) -> Subscription:
        # A fresh profile each time: overrides are written into it.
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.VOLATILE)
        return self.create_subscription(
            Image, 'image_raw', take, qos, raw=True,
            qos_overriding_options=QoSOverridingOptions(_OVERRIDABLE))

    def _make_work(self, classifier: Classifier) -> Callable[[bytes], ClassifiedPicture]:
        def work(message: bytes) -> ClassifiedPicture:
            picture = parse_image(message, self._parameters_now.max_image_pixels)
            return ClassifiedPicture(picture, classifier.classify(picture))

        return work

    def _publish(self, result: ClassifiedPicture) -> None:
        assert self._outputs is not None
        self._outputs.publish(result, self._parameters_now.class_id_format)

    def _report(self, error: Exception) -> None:
        self._troubles.report(type(error).__name__, f'picture not classified: {error}')

    def _stop_classifying(self) -> None:
        if self._input is not None:
            self.destroy_subscription(self._input)
            self._input = None
        if self._pipeline is not None:
            self._pipeline.stop()
            self._pipeline = None

    def _release(self) -> None:
        self._stop_classifying()
        if self._outputs is not None:
            self._outputs.destroy()
            self._outputs = None
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _on_parameters(self, changed: List[Parameter]) -> SetParametersResult:
        refusal = find_refusal(
            {one.name: one.value for one in changed}, is_configured=self._engine is not None)
        if refusal:
            return SetParametersResult(successful=False, reason=refusal)
        self._parameters_now = replace_values(self._parameters_now, changed)
        return SetParametersResult(successful=True)


class _Outputs:
    """The publishers of a configured node."""

    def __init__(self, node: LifecycleNode, engine: Engine, threshold: float) -> None:
        latched = QoSProfile(
            depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL,
            reliability=ReliabilityPolicy.RELIABLE)
        self._node = node
        self._class_ids = {
            'name': engine.labels.names,
            'index': [str(index) for index in range(len(engine.labels.names))]}
        self._writer = ClassificationWriter()
        self._classification = node.create_publisher(Classification, '~/classification', 10)
        self._label_info = node.create_publisher(LabelInfo, '~/label_info', latched)
        self._vision_info = node.create_publisher(VisionInfo, '~/vision_info', latched)
        now = node.get_clock().now().to_msg()
        self._label_info.publish(make_label_info(now, engine.labels.names, threshold))
        self._vision_info.publish(make_vision_info(now, engine))

    def publish(self, result: ClassifiedPicture, class_id_format: str) -> None:
        self._classification.publish(self._writer.write(
            result.picture.header, result.classes, self._class_ids[class_id_format]))

    def destroy(self) -> None:
        for publisher in (self._classification, self._label_info, self._vision_info):
            self._node.destroy_publisher(publisher)
