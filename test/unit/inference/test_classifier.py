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

"""From an image to its classes, with networks made for the test and with real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, List, Sequence

import cv2
from mobilenetv2_ros.image.image_message import ImageMessageError
from mobilenetv2_ros.image.nv12 import Nv12
from mobilenetv2_ros.inference.backends.base import BackendError, ModelError, Session
from mobilenetv2_ros.inference.classifier import ClassificationOptions, Classifier
from mobilenetv2_ros.inference.labels import LabelError
from mobilenetv2_ros.inference.loaded_model import LoadedModel
from mobilenetv2_ros.inference.ranking import RankedClass, ScoreRangeError, Scores
from mobilenetv2_ros.inference.score_meaning import ScoreMeaning, ScoreReader, ScoreType
import numpy as np
import pytest
from support.engines import needs_litert
from support.sample_images import encode, make_sample, Pixels
from support.tiny_models import write_onnx

DEERHOUND = 177
OPTIONS = ClassificationOptions()
EVEN = np.array([0.5, 0.5], np.float32)


class StandInSession(Session):
    """A session whose scores the test sets."""

    def __init__(self, scores: Sequence[float]) -> None:
        self.scores = np.array(scores, np.float32)
        self.timeouts: List[float] = []
        self._nv12 = Nv12.over(np.zeros((12, 8), np.uint8), 8, 8)

    @property
    def input(self) -> Nv12:  # noqa: A003
        return self._nv12

    def run(self, timeout: float) -> Scores:
        self.timeouts.append(timeout)
        return self.scores

    def close(self) -> None:
        raise AssertionError('a classifier does not own its session')


def read_image(path: Path) -> Pixels:
    bgr = cv2.imread(str(path))
    assert bgr is not None, path
    return np.ascontiguousarray(bgr[:, :, ::-1])


def make_classifier(session: Session, kind: ScoreType = ScoreType.PROBABILITIES,
                    has_background: bool = False, **options: str) -> Classifier:
    meaning = ScoreMeaning(kind, has_background=has_background)
    return Classifier(session, ScoreReader(meaning, EVEN, lambda sentence: None), **options)


def classify(scores: Sequence[float], kind: ScoreType,
             has_background: bool = False) -> List[RankedClass]:
    classifier = make_classifier(StandInSession(scores), kind, has_background)
    return classifier.classify(encode(make_sample(16, 16), 'rgb8'), OPTIONS)


def test_background_is_cut_off_after_the_softmax() -> None:
    # exp(log 5), exp(log 2), exp(log 3): the background takes half.
    logits = np.log([5.0, 2.0, 3.0]).tolist()
    first, second = classify(logits, ScoreType.LOGITS, has_background=True)
    assert (first.index, second.index) == (1, 0)
    assert first.probability == pytest.approx(0.3) and second.probability == pytest.approx(0.2)


def test_probabilities_are_not_put_through_a_softmax() -> None:
    kind = ScoreType.PROBABILITIES
    assert classify([0.5, 0.125, 0.375], kind, True) == [(1, 0.375), (0, 0.125)]
    assert classify([0.125, 0.875], kind) == [(1, 0.875), (0, 0.125)]


def test_each_image_has_options_of_its_own() -> None:
    session = StandInSession([0.125, 0.5, 0.375])
    classifier = make_classifier(session)
    view = encode(make_sample(32, 16), 'rgb8')
    assert classifier.classify(view, ClassificationOptions(
        top_k=1, inference_timeout=3.0)) == [(1, 0.5)]
    stretched = session.input.y.copy()
    assert classifier.classify(view, ClassificationOptions(
        top_k=3, score_threshold=0.25, resize_mode='letterbox',
        inference_timeout=4.0)) == [(1, 0.5), (2, 0.375)]
    assert session.timeouts == [3.0, 4.0]
    assert (session.input.y[0] == 125).all() and not (stretched[0] == 125).all()


def test_auto_fits_an_image_as_the_model_wants_it() -> None:
    session = StandInSession([0.5, 0.5])
    view = encode(make_sample(32, 16), 'rgb8')
    make_classifier(session, resize_mode='letterbox').classify(view, OPTIONS)
    assert (session.input.y[0] == 125).all()
    make_classifier(session).classify(view, OPTIONS)
    assert not (session.input.y[0] == 125).all()


def test_a_wrong_guess_is_corrected_with_the_image_that_shows_it() -> None:
    class Session(StandInSession):

        def run(self, timeout: float) -> Scores:
            is_grey = (self.input.y == 125).all()
            return EVEN if is_grey else super().run(timeout)

    session = Session([-3.0, 7.0])
    classifier = make_classifier(session)
    [best, _] = classifier.classify(encode(make_sample(16, 16), 'rgb8'), OPTIONS)
    assert best.index == 1 and 0.99 < best.probability <= 1
    assert len(session.timeouts) == 2  # computed again, to know that it is no chance


def test_scores_that_are_no_numbers() -> None:
    with pytest.raises(ScoreRangeError):
        classify([np.nan, 0.5], ScoreType.PROBABILITIES)


def test_image_that_cannot_be_read() -> None:
    session = StandInSession([0.5, 0.5])
    classifier = make_classifier(session)
    with pytest.raises(ImageMessageError):
        classifier.classify(encode(make_sample(16, 16), 'rgb8')._replace(step=1), OPTIONS)
    assert session.timeouts == []


# Real models


def check_photos(engine: LoadedModel, photos: Path, places: int = 1,
                 options: ClassificationOptions = OPTIONS) -> None:
    """Each photo's class is among the first, each photo in an encoding of its own."""
    encodings = ['rgb8', 'nv12', 'bgra8', 'yuv422_yuy2', 'bayer_rggb8']
    lines = (photos / 'labels.txt').read_text(encoding='utf-8').split('\n')
    entries = [line.split() for line in lines if line]
    assert len(entries) >= 5
    for (name, index), encoding in zip(entries, encodings):
        classes = engine.classifiers[0].classify(
            encode(read_image(photos / name), encoding), options)
        assert int(index) in [one.index for one in classes[:places]], (name, encoding, classes)


@pytest.mark.parametrize(('mode', 'places'), [
    ('stretch', 1), ('letterbox', 1), ('crop', 3)])  # the crop cuts the uniform's badges off
def test_bundled_model(photos: Path, mode: str, places: int) -> None:
    pytest.importorskip('ai_edge_litert', reason='ai_edge_litert is not installed')
    engine = LoadedModel(str(photos.parent / 'models' / 'efficientnet_lite0_int8.tflite'))
    assert engine.backend.info.score_count == len(engine.labels.names) == 1000
    check_photos(engine, photos, places, ClassificationOptions(resize_mode=mode))
    engine.close()


@pytest.mark.parametrize('model', ['', 'mobilenet_v2_1.0_224_quant.tflite'])
@pytest.mark.parametrize('mode', ['stretch', 'crop', 'letterbox'])
def test_deerhound(
        shared_file: Callable[[str], Path], photos: Path, model: str, mode: str) -> None:
    pytest.importorskip('ai_edge_litert', reason='ai_edge_litert is not installed')
    bundled = photos.parent / 'models' / 'efficientnet_lite0_int8.tflite'
    path = shared_file(f'models/{model}') if model else bundled
    rgb = read_image(shared_file('images/Scottish_deerhound.JPEG'))
    engine = LoadedModel(str(path))
    for encoding in ('bgr8', 'nv12', 'uyvy'):
        classes = engine.classifiers[0].classify(
            encode(rgb, encoding), ClassificationOptions(resize_mode=mode))
        assert classes[0].index == DEERHOUND and classes[0].probability > 0.3
        assert len(classes) == 5 and sum(one.probability for one in classes) <= 1.02
    assert engine.labels.names[DEERHOUND] == 'Scottish deerhound'
    engine.close()


@pytest.mark.parametrize(('mode', 'encoding', 'places'), [
    ('stretch', 'bgr8', 1), ('stretch', 'nv12', 2), ('crop', 'bgr8', 2), ('letterbox', 'bgr8', 2)])
def test_deerhound_with_onnx(
        shared_file: Callable[[str], Path], mode: str, encoding: str, places: int) -> None:
    """This file is nearly undecided between the deerhound and the Irish wolfhound, class 170."""
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    engine = LoadedModel(str(shared_file('models/mobilenet_v2_quant.onnx')))
    rgb = read_image(shared_file('images/Scottish_deerhound.JPEG'))
    classes = engine.classifiers[0].classify(
            encode(rgb, encoding), ClassificationOptions(resize_mode=mode))
    assert DEERHOUND in [one.index for one in classes[:places]]
    engine.close()


def test_tflite_mobilenet_on_the_photos(shared_file: Callable[[str], Path], photos: Path) -> None:
    pytest.importorskip('ai_edge_litert', reason='ai_edge_litert is not installed')
    engine = LoadedModel(str(shared_file('models/mobilenet_v2_1.0_224_quant.tflite')))
    check_photos(engine, photos)
    engine.close()


# Engines


def test_one_classifier_for_each_session(tmp_path: Path) -> None:
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    path = write_onnx(tmp_path / 'tiny.onnx', (1, 2, 4, 3), 'uint8')
    labels = tmp_path / 'labels.txt'
    labels.write_text('\n'.join(map(str, range(24))))
    for asked, given in ((0, 1), (1, 1), (3, 3)):
        engine = LoadedModel(str(path), str(labels), session_count=asked)
        assert len(engine.classifiers) == given
        assert engine.model_path == path and engine.labels_path == labels
        engine.close()


def test_model_and_labels_that_do_not_fit(tmp_path: Path) -> None:
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    path = write_onnx(tmp_path / 'tiny.onnx', (1, 2, 4, 3), 'uint8')
    with pytest.raises(ModelError, match="'tiny' has 24 classes, but '.*' names 1000; set"):
        LoadedModel(str(path))


@needs_litert
def test_engine_that_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(LabelError):
        LoadedModel(labels_path=str(tmp_path / 'missing.txt'))
    with pytest.raises(BackendError):
        LoadedModel(str(tmp_path / 'missing.onnx'))
    with pytest.raises(BackendError):
        LoadedModel(backend='nonsense')
