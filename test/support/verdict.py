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

"""The last lines of a long test, and its exit code."""

from __future__ import annotations

from typing import Sequence


def tell_verdict(violations: Sequence[str]) -> int:
    """
    Print what was not as it should be.

    :returns: exit code, 1 if there was anything.
    """
    for violation in violations:
        print(f'VIOLATION: {violation}')
    print('failed' if violations else 'all as it should be')
    return 1 if violations else 0
