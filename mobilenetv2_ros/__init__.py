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
"""Image classification: a ROS 2 node, tools, and :class:`ImageClassifier` for Python programs."""

from __future__ import annotations

from typing import Any, TYPE_CHECKING

if TYPE_CHECKING:
    from mobilenetv2_ros.inference.image_classifier import ImageClassifier, ScoredClass

__all__ = ['ImageClassifier', 'ScoredClass']


def __getattr__(name: str) -> Any:
    """Import the public classes when they are asked for: launch files import this package too."""
    if name in __all__:
        from mobilenetv2_ros.inference import image_classifier
        return getattr(image_classifier, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
