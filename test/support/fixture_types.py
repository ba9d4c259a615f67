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

"""What the fixtures of conftest.py give to tests."""

from __future__ import annotations

from pathlib import Path
import subprocess
from typing import Dict, NamedTuple, Protocol


class StartPython(Protocol):
    """Start Python with arguments and changes to its environment."""

    def __call__(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        ...


class TinyModel(NamedTuple):
    """A model whose scores are the image itself, and its label file."""

    path: Path
    labels: Path

    @property
    def parameters(self) -> Dict[str, object]:
        """Those of a node that uses it."""
        return {'model_path': self.path, 'labels_path': self.labels}
