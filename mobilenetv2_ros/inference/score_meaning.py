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
"""
What the scores of a model are, and how they become probabilities.

The graph's last operator tells it, where an engine shows the graph. Else the scores of a few
images do: what lies outside 0..1 is no probability. Such a guess is corrected when the scores of
an image contradict it; one that the user settled is not.
"""

from __future__ import annotations

from enum import Enum
import threading
from typing import Callable, Iterator, List, Mapping, NamedTuple, Optional, Sequence

from mobilenetv2_ros.image.nv12 import Nv12
from mobilenetv2_ros.inference.ranking import find_range, ScoreRangeError, Scores, sigmoid, softmax
import numpy as np

AUTO = 'auto'
SCORE_TYPES = (AUTO, 'probabilities', 'logits', 'multi_label')
"""The values of the parameter ``score_type``."""

_ROUNDING = 0.01
"""How far a quantised probability may lie outside 0..1."""

_SUM_TOLERANCE = 0.02


class ScoreType(Enum):
    """What a network gives for each class; the value is for people."""

    PROBABILITIES = 'probabilities'
    LOGITS = 'logits'
    MULTI_LABEL = 'multi-label probabilities'
    MULTI_LABEL_LOGITS = 'multi-label logits'

    def __init__(self, text: str) -> None:
        """Work out what is asked with each image."""
        self.are_probabilities = text.endswith('probabilities')
        """Whether they lie in 0..1 as they come."""
        self.is_multi_label = text.startswith('multi-label')
        """Whether several classes may be true of an image at the same time."""


class Source(Enum):
    """Who says what scores are; the value is for people."""

    PARAMETER = 'score_type'
    DESCRIPTION = 'sidecar'
    GRAPH = 'graph'
    GUESS = 'guessed'


class ScoreMeaning(NamedTuple):
    """
    How scores map to classes.

    :param has_background: the first score belongs to no class.
    """

    type: ScoreType  # noqa: A003
    source: Source = Source.GUESS
    has_background: bool = False

    def __str__(self) -> str:
        """Tell it to people."""
        background = ', the first one of a background class' if self.has_background else ''
        return f'{self.type.value} [{self.source.value}]{background}'


class ScoreTypeError(ValueError):
    """Scores are not what the user says they are; the text says what they are."""


# From the graph.

class Operator(NamedTuple):
    """An operator of a graph: its name in ONNX, and the tensors that it reads."""

    name: str
    inputs: Sequence[str]


_PASSED = frozenset((
    'Identity', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Cast', 'Transpose', 'Dropout',
    'QuantizeLinear', 'DequantizeLinear', 'GlobalAveragePool', 'AveragePool', 'ReduceMean'))
"""Operators that leave what scores are."""

_LAST_OPERATORS = {
    **dict.fromkeys(('Softmax', 'QLinearSoftmax'), ScoreType.PROBABILITIES),
    **dict.fromkeys(('Sigmoid', 'HardSigmoid', 'QLinearSigmoid'), ScoreType.MULTI_LABEL),
    # The softmax of logarithms of probabilities gives these probabilities.
    **dict.fromkeys((
        'Gemm', 'MatMul', 'Conv', 'Add', 'Relu', 'BatchNormalization', 'LogSoftmax', 'QGemm',
        'QLinearMatMul', 'QLinearConv', 'QLinearAdd', 'FusedGemm', 'FusedMatMul', 'FusedConv'),
        ScoreType.LOGITS)}

_MAX_PASSED = 100


def read_score_type(operators: Mapping[str, Operator], output: str) -> Optional[ScoreType]:
    """
    Read from a graph what its output is.

    :param operators: by the tensors that they write.
    :param output: a tensor.
    :returns: None where the graph ends in another way than classifiers do.
    """
    for _ in range(_MAX_PASSED):
        operator = operators.get(output)
        if operator is None:
            return None
        if operator.name not in _PASSED or not operator.inputs:
            return _LAST_OPERATORS.get(operator.name)
        output = operator.inputs[0]
    return None


# From scores.

def show_probes(target: Nv12) -> Iterator[None]:
    """Write images into a model's input, one after the other, the first one grey."""
    for y, u, v in ((125, 128, 128), (16, 128, 128), (235, 128, 128), (81, 90, 240),
                    (145, 54, 34), (41, 240, 110)):
        target.y[:], target.uv[:] = y, (u, v)
        yield
    height, width = target.y.shape
    rows, columns = np.arange(height)[:, np.newaxis], np.arange(width)
    target.y[:] = 16 + (rows * 13 + columns * 7) % 220
    yield


def guess_score_type(scores: Sequence[Scores], step: float) -> ScoreType:
    """
    Guess from the scores of several images what they are.

    :param scores: float32, shape (classes,) each.
    :param step: between two scores of a quantised output, else 0.
    """
    if not all(_are_in_range(one) for one in scores):
        return ScoreType.LOGITS
    # Each score is rounded by half a step; small ones of a thousand classes all go to 0.
    tolerance = _SUM_TOLERANCE + scores[0].size * step / 2
    is_one = scores[0].size == 1 or all(
        abs(float(one.sum()) - 1) <= tolerance for one in scores)
    return ScoreType.PROBABILITIES if is_one else ScoreType.MULTI_LABEL


def _are_in_range(scores: Scores) -> bool:
    return bool(scores.min() >= -_ROUNDING and scores.max() <= 1 + _ROUNDING)


def settle_meaning(wanted: str, source: Source, of_graph: Optional[ScoreType],
                   scores: Sequence[Scores], step: float) -> ScoreMeaning:
    """
    Find out what scores are.

    :param wanted: what ``source`` says, one of :data:`SCORE_TYPES`.
    :param of_graph: what the graph says, None if nothing.
    :param scores: of several images.
    :param step: between two scores of a quantised output, else 0.
    :raises ScoreTypeError: the scores contradict what ``source`` says.
    :raises ScoreRangeError: they contradict the graph: the engine computes nonsense.
    """
    guess = of_graph or guess_score_type(scores, step)
    if scores[0].size == 1 and guess is ScoreType.MULTI_LABEL:
        guess = ScoreType.PROBABILITIES  # one sigmoid tells two classes apart
    if wanted == AUTO:
        meaning = ScoreMeaning(guess, Source.GUESS if of_graph is None else Source.GRAPH)
    elif wanted == 'multi_label':
        meaning = ScoreMeaning(
            ScoreType.MULTI_LABEL if guess.are_probabilities else ScoreType.MULTI_LABEL_LOGITS,
            source)
    else:
        meaning = ScoreMeaning(ScoreType(wanted), source)
    for one in scores:
        to_probabilities(one, meaning)
    return meaning


# To probabilities.

def to_probabilities(scores: Scores, meaning: ScoreMeaning) -> Scores:
    """
    Check scores and turn them into the probabilities of the classes.

    :param scores: float32, shape (scores,), all that the network gave.
    :returns: float32, shape (classes,): without the background; both of two classes where the
        network gives one score.
    :raises ScoreRangeError: NaN, infinite, or no probabilities although the graph says so.
    :raises ScoreTypeError: no probabilities although the user says so.
    """
    lowest, highest = find_range(scores)
    if not meaning.type.are_probabilities:
        is_softmax = meaning.type is ScoreType.LOGITS and scores.size > 1
        scores = softmax(scores) if is_softmax else sigmoid(scores)
    elif lowest < -_ROUNDING or highest > 1 + _ROUNDING:
        raise _make_range_error(lowest, highest, meaning)
    if meaning.has_background:
        return scores[1:]
    if scores.size == 1 and not meaning.type.is_multi_label:
        return np.concatenate((1 - scores, scores))
    return scores


def _make_range_error(lowest: float, highest: float, meaning: ScoreMeaning) -> ValueError:
    found = f'the network gave scores from {lowest:.3g} to {highest:.3g}'
    if meaning.source in (Source.PARAMETER, Source.DESCRIPTION):
        return ScoreTypeError(
            f'{found}; they cannot be the {meaning.type.value} that score_type says; set it to '
            'auto or logits')
    return ScoreRangeError(f'{found}; expected probabilities')


class ScoreReader:
    """Turns the scores of one model into probabilities; any number of threads may use it."""

    def __init__(self, meaning: ScoreMeaning, grey: Scores,
                 warn: Callable[[str], object]) -> None:
        """
        Start with what was found out when the model was opened.

        :param grey: scores of the first probe image.
        :param warn: takes a sentence when that proves to be wrong.
        """
        self.meaning = meaning
        self._grey = grey
        self._warn = warn
        self._lock = threading.Lock()

    def recognises(self, grey: Scores, step: float) -> bool:
        """
        Tell whether a model that was opened again gives scores of the same kind.

        :param grey: scores of the first probe image.
        :param step: between two scores of a quantised output, else 0.
        :raises ScoreRangeError: they are no numbers.
        """
        find_range(grey)
        return grey.size == self._grey.size and (
            guess_score_type([grey], step) is guess_score_type([self._grey], step))

    def read(self, scores: Scores, compute_again: Callable[[], Scores],
             compute_grey: Callable[[], Scores]) -> Scores:
        """
        Turn scores into probabilities, as :func:`to_probabilities`.

        :param compute_again: runs the network again on the same image. What comes out twice, while
            the grey image has the scores that it had, is the model's; all else is an engine's that
            fails, which must not change the meaning.
        :param compute_grey: runs it on the first probe image.
        """
        try:
            return to_probabilities(scores, self.meaning)
        except ScoreRangeError:
            if self.meaning.source is not Source.GUESS or not np.isfinite(scores).all():
                raise
            first = scores.copy()
            if not np.array_equal(first, compute_again()) or not np.allclose(
                    self._grey, compute_grey(), atol=_ROUNDING):
                raise
        self._correct(first)
        return to_probabilities(first, self.meaning)

    def _correct(self, scores: Scores) -> None:
        with self._lock:
            if not self.meaning.type.are_probabilities:
                return  # another thread was faster
            before, self.meaning = self.meaning, self.meaning._replace(type=ScoreType.LOGITS)
        self._warn(
            f'the scores of the model were taken for {before.type.value}, but an image has scores '
            f'from {scores.min():.3g} to {scores.max():.3g}: from now on they are taken for '
            'logits; results before this one may be wrong; set score_type to settle it')


def list_probes(target: Nv12, run: Callable[[], Scores], is_known: bool) -> List[Scores]:
    """
    Run a model on probe images.

    :param target: its input.
    :param is_known: one image will do, to see that it works.
    """
    found = []
    for _ in show_probes(target):
        found.append(run().copy())
        if is_known:
            break
    return found
