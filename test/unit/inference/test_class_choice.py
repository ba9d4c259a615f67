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

"""Names and indices of wanted classes, and what is said of those that are none."""

from __future__ import annotations

from typing import List

from mobilenetv2_ros.inference.class_choice import choose_classes, ClassChoice
from mobilenetv2_ros.inference.labels import LabelError
from mobilenetv2_ros.inference.ranking import rank
import numpy as np
import pytest

NAMES = ['Espresso', 'coffee mug', 'crane (134)', 'maillot, tank suit', '1']


@pytest.mark.parametrize('wanted, expected', [
    (['coffee mug'], [1]), (['coffee mug', ' Espresso '], [0, 1]), (['2', '0'], [0, 2]),
    (['maillot, tank suit', '3'], [3]), (['1'], [4]), (['', 'coffee mug'], [1])])
def test_names_and_indices(wanted: List[str], expected: List[int]) -> None:
    chosen = choose_classes(wanted, NAMES)
    assert chosen is not None and chosen.tolist() == expected


@pytest.mark.parametrize('wanted', [[], [''], [' ', '']])
def test_nothing_is_all(wanted: List[str]) -> None:
    assert choose_classes(wanted, NAMES) is None


@pytest.mark.parametrize('wanted, words', [
    ('cofee mug', "'cofee mug' is no class of this model; expected names as in ~/label_info, or "
     "indices from 0 to 4; did you mean 'coffee mug'[?]"),
    ('espresso', "did you mean 'Espresso'[?]"), ('crane', "did you mean 'crane [(]134[)]'[?]"),
    ('5', "'5' is no class"), ('-1', "'-1' is no class"), ('zzzz', 'from 0 to 4$'),
    ('x' * 500, "'x{80}' is no class")])
def test_others_are_refused_with_the_nearest(wanted: str, words: str) -> None:
    with pytest.raises(LabelError, match=words):
        choose_classes(['1', wanted], NAMES)


@pytest.mark.parametrize('count', [1, 3, 30])
def test_ranks_among_the_wanted(count: int) -> None:
    probabilities = np.array([0.1, 0.3, 0.2, 0.3, 0.1], np.float32)
    found = rank(probabilities, count, 0.15, np.array([0, 2, 3], np.intp))
    assert [one.index for one in found] == [3, 2][:count]
    assert found[0].probability == pytest.approx(0.3)


def test_others_are_found_as_soon_as_they_are_wanted() -> None:
    choice = ClassChoice(NAMES)
    assert choice.find(['']) is None
    wanted = ['coffee mug']
    first = choice.find(wanted)
    assert first is not None and first.tolist() == [1]
    assert choice.find(wanted) is first
    assert choice.find(['']) is None
