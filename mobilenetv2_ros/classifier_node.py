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

Subscribes ``image_raw`` (sensor_msgs/Image) or ``image_raw/compressed``. Publishes
``~/classification`` (vision_msgs/Classification, one for each picture, with the picture's header),
latched ``~/label_info`` and ``~/vision_info``, ``~/overlay`` while somebody looks, and
``/diagnostics``. Parameters: :data:`mobilenetv2_ros.parameters.PARAMETERS`.
"""

from __future__ import annotations

from typing import Any, Callable, Iterator, List, Optional

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from mobilenetv2_ros.backends.base import BackendError
from mobilenetv2_ros.classifier import Classifier
from mobilenetv2_ros.compressed_image import decode_compressed
from mobilenetv2_ros.diagnostics import (
    ActivityRecorder, ENGINE_FAILURES, judge, make_status, tabulate, VerdictLog)
from mobilenetv2_ros.engine import Engine
from mobilenetv2_ros.image_message import ImageView, parse_compressed_image
from mobilenetv2_ros.image_taking import (
    ImageMessage, ImageTaker, TakingUnsupportedError, view_image)
from mobilenetv2_ros.input_qos import (
    describe_mismatches, make_sensor_qos, OVERRIDABLE, SubscriptionEventCallbacks)
from mobilenetv2_ros.labels import LabelError
from mobilenetv2_ros.outputs import ClassifiedPicture, Outputs
from mobilenetv2_ros.parameters import declare_parameters, find_refusal, replace_values
from mobilenetv2_ros.pipeline import Pipeline
from mobilenetv2_ros.receiving import Receiver
from mobilenetv2_ros.recovery import Recovery, Steps
from mobilenetv2_ros.trouble_log import describe, TroubleLog
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos_overriding_options import InvalidQosOverridesError
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

_DIAGNOSTICS_PERIOD = 1.0


class SubscriptionError(Exception):
    """Pictures cannot be subscribed; the text says why."""


class ClassifierNode(LifecycleNode):
    """Configured it holds a model, activated it classifies."""

    def __init__(
            self, is_ending: Callable[[], bool] = lambda: False, **node_options: Any) -> None:
        """
        Declare the parameters.

        :param is_ending: whether the node is about to be destroyed, so that nothing is to wait
            for a slow engine any more; asked from any thread.
        :param node_options: those of ``rclpy.node.Node``.
        :raises rclpy.exceptions.ParameterException: a parameter is of the wrong type.
        :raises ValueError: it is out of range or unknown.
        """
        super().__init__('mobilenetv2', **node_options)
        self._troubles = TroubleLog(self.get_logger().warning)
        self._engine: Optional[Engine] = None
        self._outputs: Optional[Outputs] = None
        self._pipeline: Optional[Pipeline[Any, ClassifiedPicture]] = None
        self._input: Optional[Subscription] = None
        self._receiver: Optional[Receiver] = None
        self._recovery: Optional[Recovery] = None
        self._is_ending = is_ending
        self._recorder = ActivityRecorder()
        self._verdicts = self._make_verdict_log()
        self._parameters_now = declare_parameters(self)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        # Steady: a simulation that is paused must not look like a node that died.
        self.create_timer(
            _DIAGNOSTICS_PERIOD, self._publish_diagnostics,
            clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.add_on_set_parameters_callback(self._on_parameters)

    @property
    def autostart(self) -> bool:
        """Whether the node is to configure and activate itself."""
        return self._parameters_now.autostart

    # Transitions. rclpy swallows what they raise, so each failure is told here, whatever it is.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the model and tell which one it is."""
        try:
            self._open()
        except Exception as error:  # noqa: B902
            self.get_logger().error(f'cannot configure: {_explain(error)}')
            self._release()
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the workers, then subscribe."""
        try:
            self._start_classifying(self._open_again())
        except Exception as error:  # noqa: B902
            self.get_logger().error(f'cannot activate: {_explain(error)}')
            self._stop_classifying()
            return TransitionCallbackReturn.FAILURE
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

    def _open(self) -> None:
        values = self._parameters_now
        self._engine = engine = Engine(
            lambda: self._parameters_now.settings, values.model_path, values.labels_path,
            values.backend, values.thread_count, self._is_cancelled)
        self._outputs = Outputs(self, engine, values.score_threshold, self._report_overlay)
        self.get_logger().info(
            f"model '{engine.model_path}' on {engine.backend.kind} with "
            f'{len(engine.classifiers)} worker(s){engine.remark}')
        if engine.backend.notice:
            self.get_logger().warning(engine.backend.notice)

    def _start_classifying(self, engine: Engine) -> None:
        self._recorder = ActivityRecorder()
        self._verdicts = self._make_verdict_log()
        self._recovery = self._make_recovery(engine)
        self._pipeline = Pipeline(self._make_works(engine), self._publish, self._report)
        try:
            self._input = self._subscribe()
            self._receiver = Receiver(
                self._input, self._pipeline.process, self._pipeline.fail, self._find_image_taker())
        except (InvalidQosOverridesError, ParameterException, RuntimeError, ValueError) as error:
            raise SubscriptionError(f"cannot subscribe 'image_raw': {error}") from error
        self.get_logger().info(f"classifying '{self._input.topic_name}'")

    @property
    def subscriptions(self) -> Iterator[Subscription]:
        """Keep the raw subscription from the executor: the receiver waits for it."""
        return (one for one in super().subscriptions if not one.raw)

    @property
    def _takes_compressed(self) -> bool:
        return self._parameters_now.image_transport == 'compressed'

    def _subscribe(self) -> Subscription:
        compressed = self._takes_compressed
        topic = 'image_raw'
        if compressed:
            # As image_transport does it: remapping image_raw moves the compressed topic too.
            topic = self.resolve_topic_name(topic) + '/compressed'
        # Event handlers would wake the executor with each picture: to Fast DDS a message is an
        # event of its reader too. Mismatches are looked for in the timer instead.
        return self.create_subscription(
            CompressedImage if compressed else Image, topic, _never_called, make_sensor_qos(),
            raw=True, qos_overriding_options=OVERRIDABLE,
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False))

    def _find_image_taker(self) -> Optional[ImageTaker]:
        if self._takes_compressed:
            return None
        try:
            return ImageTaker()
        except TakingUnsupportedError as error:
            self.get_logger().info(f'pictures are taken as bytes, which costs some time: {error}')
            return None

    def _open_again(self) -> Engine:
        """Return the engine; open it if the node was deactivated while it was down."""
        if self._engine is None:
            raise BackendError(
                'the engine hangs while it is being reopened; clean the node up and configure it')
        if not self._engine.is_open:
            self._engine.reopen()
        return self._engine

    def _make_recovery(self, engine: Engine) -> Recovery:
        def suspend() -> None:
            assert self._pipeline is not None
            self._pipeline.stop()

        def resume() -> None:
            assert self._pipeline is not None
            self._pipeline.resume(self._make_works(engine))

        return Recovery(
            Steps(suspend, engine.reopen, resume, lambda: self._close(engine)),
            self.get_logger().error, self.get_logger().info)

    def _make_verdict_log(self) -> VerdictLog:
        return VerdictLog(self.get_logger().warning, self.get_logger().info)

    def _is_cancelled(self) -> bool:
        recovery = self._recovery
        return self._is_ending() or recovery is not None and recovery.wants_workers_back

    def _make_works(self, engine: Engine) -> List[Callable[[Any], ClassifiedPicture]]:
        return [self._make_work(classifier) for classifier in engine.classifiers]

    def _make_work(self, classifier: Classifier) -> Callable[[Any], ClassifiedPicture]:
        read: Callable[[Any], ImageView] = (
            self._read_compressed if self._takes_compressed else self._read_raw)

        def work(message: Any) -> ClassifiedPicture:
            picture = read(message)
            return ClassifiedPicture(picture, classifier.classify(picture))

        return work

    def _read_raw(self, message: ImageMessage) -> ImageView:
        return view_image(message, self._parameters_now.max_image_pixels)

    def _read_compressed(self, message: bytes) -> ImageView:
        assert self._engine is not None
        values, info = self._parameters_now, self._engine.backend.info
        return decode_compressed(parse_compressed_image(message), info.height, info.width,
                                 values.resize_mode, values.max_image_pixels)

    def _publish(self, result: ClassifiedPicture) -> None:
        assert self._outputs is not None
        self._outputs.publish(result, self._parameters_now.class_id_format)
        self._recorder.record_picture(result.picture)
        assert self._recovery is not None
        self._recovery.record_success()

    def _report(self, error: Exception) -> None:
        self._recorder.record_failure(error)
        self._troubles.report(type(error).__name__, f'picture not classified: {describe(error)}')
        if isinstance(error, ENGINE_FAILURES):
            assert self._recovery is not None
            self._recovery.record_failure(describe(error))

    def _report_overlay(self, error: Exception) -> None:
        self._troubles.report('overlay', f'overlay not drawn: {describe(error)}')

    def _warn_of_mismatches(self, subscription: Subscription) -> None:
        for sentence in describe_mismatches(
                self, subscription.topic_name, subscription.msg_type, subscription.qos_profile):
            self._troubles.report(sentence, sentence)

    def _publish_diagnostics(self) -> None:
        level, message, values = DiagnosticStatus.OK, 'no model open', {}
        if self._engine is not None:
            message = ('a model is open, but the node is not active' if self._engine.is_open else
                       'the node is not active; to activate it opens the model that failed again')
            values = {'backend': self._engine.backend.kind, 'model': str(self._engine.model_path),
                      'workers': str(len(self._engine.classifiers))}
        if self._pipeline and self._input and self._receiver and self._recovery:
            topic = self._input.topic_name
            activity = self._recorder.take(
                self._pipeline.counters, self._pipeline.take_latencies(), self._receiver.lost)
            if not activity.recent.received:
                self._warn_of_mismatches(self._input)
            level, message = judge(
                activity, topic, self.count_publishers(topic), self._recovery.outage)
            values.update(tabulate(activity))
            values['reopenings of the engine'] = str(self._recovery.reopenings)
            self._verdicts.add(level, message)
        status = make_status(self.get_fully_qualified_name(), level, message, values)
        self._diagnostics.publish(DiagnosticArray(
            header=Header(stamp=self.get_clock().now().to_msg()), status=[status]))

    def _stop_classifying(self) -> None:
        if self._recovery is not None and not self._recovery.stop():
            self._engine = None  # its thread closes it when the call that hangs returns
        if self._receiver is not None:
            self._receiver.stop()
            self._receiver = None
        if self._input is not None:
            self.destroy_subscription(self._input)
            self._input = None
        if self._pipeline is not None:
            self._pipeline.stop()
            self._pipeline = None
        self._recovery = None

    def _release(self) -> None:
        self._stop_classifying()
        if self._outputs is not None:
            self._outputs.destroy()
            self._outputs = None
        if self._engine is not None:
            engine, self._engine = self._engine, None
            self._close(engine)

    def _close(self, engine: Engine) -> None:
        try:
            engine.close()
        except BackendError as error:
            self.get_logger().warning(f'the model did not close cleanly: {error}')

    def _on_parameters(self, changed: List[Parameter]) -> SetParametersResult:
        refusal = find_refusal(
            {one.name: one.value for one in changed}, is_configured=self._engine is not None)
        if refusal:
            return SetParametersResult(successful=False, reason=refusal)
        before, self._parameters_now = (
            self._parameters_now, replace_values(self._parameters_now, changed))
        threshold = self._parameters_now.score_threshold
        if self._outputs is not None and threshold != before.score_threshold:
            self._outputs.publish_label_info(threshold)
        return SetParametersResult(successful=True)


def _explain(error: Exception) -> str:
    """Return what an error says to the user; what no user was meant to see says what it is."""
    is_meant = isinstance(error, (BackendError, LabelError, SubscriptionError))
    return str(error) if is_meant else f'{type(error).__name__}: {error}'


def _never_called(message: bytes) -> None:
    """Stand in for the callback that rclpy asks for; the receiver takes the messages."""
