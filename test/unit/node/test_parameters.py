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

"""The table of parameters is complete and consistent, and refusals say why."""

from __future__ import annotations

from array import array
from types import SimpleNamespace
from typing import Any, Dict, get_origin, get_type_hints

from mobilenetv2_ros.inference.backends.registry import BACKENDS
from mobilenetv2_ros.inference.classifier import ClassificationOptions
from mobilenetv2_ros.node import parameters
from mobilenetv2_ros.node.parameters import (
    AT_ANY_TIME, AT_START, declare_parameters, explain_unused, find_refusal, PARAMETERS,
    Parameters, replace_values, UNCONFIGURED)
import pytest

ROWS = {row.name: row for row in PARAMETERS}
DEFAULTS = Parameters(**{row.name: row.default for row in PARAMETERS})  # type: ignore[arg-type]


def find_other_value(row: parameters.ParameterRow) -> Any:
    """Return a value other than the default that is accepted."""
    if row.choices:
        return next(choice for choice in row.choices if choice != row.default)
    if isinstance(row.default, bool):
        return not row.default
    if row.limits:
        kind: Any = type(row.default)
        return kind(row.limits[row.default == row.limits[0]])
    return ['x'] if row.is_list else f'{row.default}x'


class StandInNode:
    """Declares parameters as rclpy does, with overrides."""

    def __init__(self, **overrides: Any) -> None:
        self.overrides = overrides
        self.descriptors: Dict[str, Any] = {}

    def declare_parameter(self, name: str, default: Any, descriptor: Any,
                          ignore_override: bool = False) -> Any:
        assert name not in self.descriptors
        self.descriptors[name] = descriptor
        return SimpleNamespace(
            value=default if ignore_override else self.overrides.get(name, default))

    def undeclare_parameter(self, name: str) -> None:
        del self.descriptors[name]


def test_table_and_fields_are_the_same() -> None:
    assert tuple(ROWS) == Parameters._fields and len(ROWS) == len(PARAMETERS)
    types = get_type_hints(Parameters)
    for row in PARAMETERS:
        assert type(row.default) is (get_origin(types[row.name]) or types[row.name]), row.name


@pytest.mark.parametrize('row', PARAMETERS, ids=lambda row: row.name)
def test_row(row: parameters.ParameterRow) -> None:
    assert row.help.endswith('.') and '\n' not in row.help
    assert row.changes in (AT_ANY_TIME, UNCONFIGURED, AT_START)
    if row.choices:
        assert row.default in row.choices
    if row.limits:
        assert isinstance(row.default, (int, float))
        assert row.limits[0] <= row.default <= row.limits[1]
    else:
        assert isinstance(row.default, (str, bool, list)), 'a number without limits'


def test_options_are_those_of_the_classifier_with_the_same_defaults() -> None:
    assert DEFAULTS.classification_options == ClassificationOptions()
    changed = DEFAULTS._replace(top_k=9, score_threshold=0.5, resize_mode='crop',
                                inference_timeout=3.0)
    assert changed.classification_options == ClassificationOptions(9, 0.5, 'crop', 3.0)


def test_every_engine_can_be_chosen() -> None:
    assert ROWS['backend'].choices == BACKENDS


@pytest.mark.parametrize('name', [row.name for row in PARAMETERS if row.choices])
def test_unknown_words_are_refused(name: str) -> None:
    refusal = find_refusal({name: 'nonsense'}, DEFAULTS, is_configured=False)
    assert refusal.startswith(f"{name} 'nonsense' is unknown; expected one of ")
    assert all(choice in refusal for choice in ROWS[name].choices)
    for choice in ROWS[name].choices:
        assert find_refusal({name: choice}, DEFAULTS, is_configured=False) == ''


@pytest.mark.parametrize('row', PARAMETERS, ids=lambda row: row.name)
def test_what_may_change_while_a_model_is_open(row: parameters.ParameterRow) -> None:
    new = find_other_value(row)
    refusal = find_refusal({row.name: new}, DEFAULTS, is_configured=True)
    assert bool(refusal) == (row.changes == UNCONFIGURED)
    assert not refusal or refusal.startswith(f'{row.name} can only change while no model is open')
    assert find_refusal({row.name: new}, DEFAULTS, is_configured=False) == ''


def test_values_that_stay_are_accepted_in_every_state() -> None:
    current = DEFAULTS._replace(model_path='m.onnx', thread_count=2)
    for is_configured in (False, True):
        assert find_refusal(dict(current._asdict()), current, is_configured) == ''
    assert find_refusal({'model_path': ''}, current, is_configured=True)


def test_what_the_node_does_not_have_is_told_with_the_nearest_name() -> None:
    qos = 'qos_overrides./image_raw.subscription.depth'
    declared = [*ROWS, 'use_sim_time', qos]
    assert explain_unused([*ROWS, qos], declared, of_qos=False) == []
    assert explain_unused([*ROWS, qos], declared, of_qos=True) == []
    given = ['top_K', 'zzz', 'qos_overrides./image.subscription.depth']
    near, far = explain_unused(given, declared, of_qos=False)
    assert near == ("parameter 'top_K' is not used: the node has none of that name; "
                    'did you mean top_k?')
    assert far == "parameter 'zzz' is not used: the node has none of that name"
    text, = explain_unused(given, declared, of_qos=True)
    assert text.endswith(f'did you mean {qos}?')


def test_one_refusal_refuses_all_and_strangers_pass() -> None:
    assert find_refusal({'use_sim_time': True}, DEFAULTS, is_configured=True) == ''


def test_no_parameter_can_be_removed() -> None:
    """As rclpy allows for one whose type may change, and then it cannot be set again."""
    assert find_refusal({'classes': None}, DEFAULTS, is_configured=False) == (
        "classes cannot be removed; its default is ['']")
    assert find_refusal(
        {'top_k': 3, 'use_sim_time': True, 'model_path': 'x'}, DEFAULTS, is_configured=True)


def test_new_values() -> None:
    changed = [SimpleNamespace(name='top_k', value=7), SimpleNamespace(name='qos', value='x')]
    assert replace_values(DEFAULTS, changed) == DEFAULTS._replace(top_k=7)


@pytest.mark.parametrize('value, texts', [
    ('dog', ['dog']), (7, ['7']), ([], []), (None, []), (['dog', '7'], ['dog', '7']),
    (array('q', [1, 2]), ['1', '2'])])
def test_lists_are_taken_in_several_forms(value: Any, texts: Any) -> None:
    row = ROWS['classes']
    assert row.find_fault(value) == '' and row.adopt(value) == texts
    changed = replace_values(DEFAULTS, [SimpleNamespace(name='classes', value=value)])
    assert changed == DEFAULTS._replace(classes=texts)


@pytest.mark.parametrize('value', [1.5, True, [True], [1.5], array('d', [1.0])])
def test_lists_of_what_is_no_name_are_refused(value: Any) -> None:
    assert 'expected names or indices' in ROWS['classes'].find_fault(value)


def test_declaring() -> None:
    pytest.importorskip('rcl_interfaces.msg', reason='ROS is not installed')
    node = StandInNode(top_k=3, model_path='m.onnx')
    assert declare_parameters(node) == DEFAULTS._replace(top_k=3, model_path='m.onnx')
    for row in PARAMETERS:
        descriptor = node.descriptors[row.name]
        assert (descriptor.name, descriptor.description) == (row.name, row.text)
        assert descriptor.read_only == (row.changes == AT_START)
        assert all(choice in descriptor.additional_constraints for choice in row.choices)
        has_slider = row.name not in ('top_k', 'max_rate', 'max_image_pixels')
        ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
        assert [(one.from_value, one.to_value) for one in ranges] == (
            [row.limits] if row.limits and has_slider else [])
        assert not descriptor.integer_range or type(row.default) is int


def test_whole_numbers_become_real_ones() -> None:
    pytest.importorskip('rcl_interfaces.msg', reason='ROS is not installed')
    values = declare_parameters(StandInNode(score_threshold=1, inference_timeout=True, top_k=3))
    assert (values.score_threshold, type(values.score_threshold)) == (1.0, float)
    assert values.inference_timeout is True  # rclpy refuses it
    assert type(values.top_k) is int


@pytest.mark.parametrize('name, value, words', [
    ('top_k', 0, 'top_k 0 is out of range; expected 1 to 1000'),
    ('score_threshold', 2, 'score_threshold 2.0 is out of range; expected 0.0 to 1.0'),
    ('inference_timeout', float('nan'), 'inference_timeout nan is out of range')])
def test_declaring_refuses_numbers_out_of_range(name: str, value: Any, words: str) -> None:
    pytest.importorskip('rcl_interfaces.msg', reason='ROS is not installed')
    with pytest.raises(ValueError, match=words):
        declare_parameters(StandInNode(**{name: value}))


def test_declaring_refuses_unknown_words() -> None:
    pytest.importorskip('rcl_interfaces.msg', reason='ROS is not installed')
    with pytest.raises(ValueError, match="resize_mode 'zoom' is unknown; expected one of auto"):
        declare_parameters(StandInNode(resize_mode='zoom'))
