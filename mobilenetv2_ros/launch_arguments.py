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

import re
from typing import List

from mobilenetv2_ros.parameters import ParameterRow, Value
import yaml

BOOLEANS = {'true': True, 'false': False, 'True': True, 'False': False}

_NAME = re.compile(r'[A-Za-z_][A-Za-z0-9_]*')


def find_namespaces(namespace: str, cameras: str) -> List[str]:
    """
    Find the namespace of each node.

    :param cameras: a YAML list of names; empty for one node.
    :raises RuntimeError: it is no list of different names.
    """
    if not cameras:
        return [namespace]
    try:
        names = yaml.safe_load(cameras)
    except yaml.YAMLError:
        names = None
    if not _are_different_names(names):
        raise RuntimeError(
            f"cameras '{cameras}' is not usable; expected a list of different names such as "
            '[front,rear]')
    return [f'{namespace.rstrip("/")}/{name}' if namespace else name for name in names]


def _are_different_names(names: object) -> bool:
    """Tell whether it is a list of names that ROS accepts, at least one and none twice."""
    return (isinstance(names, list) and bool(names)
            and all(isinstance(name, str) and _NAME.fullmatch(name) for name in names)
            and len(set(names)) == len(names))


def parse_value(row: ParameterRow, text: str) -> Value:
    """
    Give an argument the type of its parameter.

    :raises RuntimeError: it is of another type.
    """
    kind = type(row.default)
    try:
        return BOOLEANS[text] if kind is bool else kind(text)
    except ValueError:
        raise RuntimeError(
            f"{row.name} '{text}' is not usable; expected {kind.__name__} such as {row.default}"
        ) from None
