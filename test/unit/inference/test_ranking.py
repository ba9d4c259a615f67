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

"""Scores become the right few classes, best first, or are refused."""

from __future__ import annotations

from typing import List

from hypothesis import given, strategies
from hypothesis.extra.numpy import arrays
from mobilenetv2_ros.inference.ranking import rank, RankedClass, softmax
import numpy as np


def scores(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_best_first() -> None:
    assert rank(scores(0.125, 0.5, 0.0, 0.25), 3) == [
        RankedClass(1, 0.5), RankedClass(3, 0.25), RankedClass(0, 0.125)]


def test_of_equals_the_lower_index_comes_first() -> None:
    assert [one.index for one in rank(np.full(1000, 0.001, np.float32), 5)] == [0, 1, 2, 3, 4]
    assert [one.index for one in rank(scores(0.1, 0.2, 0.1, 0.2, 0.1), 3)] == [1, 3, 0]


def test_count_larger_than_the_classes() -> None:
    assert [one.index for one in rank(scores(0.25, 0.75), 1000)] == [1, 0]


def test_threshold_includes_its_own_value() -> None:
    assert [one.index for one in rank(scores(0.125, 0.5, 0.25), 3, 0.25)] == [1, 2]
    assert rank(scores(0.125, 0.5, 0.25), 3, 0.75) == []


def test_rounding_is_clipped() -> None:
    assert rank(scores(1.004, -0.004), 2) == [RankedClass(0, 1.0), RankedClass(1, 0.0)]


def test_plain_python_numbers() -> None:
    [best] = rank(scores(0.25, 0.75), 1)
    assert type(best.index) is int and type(best.probability) is float


@given(strategies.integers(0, 2**32 - 1), strategies.integers(1, 30), strategies.integers(1, 40),
       strategies.integers(1, 5), strategies.floats(0, 1))
def test_rank_is_a_sorted_list_cut_off(
        seed: int, classes: int, count: int, levels: int, threshold: float) -> None:
    levels_found = np.random.default_rng(seed).integers(0, levels, classes)
    values = (levels_found / levels).astype(np.float32)
    wanted: List[int] = sorted(range(classes), key=lambda index: (-values[index], index))
    assert rank(values, count, threshold) == [
        RankedClass(index, float(values[index])) for index in wanted[:count]
        if float(values[index]) >= threshold]


def test_softmax() -> None:
    logits = scores(1, 2, 3)
    powers = np.exp([1, 2, 3])
    np.testing.assert_allclose(softmax(logits), powers / powers.sum(), rtol=1e-6)
    assert logits.tolist() == [1, 2, 3]


def test_softmax_of_large_logits() -> None:
    assert softmax(scores(1000, 0, -1000)).tolist() == [1, 0, 0]


@given(arrays(np.float32, strategies.integers(1, 50), elements=strategies.floats(
    -2**100, 2**100, width=32)))
def test_softmax_always_sums_to_one(logits: np.ndarray) -> None:
    probabilities = softmax(logits)
    assert probabilities.dtype == np.float32
    assert abs(float(probabilities.sum()) - 1) < 1e-5
