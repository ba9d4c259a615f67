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
"""What scores are: read from graphs, guessed from scores, said by the user, and corrected."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, List, Optional, Sequence, Tuple

from hypothesis import given, strategies
from hypothesis.extra.numpy import arrays
from mobilenetv2_ros import ImageClassifier
from mobilenetv2_ros.inference.backends.base import ModelError
from mobilenetv2_ros.inference.loaded_model import LoadedModel
from mobilenetv2_ros.inference.ranking import ScoreRangeError, Scores, sigmoid, softmax
from mobilenetv2_ros.inference.score_meaning import (
    guess_score_type, Operator, read_score_type, ScoreMeaning, ScoreReader, ScoreType,
    ScoreTypeError, settle_meaning, Source, to_probabilities)
import numpy as np
import pytest
from support.tiny_models import write_colour_onnx, write_colour_tflite

PROBABILITIES, LOGITS = ScoreType.PROBABILITIES, ScoreType.LOGITS
MULTI_LABEL, MULTI_LABEL_LOGITS = ScoreType.MULTI_LABEL, ScoreType.MULTI_LABEL_LOGITS

GREY_SCORES = np.array([0.5, 0.5], np.float32)
REDDISH, BLUISH = (3.0, 0.0, -3.0), (-3.0, 0.0, 3.0)
RED, GREY = (40, 40, 200), (127, 127, 127)
SIZE = 8


def scores(*values: float) -> Scores:
    return np.array(values, np.float32)


def image(bgr: Tuple[int, int, int]) -> Any:
    return np.full((SIZE, SIZE, 3), bgr, np.uint8)


# To probabilities


def test_probabilities_pass_unchanged() -> None:
    values = scores(0.25, 0.75)
    assert to_probabilities(values, ScoreMeaning(PROBABILITIES)) is values
    assert to_probabilities(values, ScoreMeaning(MULTI_LABEL)) is values


def test_logits_become_probabilities() -> None:
    values = scores(1, 2, 3)
    assert to_probabilities(values, ScoreMeaning(LOGITS)).tolist() == softmax(values).tolist()
    np.testing.assert_allclose(
        to_probabilities(values, ScoreMeaning(MULTI_LABEL_LOGITS)), 1 / (1 + np.exp(-values)),
        rtol=1e-6)


def test_a_background_is_cut_off_after_the_softmax() -> None:
    found = to_probabilities(
        np.log(scores(5, 2, 3)), ScoreMeaning(LOGITS, has_background=True))
    np.testing.assert_allclose(found, (0.2, 0.3), rtol=1e-6)


def test_one_score_is_that_of_the_second_of_two_classes() -> None:
    assert to_probabilities(scores(0.75), ScoreMeaning(PROBABILITIES)).tolist() == [0.25, 0.75]
    assert to_probabilities(scores(0), ScoreMeaning(LOGITS)).tolist() == [0.5, 0.5]
    assert to_probabilities(scores(0.75), ScoreMeaning(MULTI_LABEL)).tolist() == [0.75]


@given(arrays(np.float32, strategies.integers(1, 50), elements=strategies.floats(
    -2**100, 2**100, width=32)))
def test_whatever_logits_are_probabilities_lie_in_range(logits: Scores) -> None:
    for kind in (LOGITS, MULTI_LABEL_LOGITS):
        found = to_probabilities(logits, ScoreMeaning(kind))
        assert found.min() >= 0 and found.max() <= 1
    assert sigmoid(scores(-1e30, 1e30)).tolist() == [0, 1]


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('kind', list(ScoreType))
def test_scores_that_are_no_numbers_are_refused(bad: float, kind: ScoreType) -> None:
    for place in range(3):
        values = scores(0.25, 0.5, 0.25)
        values[place] = bad
        with pytest.raises(ScoreRangeError, match='the network gave scores from'):
            to_probabilities(values, ScoreMeaning(kind))


@pytest.mark.parametrize('values', [scores(1.02, 0), scores(-0.02, 1), scores(9, -3)])
def test_logits_where_probabilities_were_are_refused(values: Scores) -> None:
    with pytest.raises(ScoreRangeError, match='expected probabilities'):
        to_probabilities(values, ScoreMeaning(PROBABILITIES, Source.GRAPH))
    with pytest.raises(ScoreTypeError, match='cannot be the probabilities that score_type says'):
        to_probabilities(values, ScoreMeaning(PROBABILITIES, Source.PARAMETER))


# Guessing


def test_telling_probabilities_from_logits() -> None:
    random = np.random.default_rng(0)
    for spread in (0.5, 1, 3, 10):
        logits = [random.normal(0, spread, 1001).astype(np.float32) for _ in range(5)]
        probabilities = [softmax(one) for one in logits]
        assert guess_score_type(logits, 0.0) is LOGITS
        assert guess_score_type(probabilities, 0.0) is PROBABILITIES
        # As an output of 8 bits holds them: scale 1/256, small ones lost.
        rounded = [np.round(one * 256) * np.float32(2**-8) for one in probabilities]
        assert guess_score_type(rounded, 2**-8) is PROBABILITIES
    assert guess_score_type([scores(1, 0, 0)], 0.0) is PROBABILITIES


def test_scores_that_do_not_sum_to_one_are_of_several_labels() -> None:
    assert guess_score_type([scores(0.5, 0.5), scores(0.9, 0.8)], 0.0) is MULTI_LABEL
    assert guess_score_type([scores(0.5, 0.5), scores(0.9, -0.8)], 0.0) is LOGITS


def test_few_logit_models_are_misjudged_from_probe_images() -> None:
    """A grey image alone misjudges about a quarter of these."""
    random = np.random.default_rng(1)
    misjudged = 0
    for _ in range(300):
        weights, bias = random.normal(0, 1, (2, 3)), random.normal(0, 0.5, 2)
        colours = random.uniform(-2, 2, (7, 3))
        colours[0] = 0
        found = [(weights @ colour + bias).astype(np.float32) for colour in colours]
        misjudged += guess_score_type(found, 0.0) is not LOGITS
    assert misjudged <= 6


# Graphs


@pytest.mark.parametrize('names, expected', [
    (['Softmax'], PROBABILITIES), (['Sigmoid'], MULTI_LABEL), (['Gemm'], LOGITS),
    (['Softmax', 'Reshape', 'Identity'], PROBABILITIES), (['LogSoftmax'], LOGITS),
    (['QLinearConv', 'DequantizeLinear', 'Flatten'], LOGITS), (['Erf'], None),
    (['Softmax', 'Mul'], None), (['Reshape'], None), ([], None)])
def test_the_end_of_a_graph(names: List[str], expected: Optional[ScoreType]) -> None:
    operators = {str(index + 1): Operator(name, [str(index)])
                 for index, name in enumerate(names)}
    assert read_score_type(operators, str(len(names))) is expected


def test_a_graph_that_leads_in_a_circle() -> None:
    assert read_score_type({'a': Operator('Cast', ['b']), 'b': Operator('Cast', ['a'])}, 'a') is (
        None)


@pytest.mark.parametrize('tail, expected', [
    ('', LOGITS), ('SOFTMAX', PROBABILITIES), ('LOGISTIC', MULTI_LABEL)])
def test_litert_graphs(tmp_path: Path, tail: str, expected: ScoreType) -> None:
    pytest.importorskip('ai_edge_litert', reason='ai_edge_litert is not installed')
    path = write_colour_tflite(tmp_path / 'tiny.tflite', [REDDISH, BLUISH], [0.4, 0.3], tail)
    assert load(path).backend.score_type is expected


@pytest.mark.parametrize('tail, expected', [
    ([], LOGITS), (['Softmax'], PROBABILITIES), (['Sigmoid', 'Identity'], MULTI_LABEL),
    (['Tanh'], None)])
def test_onnx_graphs(tmp_path: Path, tail: List[str], expected: Optional[ScoreType]) -> None:
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    path = write_colour_onnx(tmp_path / 'tiny.onnx', [REDDISH, BLUISH], [0.4, 0.3], tail)
    assert load(path).backend.score_type is expected


def load(path: Path, classes: int = 2, **options: Any) -> LoadedModel:
    labels = path.with_suffix('.txt')
    labels.write_text(''.join(f'class {index}\n' for index in range(classes)))
    model = LoadedModel(str(path), str(labels), **options)
    model.close()
    return model


def classify(path: Path, bgr: Tuple[int, int, int], labels: Sequence[str],
             **options: Any) -> List[Tuple[str, float]]:
    label_file = path.with_suffix('.txt')
    label_file.write_text('\n'.join(labels))
    with ImageClassifier(path, label_file, **options) as classifier:
        return [(one.name, round(one.score, 3)) for one in classifier.classify(image(bgr))]


@pytest.fixture()
def onnx_is_installed() -> None:
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')


@pytest.mark.usefixtures('onnx_is_installed')
def test_two_logits_that_look_like_probabilities_on_grey(tmp_path: Path) -> None:
    path = write_colour_onnx(tmp_path / 'm.onnx', [REDDISH, BLUISH], [0.4, 0.3])
    [best, _] = classify(path, RED, ['reddish', 'bluish'])
    assert best == ('reddish', 1.0)


@pytest.mark.usefixtures('onnx_is_installed')
def test_the_scores_of_a_multi_label_model_are_kept(tmp_path: Path) -> None:
    path = write_colour_onnx(tmp_path / 'm.onnx', [REDDISH, (1.0, 0, 0)], [0, 0], ['Sigmoid'])
    assert classify(path, RED, ['reddish', 'light'])[0] == ('reddish', 0.999)
    assert sum(score for _, score in classify(path, RED, ['reddish', 'light'])) > 1.5


@pytest.mark.usefixtures('onnx_is_installed')
def test_multi_label_without_its_sigmoid(tmp_path: Path) -> None:
    """As a training with BCEWithLogitsLoss leaves it."""
    path = write_colour_onnx(tmp_path / 'm.onnx', [REDDISH, (1.0, 0, 0)], [0, 0])
    found = classify(path, RED, ['reddish', 'light'], score_type='multi_label')
    assert found[0] == ('reddish', 0.999) and found[1][1] > 0.7


@pytest.mark.usefixtures('onnx_is_installed')
@pytest.mark.parametrize('tail', [['Sigmoid'], []])
def test_one_score_means_two_classes(tmp_path: Path, tail: List[str]) -> None:
    path = write_colour_onnx(tmp_path / 'm.onnx', [REDDISH], [0], tail)
    assert classify(path, RED, ['other', 'reddish']) == [('reddish', 0.999), ('other', 0.001)]
    assert classify(path, RED, ['reddish'], score_type='multi_label') == [('reddish', 0.999)]
    with pytest.raises(ModelError, match="has one score, which means 2 classes, but '.*' names 3"):
        classify(path, RED, ['a', 'b', 'c'])


# Said


def test_what_is_said_comes_first() -> None:
    images = [scores(0.5, 0.5)]
    assert settle_meaning('logits', Source.PARAMETER, PROBABILITIES, images, 0.0) == (
        LOGITS, Source.PARAMETER, False)
    assert settle_meaning('auto', Source.PARAMETER, MULTI_LABEL, images, 0.0) == (
        MULTI_LABEL, Source.GRAPH, False)
    assert settle_meaning('auto', Source.PARAMETER, None, images, 0.0) == (
        PROBABILITIES, Source.GUESS, False)


def test_what_is_said_and_cannot_be_is_refused() -> None:
    with pytest.raises(ScoreTypeError, match='scores from -3 to 7; they cannot be'):
        settle_meaning('probabilities', Source.PARAMETER, None, [scores(-3, 7)], 0.0)


@pytest.mark.usefixtures('onnx_is_installed')
def test_a_wrong_score_type_is_told_with_the_models_name(tmp_path: Path) -> None:
    path = write_colour_onnx(tmp_path / 'm.onnx', [REDDISH, BLUISH], [4, -3])
    with pytest.raises(ModelError, match="m.onnx' is unusable: .* set it to auto or logits"):
        load(path, score_type='probabilities')


# Corrected


def never() -> Scores:
    raise AssertionError('nothing is to be computed again')


def test_a_guess_is_corrected_once_and_told() -> None:
    told: List[str] = []
    reader = ScoreReader(ScoreMeaning(PROBABILITIES), GREY_SCORES, told.append)
    assert reader.read(scores(0.5, 0.5), never, never).tolist() == [0.5, 0.5]
    logits = scores(-3, 7)
    for _ in range(2):
        found = reader.read(logits, lambda: logits, lambda: GREY_SCORES)
        assert found.tolist() == softmax(logits).tolist()
    assert len(told) == 1 and 'from -3 to 7: from now on they are taken for logits' in told[0]
    assert reader.read(scores(0.5, 0.5), never, never).tolist() == [0.5, 0.5]
    assert reader.meaning.type is LOGITS


def test_an_engine_that_computes_nonsense_corrects_nothing() -> None:
    told: List[str] = []
    reader = ScoreReader(ScoreMeaning(PROBABILITIES), GREY_SCORES, told.append)
    garbage = scores(-3, 7)
    for second, grey in ((scores(0.5, 0.5), GREY_SCORES), (scores(-3, 8), GREY_SCORES),
                         (garbage, garbage), (garbage, scores(np.nan, 0))):
        with pytest.raises(ScoreRangeError):
            reader.read(garbage, make_again(second), make_again(grey))
    with pytest.raises(ScoreRangeError):
        reader.read(scores(np.nan, 7), never, never)
    assert told == [] and reader.meaning.type is PROBABILITIES


def make_again(values: Scores) -> Callable[[], Scores]:
    return lambda: values


@pytest.mark.parametrize('source, error', [
    (Source.GRAPH, ScoreRangeError), (Source.PARAMETER, ScoreTypeError),
    (Source.DESCRIPTION, ScoreTypeError)])
def test_what_is_known_is_not_corrected(source: Source, error: Any) -> None:
    reader = ScoreReader(ScoreMeaning(PROBABILITIES, source), GREY_SCORES, lambda sentence: None)
    with pytest.raises(error):
        reader.read(scores(-3, 7), never, never)
