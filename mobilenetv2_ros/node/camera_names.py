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

"""What several cameras may be called; each name becomes the namespace of a node."""

from __future__ import annotations

import re

_NAME = re.compile(r'[A-Za-z_][A-Za-z0-9_]*')


def find_fault(names: object) -> str:
    """Find out why this is no list of names that ROS accepts, none twice; empty if it is one."""
    if not isinstance(names, list) or not names:
        return 'expected names such as front and rear'
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            return (f"'{name}' is no name for a camera; expected letters, digits and underscores, "
                    'no digit first')
        if names.count(name) > 1:
            return f"'{name}' is given twice; expected different names"
    return ''
