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

from types import SimpleNamespace
from typing import Any, Dict, get_type_hints

from mobilenetv2_ros import parameters
from mobilenetv2_ros.backends.registry import BACKENDS
from mobilenetv2_ros.classifier import Settings
from mobilenetv2_ros.parameters import (
    AT_ANY_TIME, AT_START, declare_parameters, find_refusal, PARAMETERS, Parameters,
    replace_values, UNCONFIGURED)
import pytest

ROWS = {row.name: row for row in PARAMETERS}
DEFAULTS = Parameters(**{row.name: row.default for row in PARAMETERS})  # type: ignore[arg-type]


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
        assert type(row.default) is types[row.name], row.name


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
        assert isinstance(row.default, (str, bool)), 'a number without limits'


def test_settings_are_those_of_the_classifier_with_the_same_defaults() -> None:
    assert DEFAULTS.settings == Settings()
    changed = DEFAULTS._replace(top_k=9, score_threshold=0.5, resize_mode='crop',
                                inference_timeout=3.0)
    assert changed.settings == Settings(9, 0.5, 'crop', 3.0)


def test_every_engine_can_be_chosen() -> None:
    assert ROWS['backend'].choices == BACKENDS


@pytest.mark.parametrize('name', [row.name for row in PARAMETERS if row.choices])
def test_unknown_words_are_refused(name: str) -> None:
    refusal = find_refusal({name: 'nonsense'}, is_configured=False)
    assert refusal.startswith(f"{name} 'nonsense' is unknown; expected one of ")
    assert all(choice in refusal for choice in ROWS[name].choices)
    for choice in ROWS[name].choices:
        assert find_refusal({name: choice}, is_configured=False) == ''


@pytest.mark.parametrize('row', PARAMETERS, ids=lambda row: row.name)
def test_what_may_change_while_a_model_is_open(row: parameters.ParameterRow) -> None:
    refusal = find_refusal({row.name: row.default}, is_configured=True)
    assert bool(refusal) == (row.changes == UNCONFIGURED)
    assert not refusal or refusal.startswith(f'{row.name} can only change while no model is open')
    assert find_refusal({row.name: row.default}, is_configured=False) == ''


def test_one_refusal_refuses_all_and_strangers_pass() -> None:
    assert find_refusal({'use_sim_time': True}, is_configured=True) == ''
    assert find_refusal({'top_k': 3, 'use_sim_time': True, 'model_path': 'x'}, is_configured=True)


def test_new_values() -> None:
    changed = [SimpleNamespace(name='top_k', value=7), SimpleNamespace(name='qos', value='x')]
    assert replace_values(DEFAULTS, changed) == DEFAULTS._replace(top_k=7)


def test_declaring() -> None:
    pytest.importorskip('rcl_interfaces.msg', reason='ROS is not installed')
    node = StandInNode(top_k=3, model_path='m.onnx')
    assert declare_parameters(node) == DEFAULTS._replace(top_k=3, model_path='m.onnx')
    for row in PARAMETERS:
        descriptor = node.descriptors[row.name]
        assert (descriptor.name, descriptor.description) == (row.name, row.help)
        assert descriptor.read_only == (row.changes == AT_START)
        assert all(choice in descriptor.additional_constraints for choice in row.choices)
        ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
        assert [(one.from_value, one.to_value) for one in ranges] == (
            [row.limits] if row.limits else [])
        assert len(descriptor.floating_point_range) == (type(row.default) is float)


def test_whole_numbers_become_real_ones() -> None:
    pytest.importorskip('rcl_interfaces.msg', reason='ROS is not installed')
    values = declare_parameters(StandInNode(score_threshold=1, inference_timeout=True, top_k=3))
    assert (values.score_threshold, type(values.score_threshold)) == (1.0, float)
    assert values.inference_timeout is True  # rclpy refuses it
    assert type(values.top_k) is int


def test_declaring_refuses_unknown_words() -> None:
    pytest.importorskip('rcl_interfaces.msg', reason='ROS is not installed')
    with pytest.raises(ValueError, match="resize_mode 'zoom' is unknown; expected one of stretch"):
        declare_parameters(StandInNode(resize_mode='zoom'))
