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

"""The one table of the node's parameters: name, default, limits, help, when each may change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable, NamedTuple, Optional, Tuple, Union

from mobilenetv2_ros.backends.registry import BACKENDS
from mobilenetv2_ros.classifier import Settings
from mobilenetv2_ros.image_message import DEFAULT_MAX_PIXELS
from mobilenetv2_ros.nv12 import RESIZE_MODES

Value = Union[bool, int, float, str]

IMAGE_TRANSPORTS = ('raw', 'compressed')

AT_ANY_TIME = 'any time'
UNCONFIGURED = 'unconfigured'
AT_START = 'start'


@dataclass(frozen=True)
class ParameterRow:
    """
    A parameter.

    :param limits: least and greatest value of a number.
    :param choices: all the values that a word may have.
    :param changes: when a new value is accepted: with the next picture, only while the node is
        unconfigured, or never after the start.
    """

    name: str
    default: Value
    help: str  # noqa: A003
    limits: Optional[Tuple[float, float]] = None
    choices: Tuple[str, ...] = ()
    changes: str = UNCONFIGURED


PARAMETERS: Tuple[ParameterRow, ...] = (
    ParameterRow(
        'model_path', '',
        'Model file: .bin (BPU), .tflite or .onnx (CPU). Empty: the MobileNetV2 that was '
        'downloaded or is on the board, else the model that comes with the package.'),
    ParameterRow(
        'labels_path', '',
        'Class names, one a line or JSON. Empty: the 1000 ImageNet classes.'),
    ParameterRow(
        'backend', 'auto',
        'Inference engine; auto takes the one for the model file that is installed.',
        choices=BACKENDS),
    ParameterRow(
        'thread_count', 0,
        'Workers, that is frames in flight. 0: 4 on the BPU (2 with hobot_dnn), 1 on the CPU.',
        limits=(0, 16)),
    ParameterRow(
        'image_transport', 'raw',
        'raw: sensor_msgs/Image on image_raw; compressed: sensor_msgs/CompressedImage (JPEG, PNG) '
        'on image_raw/compressed.', choices=IMAGE_TRANSPORTS),
    ParameterRow(
        'top_k', 5, 'Most classes in a result.', limits=(1, 1000), changes=AT_ANY_TIME),
    ParameterRow(
        'score_threshold', 0.0, 'Least probability of a class in a result.', limits=(0.0, 1.0),
        changes=AT_ANY_TIME),
    ParameterRow(
        'class_id_format', 'name',
        'What class_id holds: the unique class name or the class index.',
        choices=('name', 'index'), changes=AT_ANY_TIME),
    ParameterRow(
        'resize_mode', 'stretch',
        'How a picture fills the input: squeezed, centre crop as in ImageNet training, or whole '
        'with a grey border.', choices=RESIZE_MODES, changes=AT_ANY_TIME),
    ParameterRow(
        'inference_timeout', 1.0,
        'Seconds that the BPU may take for a picture before it counts as failed.',
        limits=(0.01, 60.0), changes=AT_ANY_TIME),
    ParameterRow(
        'max_image_pixels', DEFAULT_MAX_PIXELS, 'Larger pictures are refused.',
        limits=(1, 2 ** 30), changes=AT_ANY_TIME),
    ParameterRow(
        'autostart', True,
        'Configure and activate at start; false leaves both to a lifecycle manager.',
        changes=AT_START),
)


class Parameters(NamedTuple):
    """All values at one moment, named as in :data:`PARAMETERS`."""

    model_path: str
    labels_path: str
    backend: str
    thread_count: int
    image_transport: str
    top_k: int
    score_threshold: float
    class_id_format: str
    resize_mode: str
    inference_timeout: float
    max_image_pixels: int
    autostart: bool

    @property
    def settings(self) -> Settings:
        """Those that the classifiers ask for with each picture."""
        return Settings(
            self.top_k, self.score_threshold, self.resize_mode, self.inference_timeout)


def find_refusal(changes: Dict[str, Value], is_configured: bool) -> str:
    """
    Find out why new values cannot be accepted.

    Types and ranges are checked by rclpy, from the descriptors.

    :param changes: new values by name; names that are not in the table are passed over.
    :param is_configured: whether a model is open.
    :returns: a sentence, empty if all is well.
    """
    rows = {row.name: row for row in PARAMETERS}
    for name, value in changes.items():
        row = rows.get(name)
        if row is None:
            continue
        if row.choices and value not in row.choices:
            return f"{name} '{value}' is unknown; expected one of {', '.join(row.choices)}"
        if row.changes == UNCONFIGURED and is_configured:
            return (f'{name} can only change while no model is open: deactivate and clean up the '
                    'node first (ros2 lifecycle set <node> deactivate, then cleanup)')
    return ''


def declare_parameters(node: Any) -> Parameters:
    """
    Declare the whole table on a node.

    :param node: a ``rclpy.node.Node``.
    :returns: the values, with what the user has overridden.
    :raises rclpy.exceptions.ParameterException: a value of the user's is of the wrong type.
    :raises ValueError: it is out of range or unknown.
    """
    values = {row.name: declare_parameter(node, row.name, row.default, _describe(row))
              for row in PARAMETERS}
    refusal = find_refusal(values, is_configured=False)
    if refusal:
        raise ValueError(refusal)
    return Parameters(**values)


def declare_parameter(node: Any, name: str, default: Value, descriptor: Any) -> Any:
    """
    Declare a parameter; a whole number such as 5 is taken for a real one, as 5.0.

    rclpy alone refuses it: what a user writes without a point is an integer to it.

    :param node: a ``rclpy.node.Node``.
    :param descriptor: a ``rcl_interfaces.msg.ParameterDescriptor``.
    :returns: the value, with what the user has overridden.
    :raises rclpy.exceptions.ParameterException: the user's value is of the wrong type.
    """
    if isinstance(default, float):
        given = _find_override(node, name, default)
        if type(given) is int:
            return node.declare_parameter(
                name, float(given), descriptor, ignore_override=True).value
    return node.declare_parameter(name, default, descriptor).value


def _find_override(node: Any, name: str, default: Value) -> Any:
    """Return what the user gave, of any type; rclpy tells it only by declaring."""
    from rcl_interfaces.msg import ParameterDescriptor

    given = node.declare_parameter(name, default, ParameterDescriptor(dynamic_typing=True)).value
    node.undeclare_parameter(name)
    return given


def replace_values(parameters: Parameters, changed: Iterable[Any]) -> Parameters:
    """
    Return the values after a change.

    :param changed: ``rclpy.parameter.Parameter`` objects; those not in the table are passed over.
    """
    return parameters._replace(**{
        one.name: one.value for one in changed if one.name in Parameters._fields})


def _describe(row: ParameterRow) -> Any:
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    descriptor = ParameterDescriptor(
        name=row.name, description=row.help, read_only=row.changes == AT_START)
    if row.choices:
        descriptor.additional_constraints = 'one of ' + ', '.join(row.choices)
    if row.limits is not None:
        low, high = row.limits
        if isinstance(row.default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        else:
            descriptor.integer_range = [
                IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    return descriptor
