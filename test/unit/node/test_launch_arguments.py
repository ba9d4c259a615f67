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

"""What launch files read out of their arguments; needs no ROS."""

from __future__ import annotations

from mobilenetv2_ros.node.launch_arguments import find_namespaces, parse_value
from mobilenetv2_ros.node.parameters import PARAMETERS, Value
import pytest

ROWS = {row.name: row for row in PARAMETERS}


@pytest.mark.parametrize('namespace, cameras, expected', [
    ('', '', ['']), ('robot', '', ['robot']), ('', '[front,rear]', ['front', 'rear']),
    ('/robot/', '[front, rear]', ['/robot/front', '/robot/rear']), ('/', '[front]', ['/front'])])
def test_namespaces(namespace: str, cameras: str, expected: object) -> None:
    assert find_namespaces(namespace, cameras) == expected


@pytest.mark.parametrize(
    'cameras', ['front', '[]', '[1,2]', '[front', '[/front]', '[front,front]', "['']", '{a: b}'])
def test_what_is_no_list_of_different_names_is_refused(cameras: str) -> None:
    with pytest.raises(RuntimeError) as refusal:
        find_namespaces('', cameras)
    assert str(refusal.value) == (
        f"cameras '{cameras}' is not usable; expected a list of different names such as "
        '[front,rear]')


@pytest.mark.parametrize('name, text, value', [
    ('top_k', '3', 3), ('score_threshold', '1', 1.0), ('inference_timeout', '2', 2.0),
    ('autostart', 'False', False), ('model_path', '123', '123'), ('classes', '[]', [''])])
def test_values_have_the_types_of_their_parameters(name: str, text: str, value: Value) -> None:
    found = parse_value(ROWS[name], text)
    assert (found, type(found)) == (value, type(value))


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(RuntimeError, match="top_k '1.5' is not usable; expected a whole number"):
        parse_value(ROWS['top_k'], '1.5')
