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
The lifecycle node ``mobilenetv2``: images in, classifications out.

Subscribes ``image_raw`` (sensor_msgs/Image), ``image_raw/compressed`` or ``hbmem_img``. Publishes
``~/classification`` (vision_msgs/Classification, one for each image, with the image's header),
latched ``~/label_info`` and ``~/vision_info``, ``~/overlay`` and ``~/targets`` while somebody
looks, and ``/diagnostics``. Parameters: :data:`mobilenetv2_ros.node.parameters.PARAMETERS`.

What exists while the node is configured is a :class:`.session.Session`, what exists while it is
active a :class:`.stream.ImageStream`, which the session holds.
"""

from __future__ import annotations

import threading
from typing import Any, Iterator, List, Optional

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from mobilenetv2_ros.cancellation import CancelToken
from mobilenetv2_ros.inference.backends.base import BackendError
from mobilenetv2_ros.inference.labels import LabelError
from mobilenetv2_ros.node.diagnostics import make_diagnostics, NO_MODEL
from mobilenetv2_ros.node.image_input import SubscriptionError
from mobilenetv2_ros.node.parameters import (
    declare_parameters, explain_unused, find_refusal, Parameters, replace_values)
from mobilenetv2_ros.node.session import Session
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.subscription import Subscription

NAME = 'mobilenetv2'
"""Of the node, unless the command line names another."""

_DIAGNOSTICS_PERIOD = 1.0

_REFUSAL_LOG_PERIOD = 1.0


class ClassifierNode(LifecycleNode):
    """Configured it holds a model, activated it classifies."""

    def __init__(self, ending: Optional[CancelToken] = None, **node_options: Any) -> None:
        """
        Declare the parameters.

        :param ending: cancelled when the node is about to be destroyed, so that nothing is to
            wait for a slow engine any more.
        :param node_options: those of ``rclpy.node.Node``.
        :raises rclpy.exceptions.ParameterException: a parameter is of the wrong type.
        :raises ValueError: it is out of range or unknown.
        """
        super().__init__(NAME, **node_options)
        self._ending = ending
        self._session: Optional[Session] = None
        # Whoever embeds the node may set parameters and call transitions from any thread, amid one
        # another and amid a report.
        self._session_lock = threading.RLock()
        self._failure = ''
        try:
            self._parameters_now = declare_parameters(self)
        except BaseException:
            self.destroy_node()  # the process may have others
            raise
        self._warn_of_unused_parameters(of_qos=False)
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

    @property
    def parameters(self) -> Parameters:
        """All values now, from one moment; read it once for each image."""
        return self._parameters_now

    # Transitions. rclpy swallows what they raise, so each failure is told here, whatever it is.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the model and tell which one it is."""
        try:
            with self._session_lock:
                self._session = Session(self, self._ending)
        except Exception as error:  # noqa: B902
            return self._fail(f'cannot configure: {_explain(error)}')
        self._failure = ''
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the workers, then subscribe."""
        try:
            with self._session_lock:
                if self._session is not None:
                    self._session.activate()
        except Exception as error:  # noqa: B902
            return self._fail(f'cannot activate: {_explain(error)}')
        self._failure = ''
        self._warn_of_unused_parameters(of_qos=True)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and end the workers; a model that works stays open."""
        with self._session_lock:
            is_open = self._session is not None and self._session.deactivate()
        self.get_logger().info('deactivated: no images are taken; ' + (
            'the model stays open' if is_open else
            'the model failed and is closed: to activate opens it again'))
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the model."""
        self._close_session()
        self.get_logger().info('cleaned up: the model is closed')
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back, from whichever state."""
        self._close_session()
        self.get_logger().info('shut down: this node cannot be configured again')
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back, so that configure works again."""
        self._close_session()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Give everything back, then the node itself."""
        self._close_session()
        super().destroy_node()

    def _fail(self, failure: str) -> TransitionCallbackReturn:
        """Tell why a transition failed, in diagnostics until one succeeds."""
        self._failure = failure
        self.get_logger().error(failure)
        return TransitionCallbackReturn.FAILURE

    def _close_session(self) -> None:
        self._failure = ''
        with self._session_lock:
            session, self._session = self._session, None
            if session is not None:
                session.close()

    # What rclpy calls or asks for.

    @property
    def subscriptions(self) -> Iterator[Subscription]:
        """Keep the raw subscription from the executor: the receiver waits for it."""
        return (one for one in super().subscriptions if not one.raw)

    def _on_parameters(self, changed: List[Parameter]) -> SetParametersResult:
        with self._session_lock:
            session = self._session
            refusal = find_refusal(
                {one.name: one.value for one in changed}, self._parameters_now,
                is_configured=session is not None)
            parameters = self._parameters_now
            if not refusal:
                parameters = replace_values(parameters, changed)
                refusal = '' if session is None else session.find_refusal(parameters)
            if refusal:
                # rqt_reconfigure goes on showing the refused value, without a word.
                self.get_logger().warning(
                    f'parameter not changed: {refusal}',
                    throttle_duration_sec=_REFUSAL_LOG_PERIOD)
                return SetParametersResult(successful=False, reason=refusal)
            self._parameters_now = parameters
            if session is not None:
                session.take_parameters(self._parameters_now)
        return SetParametersResult(successful=True)

    def _warn_of_unused_parameters(self, of_qos: bool) -> None:
        # Not in rclpy's interface; whichever version lacks it does without the warning.
        given = getattr(self, '_parameter_overrides', {})
        for text in explain_unused(given, getattr(self, '_parameters', {}), of_qos):
            self.get_logger().warning(text)

    def _publish_diagnostics(self) -> None:
        if not self._session_lock.acquire(blocking=False):
            return  # a transition is under way in another thread; the next report tells of it
        try:
            report = NO_MODEL if self._session is None else self._session.report()
        finally:
            self._session_lock.release()
        if self._failure:
            report = report._replace(level=DiagnosticStatus.ERROR, message=self._failure)
        self._diagnostics.publish(make_diagnostics(
            self.get_clock().now().to_msg(), self.get_fully_qualified_name(), report))


def _explain(error: Exception) -> str:
    """Return what an error says to the user; what no user was meant to see says what it is."""
    is_meant = isinstance(error, (BackendError, LabelError, SubscriptionError))
    return str(error) if is_meant else f'{type(error).__name__}: {error}'
