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

import textwrap
from typing import (
    Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union)

from mobilenetv2_ros.image.image_message import DEFAULT_MAX_PIXELS
from mobilenetv2_ros.inference.backends.registry import BACKENDS
from mobilenetv2_ros.inference.classifier import ClassificationOptions, RESIZE_MODES
from mobilenetv2_ros.inference.score_meaning import SCORE_TYPES

Value = Union[bool, int, float, str, List[str]]

IMAGE_TRANSPORTS = ('raw', 'compressed', 'shared_mem')

AT_ANY_TIME = 'any time'
UNCONFIGURED = 'unconfigured'
AT_START = 'start'

_CHANGES = {
    AT_ANY_TIME: 'May change at any time.', UNCONFIGURED: 'May change while unconfigured.',
    AT_START: 'Set at start.'}

# A longer range is shown without a slider: a pixel of it would be several steps.
_MAX_SLIDER_STEPS = 100

_QOS_PREFIX = 'qos_overrides.'


class ParameterRow(NamedTuple):
    """
    A parameter.

    :param limits: least and greatest value of a number.
    :param choices: all the values that a word may have.
    :param changes: when a new value is accepted: with the next image, only while the node is
        unconfigured, or never after the start.
    """

    name: str
    default: Value
    help: str  # noqa: A003
    limits: Optional[Tuple[float, float]] = None
    choices: Tuple[str, ...] = ()
    changes: str = UNCONFIGURED

    @property
    def text(self) -> str:
        """Return the help with all that is accepted, and when."""
        return ' '.join(filter(None, (self.help, self._accepted, _CHANGES[self.changes])))

    @property
    def _accepted(self) -> str:
        if self.choices:
            return f'One of {", ".join(self.choices)}.'
        if self.limits:
            return f'From {self.limits[0]} to {self.limits[1]}.'
        return ''

    @property
    def is_list(self) -> bool:
        """Whether a value is a list of words; one alone, or numbers, are taken too."""
        return isinstance(self.default, list)

    def adopt(self, value: Any) -> Any:
        """Give a value of the user's, which has no fault, the type of the parameter."""
        return _to_texts(value) if self.is_list else value

    def find_fault(self, value: Any) -> str:
        """
        Find out why a value cannot be accepted; its type is checked by rclpy.

        :returns: a sentence, empty if all is well.
        """
        if self.is_list and _to_texts(value) is None:
            return f'{self.name} {value} is not usable; expected names or indices'
        if self.choices and value not in self.choices:
            return f"{self.name} '{value}' is unknown; expected one of {', '.join(self.choices)}"
        if self.limits and type(value) in (int, float):
            low, high = self.limits
            if not low <= value <= high:  # nan is neither
                return f'{self.name} {value} is out of range; expected {low} to {high}'
        return ''


def _to_texts(value: Any) -> Optional[List[str]]:
    """Write names or numbers, one or a list of rclpy's, as texts; None if they are others."""
    values = [value] if isinstance(value, (str, int, float)) else list(value or ())
    are_good = all(isinstance(one, (str, int)) and not isinstance(one, bool) for one in values)
    return [str(one) for one in values] if are_good else None


PARAMETERS: Tuple[ParameterRow, ...] = (
    ParameterRow(
        'model_path', '',
        'Model file: .bin (BPU), .tflite or .onnx (CPU). Empty: a downloaded or preinstalled '
        'MobileNetV2, otherwise the bundled model.'),
    ParameterRow(
        'labels_path', '',
        'File with the class names, one per line or JSON. Empty: the 1000 ImageNet classes.'),
    ParameterRow(
        'backend', 'auto',
        'Inference engine. auto: an installed one that runs the model file.',
        choices=BACKENDS),
    ParameterRow(
        'score_type', 'auto',
        'What the model gives for each class. auto: read from the model, otherwise guessed. '
        'probabilities: used as they are. logits: turned into probabilities by softmax. '
        'multi_label: a probability of its own for each class.',
        choices=SCORE_TYPES),
    ParameterRow(
        'trust_model', False,
        'false: try an unknown .tflite or .onnx file in a process of its own first, once, since a '
        'damaged one can crash its engine. true: open it at once.'),
    ParameterRow(
        'thread_count', 0,
        'Number of images processed at the same time. 0: 4 on the BPU (2 with hobot_dnn), 1 on '
        'the CPU.',
        limits=(0, 16)),
    ParameterRow(
        'image_transport', 'raw',
        'raw: sensor_msgs/Image on image_raw. compressed: sensor_msgs/CompressedImage (JPEG or '
        'PNG) on image_raw/compressed. shared_mem: hbm_img_msgs/HbmMsg1080P on hbmem_img, as '
        'cameras of TROS publish.', choices=IMAGE_TRANSPORTS),
    ParameterRow(
        'top_k', 5, 'Maximum number of classes per result.', limits=(1, 1000),
        changes=AT_ANY_TIME),
    ParameterRow(
        'score_threshold', 0.0, 'Minimum probability for a class to be reported.',
        limits=(0.0, 1.0), changes=AT_ANY_TIME),
    ParameterRow(
        'classes', [''],
        'Names or indices of the classes to report; top_k and score_threshold count among them. '
        "['']: all.", changes=AT_ANY_TIME),
    ParameterRow(
        'class_id_format', 'name',
        'Content of class_id: the unique class name or the class index.',
        choices=('name', 'index'), changes=AT_ANY_TIME),
    ParameterRow(
        'resize_mode', 'auto',
        'How an image is fitted to the model input. auto: as the sidecar of the model says, '
        'otherwise stretch. stretch: ignores the aspect ratio. crop: '
        'centre crop, 224/256 of the shorter side, as in ImageNet evaluation. letterbox: the '
        'whole image, padded with grey.', choices=RESIZE_MODES, changes=AT_ANY_TIME),
    ParameterRow(
        'max_rate', 0.0,
        'Maximum number of images classified per second; the others are skipped. 0: all.',
        limits=(0.0, 1000.0), changes=AT_ANY_TIME),
    ParameterRow(
        'inference_timeout', 1.0,
        'Seconds the BPU may take for an image before the image counts as failed.',
        limits=(0.01, 60.0), changes=AT_ANY_TIME),
    ParameterRow(
        'max_image_pixels', DEFAULT_MAX_PIXELS, 'Images with more pixels are rejected.',
        limits=(1, 2 ** 30), changes=AT_ANY_TIME),
    ParameterRow(
        'mono16_bits', 0,
        'Significant bits of images with 16 bits per sample (mono16, bayer_rggb16, rgb16, ...). '
        '0: found from the brightest image so far.',
        limits=(0, 16), changes=AT_ANY_TIME),
    ParameterRow(
        'lazy', False,
        'true: subscribe the images only while somebody subscribes the results or the overlay.',
        changes=AT_ANY_TIME),
    ParameterRow(
        'autostart', True,
        'Configure and activate at startup. false: leave both to a lifecycle manager.',
        changes=AT_START),
)


class Parameters(NamedTuple):
    """All values at one moment, named as in :data:`PARAMETERS`."""

    model_path: str
    labels_path: str
    backend: str
    score_type: str
    trust_model: bool
    thread_count: int
    image_transport: str
    top_k: int
    score_threshold: float
    classes: List[str]
    class_id_format: str
    resize_mode: str
    max_rate: float
    inference_timeout: float
    max_image_pixels: int
    mono16_bits: int
    lazy: bool
    autostart: bool

    @property
    def classification_options(self) -> ClassificationOptions:
        """Those that the classifiers ask for with each image."""
        return ClassificationOptions(
            self.top_k, self.score_threshold, self.resize_mode, self.inference_timeout)


def find_refusal(
        changes: Mapping[str, Optional[Value]], current: Parameters, is_configured: bool) -> str:
    """
    Find out why new values cannot be accepted.

    Types are checked by rclpy, from the descriptors. A value that stays is always accepted, so
    that a dump of the node can be loaded into it.

    :param changes: new values by name, None to remove one; names that are not in the table are
        passed over.
    :param is_configured: whether a model is open.
    :returns: a sentence, empty if all is well.
    """
    rows = {row.name: row for row in PARAMETERS}
    for name, value in changes.items():
        row = rows.get(name)
        if row is None or value == getattr(current, name):
            continue
        if value is None:  # rclpy would remove it, since it may change its type
            return f'{name} cannot be removed; its default is {row.default}'
        if fault := row.find_fault(value):
            return fault
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
    return Parameters(**declare_rows(node, PARAMETERS))


def declare_rows(node: Any, rows: Sequence[ParameterRow]) -> Dict[str, Any]:
    """
    Declare parameters; a whole number such as 5 is taken for a real one, as 5.0, or a word.

    rclpy alone refuses it: what a user writes without a point is an integer to it. Of a value out
    of range it gives a garbled text.

    :param node: a ``rclpy.node.Node``.
    :returns: the values by name, with what the user has overridden.
    :raises rclpy.exceptions.ParameterException: a value of the user's is of the wrong type.
    :raises ValueError: it is out of range or unknown.
    """
    return {row.name: _declare(node, row) for row in rows}


def _declare(node: Any, row: ParameterRow) -> Any:
    given = _find_override(node, row)
    kind = type(row.default)
    is_other_number = type(given) is int and kind in (float, str)
    if fault := row.find_fault(kind(given) if is_other_number else given):
        raise ValueError(fault)
    if is_other_number:
        return node.declare_parameter(
            row.name, kind(given), _describe(row), ignore_override=True).value
    return row.adopt(node.declare_parameter(row.name, row.default, _describe(row)).value)


def _find_override(node: Any, row: ParameterRow) -> Any:
    """Return what the user gave, of any type; rclpy tells it only by declaring."""
    from rcl_interfaces.msg import ParameterDescriptor

    given = node.declare_parameter(
        row.name, row.default, ParameterDescriptor(dynamic_typing=True)).value
    node.undeclare_parameter(row.name)
    return given


def explain_unused(overrides: Iterable[str], declared: Iterable[str], of_qos: bool) -> List[str]:
    """
    Name what was given to a node that has no such parameter.

    :param overrides: names that were given.
    :param declared: names that the node has.
    :param of_qos: look at QoS overrides, which a node has once it is active, or at all others.
    :returns: a sentence for each, with the nearest name where one is near.
    """
    known = [name for name in declared if name.startswith(_QOS_PREFIX) == of_qos]
    texts = []
    for name in overrides:
        if name in known or name.startswith(_QOS_PREFIX) != of_qos:
            continue
        from difflib import get_close_matches  # needed seldom, and not for the start

        nearest = get_close_matches(name, known, 1)
        hint = f'; did you mean {nearest[0]}?' if nearest else ''
        texts.append(f"parameter '{name}' is not used: the node has none of that name{hint}")
    return texts


def describe_rows(rows: Sequence[ParameterRow]) -> str:
    """Write the table as a program's ``--help`` shows it."""
    lines = ['ROS parameters, each given as -p NAME:=VALUE after --ros-args:']
    for row in rows:
        default = f'{row.default}'.lower() if isinstance(row.default, bool) else repr(row.default)
        lines += textwrap.wrap(
            f'{row.name}: {row.text} ({default})', 95, initial_indent='  ',
            subsequent_indent='      ', break_on_hyphens=False)
    return '\n'.join(lines)


def replace_values(parameters: Parameters, changed: Iterable[Any]) -> Parameters:
    """
    Return the values after a change.

    :param changed: ``rclpy.parameter.Parameter`` objects; those not in the table are passed over.
    """
    rows = {row.name: row for row in PARAMETERS}
    return parameters._replace(**{
        one.name: rows[one.name].adopt(one.value) for one in changed if one.name in rows})


def _describe(row: ParameterRow) -> Any:
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    descriptor = ParameterDescriptor(
        name=row.name, description=row.text, read_only=row.changes == AT_START,
        dynamic_typing=row.is_list)
    if row.choices:
        descriptor.additional_constraints = 'one of ' + ', '.join(row.choices)
    if row.limits is not None:
        low, high = row.limits
        if high - low > _MAX_SLIDER_STEPS:
            return descriptor
        if isinstance(row.default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        else:
            descriptor.integer_range = [
                IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    return descriptor
