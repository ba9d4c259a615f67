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

"""Where the files are that tests use."""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
BUNDLED_MODEL = CHECKOUT / 'models' / 'efficientnet_lite0_int8.tflite'


def join_python_path() -> str:
    """Return a PYTHONPATH with package and tests; where ROS is found through it, it stays so."""
    own = str(CHECKOUT), str(CHECKOUT / 'test')
    return os.pathsep.join([*own, *filter(None, [os.environ.get('PYTHONPATH')])])
