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

"""The linters of a ROS installation; ``make lint`` checks the same without one."""

from __future__ import annotations

from typing import Any

import pytest
from support.checkout import CHECKOUT


@pytest.mark.parametrize('linter', ['ament_copyright', 'ament_flake8', 'ament_pep257'])
def test_it_finds_nothing(linter: str, capfd: pytest.CaptureFixture[str]) -> None:
    module: Any = pytest.importorskip(f'{linter}.main', reason=f'{linter} is not installed')
    checked = ['mobilenetv2_ros', 'launch', 'test', 'dev', 'setup.py']
    assert module.main(argv=[str(CHECKOUT / path) for path in checked]) == 0, capfd.readouterr()
