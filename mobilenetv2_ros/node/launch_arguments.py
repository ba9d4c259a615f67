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

"""What both launch files read out of their arguments, which ``ros2 launch`` hands over as text."""

from __future__ import annotations

from typing import List

from mobilenetv2_ros.node.camera_names import find_fault
from mobilenetv2_ros.node.parameters import ParameterRow, Value
import yaml

BOOLEANS = {'true': True, 'false': False, 'True': True, 'False': False}

_KINDS = {int: 'a whole number', float: 'a number'}


def find_cameras(cameras: str) -> List[str]:
    """
    Find the names of the cameras.

    :param cameras: a YAML list of names; empty for none.
    :raises RuntimeError: it is no list of different names.
    """
    if not cameras:
        return []
    try:
        names = yaml.safe_load(cameras)
    except yaml.YAMLError:
        names = None
    if find_fault(names):
        raise RuntimeError(
            f"cameras '{cameras}' is not usable; expected a list of different names such as "
            '[front,rear]')
    found: List[str] = names
    return found


def find_namespaces(namespace: str, cameras: str) -> List[str]:
    """
    Find the namespace of each camera, or of a node without one.

    :param cameras: see :func:`find_cameras`.
    :raises RuntimeError: they are not usable.
    """
    names = find_cameras(cameras)
    if not names:
        return [namespace]
    return [f'{namespace.rstrip("/")}/{name}' if namespace else name for name in names]


def parse_value(row: ParameterRow, text: str) -> Value:
    """
    Give an argument the type of its parameter.

    :raises RuntimeError: it is of another type, out of range or unknown.
    """
    kind = type(row.default)
    if row.is_list:
        return _parse_list(row, text)
    try:
        value: Value = BOOLEANS[text] if kind is bool else kind(text)
    except ValueError:
        raise RuntimeError(
            f"{row.name} '{text}' is not usable; expected {_KINDS[kind]} such as {row.default}"
        ) from None
    if fault := row.find_fault(value):
        raise RuntimeError(fault)
    return value


def _parse_list(row: ParameterRow, text: str) -> Value:
    """Read a YAML list, or a word alone."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    if fault := row.find_fault(value):
        raise RuntimeError(fault)
    texts: Value = row.adopt(value)
    return texts or row.default  # launch_ros takes no empty list
