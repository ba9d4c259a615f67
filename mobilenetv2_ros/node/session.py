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

"""What exists while the node is configured: the loaded model, the publishers, maybe a stream."""

from __future__ import annotations

from contextlib import ExitStack
import threading
from typing import Optional, TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticStatus
from mobilenetv2_ros.cancellation import CancelToken
from mobilenetv2_ros.inference.backends.base import BackendError
from mobilenetv2_ros.inference.class_choice import choose_classes
from mobilenetv2_ros.inference.labels import LabelError
from mobilenetv2_ros.inference.loaded_model import LoadedModel
from mobilenetv2_ros.node.diagnostics import Report
from mobilenetv2_ros.node.outputs import Outputs
from mobilenetv2_ros.node.parameters import Parameters
from mobilenetv2_ros.node.stream import close_model, ImageStream
from mobilenetv2_ros.process_setup import return_freed_memory
from mobilenetv2_ros.throttled_log import describe, ThrottledLog

if TYPE_CHECKING:
    from mobilenetv2_ros.node.classifier_node import ClassifierNode


_PATIENCE = 1.0
"""Seconds that an activation waits for an engine that was busy when the node was deactivated."""


class Session:
    """Owns the model and the publishers from the node's configuration to its clean-up."""

    def __init__(self, node: ClassifierNode, ending: Optional[CancelToken]) -> None:
        """
        Open the model, tell which one it is, and create the publishers.

        :param ending: see :class:`.classifier_node.ClassifierNode`.
        :raises LabelError: the labels cannot be read, or lack one of ``classes``.
        :raises BackendError: the model cannot be opened or does not work.
        """
        self._node = node
        self._log = node.get_logger()
        self._throttled_log = ThrottledLog(self._log.warning)
        self._cancel_token = CancelToken(ending)
        self._stream: Optional[ImageStream] = None
        self._model_is_free = threading.Event()
        self._model_is_free.set()
        parameters = node.parameters
        self._threshold = parameters.score_threshold
        with ExitStack() as stack:
            self._model = LoadedModel(
                parameters.model_path, parameters.labels_path, parameters.backend,
                parameters.thread_count, parameters.inference_timeout, self._cancel_token,
                parameters.score_type, parameters.trust_model, self._log.warning)
            stack.callback(self._close_model_if_free)
            choose_classes(parameters.classes, self._model.labels.names)
            self._outputs = Outputs(node, self._model, self._threshold, self._report_missing)
            stack.callback(self._outputs.destroy)
            self._resources = stack.pop_all()
        self._tell_model()

    def activate(self) -> None:
        """
        Classify what comes; a model that failed before the node was deactivated is reopened.

        :raises BackendError: the model cannot be used.
        :raises SubscriptionError: images cannot be subscribed.
        """
        if not self._model_is_free.wait(_PATIENCE):
            raise BackendError(
                'the engine hangs in a call; activate the node when it has returned, or clean the '
                'node up and configure it')
        self._cancel_token.clear()
        if not self._model.is_open:
            self._model.reopen(self._node.parameters.inference_timeout)
        self._stream = ImageStream(
            self._node, self._model, self._outputs, self._cancel_token, self._throttled_log)

    def deactivate(self) -> bool:
        """Classify no more; returns whether the model stays open, as it does unless it fails."""
        self._end_stream()
        return_freed_memory()
        return self._model.is_open

    def close(self) -> None:
        """Give everything back."""
        self._end_stream()
        self._resources.close()
        return_freed_memory()

    def _end_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            self._model_is_free = stream.model_is_free
            stream.close()

    def find_refusal(self, parameters: Parameters) -> str:
        """Find out why parameters do not fit this model; empty if they do."""
        try:
            choose_classes(parameters.classes, self._model.labels.names)
        except LabelError as error:
            return str(error)
        return ''

    def take_parameters(self, parameters: Parameters) -> None:
        """Follow what has changed, and tell subscribers if it is what they were told."""
        if self._stream is not None:
            self._stream.take_parameters(parameters)
        if parameters.score_threshold != self._threshold:
            self._threshold = parameters.score_threshold
            self._outputs.publish_label_info(self._threshold)

    def report(self) -> Report:
        """Tell how the node does; what happened is counted from one report to the next."""
        backend = self._model.backend
        values = {'engine backend': backend.kind, 'engine model': str(self._model.model_path),
                  'engine workers': str(len(self._model.classifiers))}
        stream = self._stream
        if stream is not None:
            level, message, more = stream.report()
            return Report(level, message, {**values, **more})
        message = ('a model is open, but the node is not active' if self._model.is_open else
                   'the node is not active; to activate it opens the model that failed again')
        return Report(DiagnosticStatus.OK, message, values)

    def _tell_model(self) -> None:
        model = self._model
        self._log.info(
            f"model '{model.model_path}' on {model.backend.kind} with "
            f'{len(model.classifiers)} worker(s): {model.summary}')
        if model.backend.notice:
            self._log.warning(model.backend.notice)

    def _report_missing(self, what: str, error: Exception) -> None:
        self._throttled_log.report(what, f'{what} not published: {describe(error)}')

    def _close_model_if_free(self) -> None:
        if self._model_is_free.is_set():
            close_model(self._model, self._log)
