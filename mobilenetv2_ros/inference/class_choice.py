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

"""The classes that somebody wants to hear of, by their names or indices."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

from mobilenetv2_ros.inference.labels import LabelError
import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]

_MAX_LENGTH = 80
"""Of a name that is repeated in an error."""


def choose_classes(wanted: Sequence[str], names: Sequence[str]) -> Optional[Indices]:
    """
    Find the classes that are wanted.

    :param wanted: names or indices; a number that is a name is taken as that. Empty texts are
        passed over.
    :param names: of all classes, by index.
    :returns: their indices, ascending and each once; None for all.
    :raises LabelError: there is no such class; the text names the nearest one.
    """
    texts = [text for text in (one.strip() for one in wanted) if text]
    if not texts:
        return None
    indices = {name: index for index, name in enumerate(names)}
    return np.array(sorted({_find_index(text, indices) for text in texts}), np.intp)


class ClassChoice:
    """What :func:`choose_classes` has found, for as long as the same are wanted; of any thread."""

    def __init__(self, names: Sequence[str]) -> None:
        """
        Choose nothing yet.

        :param names: of all classes, by index.
        """
        self._names = names
        self._found: Tuple[Sequence[str], Optional[Indices]] = ((), None)

    def find(self, wanted: Sequence[str]) -> Optional[Indices]:
        """
        Find the classes that are wanted, as :func:`choose_classes`.

        :param wanted: the same object from image to image, until others are wanted.
        """
        known, indices = self._found
        if wanted is not known:
            indices = choose_classes(wanted, self._names)
            self._found = wanted, indices
        return indices


def _find_index(text: str, indices: Dict[str, int]) -> int:
    if text in indices:
        return indices[text]
    if text.isdecimal() and int(text) < len(indices):
        return int(text)
    raise LabelError(
        f"classes: '{text[:_MAX_LENGTH]}' is no class of this model; expected names as in "
        f'~/label_info, or indices from 0 to {len(indices) - 1}{_suggest(text, list(indices))}')


def _suggest(text: str, names: List[str]) -> str:
    from difflib import get_close_matches  # needed seldom, and not for the start

    lower = {name.lower(): name for name in names}
    nearest = get_close_matches(text.lower(), lower, 1)
    return f"; did you mean '{lower[nearest[0]]}'?" if nearest else ''
