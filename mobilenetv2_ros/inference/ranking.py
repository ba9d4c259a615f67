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

"""Scores of a network to the few classes worth telling."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]

_FEW = 20
"""So many classes are found faster one by one than by sorting."""


class ScoreRangeError(ValueError):
    """Scores that no network in order gives: NaN, infinite, or probabilities outside 0..1."""


class RankedClass(NamedTuple):
    """A class and its probability; ``index`` counts from 0 without a background class."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls
    probability: float


def softmax(logits: Scores) -> Scores:
    """
    Turn logits into probabilities.

    :param logits: float32, shape (classes,), left as they are.
    :returns: float32, same shape, sum 1.
    """
    powers = np.exp(logits - logits.max())
    probabilities: Scores = powers / powers.sum()
    return probabilities


def sigmoid(logits: Scores) -> Scores:
    """
    Turn each logit into a probability of its own.

    :param logits: float32, shape (classes,), left as they are.
    """
    # By the tangent, which overflows for no logit.
    probabilities: Scores = 0.5 * (1 + np.tanh(0.5 * logits))
    return probabilities


def find_range(scores: Scores) -> Tuple[float, float]:
    """
    Find the lowest and the highest score, which no network in order leaves out of all bounds.

    :raises ScoreRangeError: one is NaN or infinite.
    """
    # min() and max() go through much more code, which a single call finds in no cache.
    lowest, highest = scores.item(scores.argmin()), scores.item(scores.argmax())
    # A NaN anywhere makes both NaN, which no comparison holds for.
    if not (-np.inf < lowest and highest < np.inf):
        raise ScoreRangeError(f'the network gave scores from {lowest} to {highest}')
    return lowest, highest


def rank(probabilities: Scores, count: int, threshold: float = 0.0,
         among: Optional[NDArray[np.intp]] = None) -> List[RankedClass]:
    """
    Find the most probable classes.

    :param probabilities: float32, shape (classes,).
    :param count: at most so many are returned.
    :param threshold: only classes at least this probable are returned.
    :param among: indices of the classes that may be returned, ascending; None for all.
    :returns: best first; of equals, the lower index first; probabilities clipped to 0..1.
    """
    if among is None:
        best = _find_best(probabilities, min(count, probabilities.size))
    else:
        best = among[_find_best(probabilities[among], min(count, among.size))].tolist()
    ranked = (RankedClass(index, min(1.0, max(0.0, probabilities.item(index)))) for index in best)
    return [one for one in ranked if one.probability >= threshold]


def _find_best(probabilities: Scores, count: int) -> List[int]:
    """Find the indices of the greatest values, of equals the lower index first."""
    if count > _FEW:
        order: List[int] = np.argsort(-probabilities, kind='stable')[:count].tolist()
        return order
    # A few passes over a thousand values beat any sorting, and equals, which quantised networks
    # give by the hundred, cost nothing.
    rest = probabilities.copy()
    best = []
    for _ in range(count):
        index = int(rest.argmax())
        rest[index] = -np.inf
        best.append(index)
    return best
