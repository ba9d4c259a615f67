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

"""What exists while the node is active: subscription, receiver, workers, recovery, statistics."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
import threading
import time
from typing import Any, Callable, List, NamedTuple, Optional, Set, Tuple, TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticStatus
from mobilenetv2_ros.cancellation import CancelToken
from mobilenetv2_ros.image.image_message import ImageView
from mobilenetv2_ros.inference.backends.base import BackendError
from mobilenetv2_ros.inference.class_choice import ClassChoice
from mobilenetv2_ros.inference.classifier import Classifier
from mobilenetv2_ros.inference.loaded_model import LoadedModel
from mobilenetv2_ros.node.diagnostics import (
    Activity, ActivityRecorder, ENGINE_FAILURES, judge, Report, tabulate, VerdictLog)
from mobilenetv2_ros.node.image_input import ImageInput, INPUTS, SubscriptionError
from mobilenetv2_ros.node.intake import Intake
from mobilenetv2_ros.node.outputs import ClassifiedImage, Outputs
from mobilenetv2_ros.node.parameters import Parameters
from mobilenetv2_ros.node.silence import NO_SILENCE
from mobilenetv2_ros.node.targets import Stages
from mobilenetv2_ros.pipeline.pipeline import Pipeline
from mobilenetv2_ros.pipeline.recovery import Recovery, Steps
from mobilenetv2_ros.throttled_log import describe, ThrottledLog

if TYPE_CHECKING:
    from mobilenetv2_ros.node.classifier_node import ClassifierNode


_MAX_NOTES = 20
"""Of how images are read; whoever sends them must not fill log and memory."""


def close_model(model: LoadedModel, log: Any) -> None:
    """
    Close a model; what cannot be freed is told, since nobody could do more.

    :param log: a logger of rclpy.
    """
    try:
        model.close()
    except BackendError as error:
        log.warning(f'the model did not close cleanly: {error}')


class _ReadImage(NamedTuple):
    """An image with the parameters that count for it, and the message that holds its pixels."""

    image: ImageView
    parameters: Parameters
    message: Any


class ImageStream:
    """Images from the topic to their results, from the node's activation to its deactivation."""

    def __init__(self, node: ClassifierNode, model: LoadedModel, outputs: Outputs,
                 cancel_token: CancelToken, throttled_log: ThrottledLog) -> None:
        """
        Start the workers, then subscribe.

        :param model: open, and nobody else's until :meth:`close`.
        :param cancel_token: of the model.
        :param throttled_log: takes what goes wrong with single images.
        :raises SubscriptionError: images cannot be subscribed.
        :raises RuntimeError: the system has no threads for the workers.
        """
        self._node = node
        self._model = model
        self._outputs = outputs
        self._throttled_log = throttled_log
        self._choice = ClassChoice(model.labels.names)
        self._recorder = ActivityRecorder()
        self._told: Set[str] = set()
        self._is_released = True
        self._lost_before: Optional[int] = None
        self.model_is_free = threading.Event()
        """Set after :meth:`close` when the model is the caller's again, open or closed."""
        log = node.get_logger()
        self._verdicts = VerdictLog(log.warning, log.info)
        self._input: ImageInput = INPUTS[node.parameters.image_transport](model)
        # Its steps are taken after images have failed, which come through what is made below.
        self._recovery = Recovery(
            Steps(lambda: self._pipeline.stop(),
                  lambda: model.reopen(node.parameters.inference_timeout),
                  lambda: self._pipeline.resume(self._make_works()),
                  self._close_model),
            cancel_token, log.error, log.info)
        with ExitStack() as stack:
            self._pipeline = Pipeline(
                self._read, self._make_works(), self._publish, self._report_failure)
            stack.callback(self._stop_pipeline)
            self.take_parameters(node.parameters)
            # Whoever is lazy subscribes too, for a moment: mistakes are told now.
            self._intake: Optional[Intake] = self._subscribe()
            stack.callback(self._unsubscribe)
            self._resources = stack.pop_all()

    def close(self) -> None:
        """
        Unsubscribe and end the workers.

        The model is the caller's again then, unless its engine hangs. Who hangs in it closes the
        model when the call returns.
        """
        # First: it makes workers that wait for the engine give up, and lets none on any more.
        self._is_released = self._recovery.stop(self._pipeline.patience)
        self._resources.close()

    def take_parameters(self, parameters: Parameters) -> None:
        """Follow those that are not read for each image."""
        self._pipeline.pace.set_rate(parameters.max_rate)

    def report(self) -> Report:
        """Judge what happened since the last report, and subscribe or not, as is wanted."""
        activity = self._recorder.take(
            self._pipeline.counters, self._pipeline.take_latencies(), self._lost)
        level, message = self._judge(activity)
        if activity.recent.published or level != DiagnosticStatus.OK:
            self._verdicts.add(level, message)  # all is not well again before something comes
        return Report(level, message, {
            'engine reopenings': str(self._recovery.reopenings), **tabulate(activity)})

    def _judge(self, activity: Activity) -> Tuple[bytes, str]:
        before = self._intake
        try:
            intake = self._follow_demand()
        except SubscriptionError as error:
            return DiagnosticStatus.ERROR, str(error)
        if intake is None:
            return DiagnosticStatus.OK, 'waiting for a subscriber: lazy is true'
        if before is None:
            return DiagnosticStatus.OK, f"subscribed '{intake.topic}' again: somebody listens"
        silence = NO_SILENCE if activity.recent.received else intake.explain_silence()
        for kind, sentence in silence.mismatches:
            self._throttled_log.report(kind, sentence)
        arrival = activity.total.last_arrival
        if arrival is not None and arrival < intake.began:  # before it was unsubscribed
            activity = activity._replace(total=activity.total._replace(last_arrival=None))
        return judge(activity, intake.topic, silence, self._recovery.outage)

    def _follow_demand(self) -> Optional[Intake]:
        if self._node.parameters.lazy and not self._outputs.have_subscribers:
            if self._intake is not None:
                self._unsubscribe()
                self._node.get_logger().info('nobody subscribes the results: no images are taken')
        elif self._intake is None:
            self._intake = self._subscribe()
        return self._intake

    def _subscribe(self) -> Intake:
        # A decoder may take long; what comes meanwhile is to be received all the same.
        put = self._pipeline.process if self._input.is_quick else self._pipeline.put
        intake = Intake(self._node, self._input, put, self._pipeline.fail)
        self._node.get_logger().info(f"classifying '{intake.topic}'")
        return intake

    def _unsubscribe(self) -> None:
        intake, self._intake = self._intake, None
        if intake is not None:
            intake.close()
            self._lost_before = self._find_lost(intake)

    @property
    def _lost(self) -> Optional[int]:
        """Images that the middleware dropped, of this subscription and those before it."""
        return self._lost_before if self._intake is None else self._find_lost(self._intake)

    def _find_lost(self, intake: Intake) -> Optional[int]:
        lost, before = intake.lost, self._lost_before
        return lost if before is None else before + (lost or 0)

    def _stop_pipeline(self) -> None:
        is_idle = self._pipeline.stop(
            self._pipeline.patience, self._close_model if self._is_released else None)
        if is_idle and self._is_released:
            self.model_is_free.set()

    def _close_model(self) -> None:
        try:
            close_model(self._model, self._node.get_logger())
        finally:
            self.model_is_free.set()

    # The way of an image.

    def _read(self, message: Any) -> _ReadImage:
        parameters = self._node.parameters
        image = self._input.read(message, parameters)
        if image.note:
            self._tell_once(image.note)
        return _ReadImage(image, parameters, message)

    def _tell_once(self, note: str) -> None:
        if note not in self._told and len(self._told) < _MAX_NOTES:
            self._told.add(note)
            self._node.get_logger().warning(note)

    def _make_works(self) -> List[Callable[[_ReadImage], ClassifiedImage]]:
        return [partial(self._classify, classifier) for classifier in self._model.classifiers]

    def _classify(self, classifier: Classifier, given: _ReadImage) -> ClassifiedImage:
        image, parameters, message = given
        options = parameters.classification_options
        watched = self._outputs.watched
        began = time.monotonic_ns()
        classifier.pre_process(image, options)
        kept = self._input.keep(image) if watched.overlay else None
        self._input.check(message)
        prepared = time.monotonic_ns()
        scores = classifier.forward(options)
        inferred = time.monotonic_ns()
        classes = classifier.post_process(
            scores, options, self._choice.find(parameters.classes))
        self._recorder.record_image(image)
        return ClassifiedImage(
            image.header, classes, parameters.class_id_format, kept,
            image.full_size or (image.height, image.width),
            Stages(began, prepared, inferred) if watched.targets else None)

    def _publish(self, result: ClassifiedImage) -> None:
        self._outputs.publish(result)
        self._recovery.record_success()

    def _report_failure(self, error: Exception) -> None:
        self._recorder.record_failure(error)
        self._throttled_log.report(
            type(error).__name__, f'image not classified: {describe(error)}')
        if isinstance(error, ENGINE_FAILURES):
            self._recovery.record_failure(describe(error))
