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

"""From a picture to its classes, with networks made for the test and with real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, List, Sequence

import cv2
from mobilenetv2_ros.backends.base import Backend, BackendError, ModelError, ModelInfo, Session
from mobilenetv2_ros.classifier import Classifier, probe, ScoreMeaning, Settings
from mobilenetv2_ros.engine import Engine
from mobilenetv2_ros.image_message import ImageMessageError
from mobilenetv2_ros.labels import LabelError, Labels
from mobilenetv2_ros.nv12 import Nv12
from mobilenetv2_ros.ranking import RankedClass, ScoreRangeError, Scores
import numpy as np
from pictures import encode, make_picture, Pixels
import pytest
from tiny_models import write_onnx

DEERHOUND = 177


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


class StandInBackend(Backend):
    """A backend with one session."""

    kind = 'stand-in'

    def __init__(self, scores: Sequence[float]) -> None:
        self.info = ModelInfo('tiny', 8, 8, len(scores))
        self.session = StandInSession(scores)

    def open_session(self) -> Session:
        return self.session

    def close(self) -> None:
        pass


def names(count: int) -> Labels:
    return Labels([f'class {index}' for index in range(count)], [])


def probe_scores(scores: Sequence[float], classes: int) -> ScoreMeaning:
    backend = StandInBackend(scores)
    return probe(backend, backend.session, names(classes), 2.5)


def read_photo(path: Path) -> Pixels:
    bgr = cv2.imread(str(path))
    assert bgr is not None, path
    return np.ascontiguousarray(bgr[:, :, ::-1])


# The meaning of scores


def test_probabilities_and_logits() -> None:
    assert probe_scores([0.25, 0.5, 0.25], 3) == ScoreMeaning(False, False)
    assert probe_scores([-3.0, 0.5, 7.0], 3) == ScoreMeaning(True, False)


def test_background() -> None:
    assert probe_scores([0.25, 0.5, 0.25], 2) == ScoreMeaning(False, True)
    assert probe_scores([-3.0, 0.5, 7.0], 2) == ScoreMeaning(True, True)


@pytest.mark.parametrize('classes, remark', [
    (192, ''), (191, ', its first class taken for the background')])
def test_a_background_is_told(tmp_path: Path, classes: int, remark: str) -> None:
    """One label too few would otherwise move all classes without a word."""
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    labels = tmp_path / 'labels.txt'
    labels.write_text(''.join(f'class {index}\n' for index in range(classes)))
    model = write_onnx(tmp_path / 'tiny.onnx', (1, 8, 8, 3))
    engine = Engine(Settings, str(model), str(labels))
    assert engine.remark == remark
    engine.close()


@pytest.mark.parametrize('classes', [1, 4, 5])
def test_labels_of_another_model(classes: int) -> None:
    with pytest.raises(ModelError, match=f"'tiny' has 3 classes, but labels_path names {classes}"):
        probe_scores([0.25, 0.5, 0.25], classes)


def test_probe_shows_grey() -> None:
    backend = StandInBackend([0.5, 0.5])
    probe(backend, backend.session, names(2), 2.5)
    assert (backend.session.input.y == 125).all() and (backend.session.input.uv == 128).all()
    assert backend.session.timeouts == [2.5]


def classify(scores: Sequence[float], meaning: ScoreMeaning,
             settings: Settings = Settings()) -> List[RankedClass]:
    classifier = Classifier(StandInSession(scores), meaning, lambda: settings)
    return classifier.classify(encode(make_picture(16, 16), 'rgb8'))


def test_background_is_cut_off_after_the_softmax() -> None:
    # exp(log 5), exp(log 2), exp(log 3): the background takes half.
    logits = np.log([5.0, 2.0, 3.0]).tolist()
    first, second = classify(logits, ScoreMeaning(True, True))
    assert (first.index, second.index) == (1, 0)
    assert first.probability == pytest.approx(0.3) and second.probability == pytest.approx(0.2)


def test_probabilities_are_not_put_through_a_softmax() -> None:
    assert classify([0.5, 0.125, 0.375], ScoreMeaning(False, True)) == [(1, 0.375), (0, 0.125)]
    assert classify([0.125, 0.875], ScoreMeaning(False, False)) == [(1, 0.875), (0, 0.125)]


def test_settings_are_asked_for_with_each_picture() -> None:
    session = StandInSession([0.125, 0.5, 0.375])
    current = Settings(top_k=1, inference_timeout=3.0)
    classifier = Classifier(session, ScoreMeaning(False, False), lambda: current)
    view = encode(make_picture(32, 16), 'rgb8')
    assert classifier.classify(view) == [(1, 0.5)]
    stretched = session.input.y.copy()
    current = Settings(top_k=3, score_threshold=0.25, resize_mode='letterbox',
                       inference_timeout=4.0)
    assert classifier.classify(view) == [(1, 0.5), (2, 0.375)]
    assert session.timeouts == [3.0, 4.0]
    assert (session.input.y[0] == 125).all() and not (stretched[0] == 125).all()


def test_scores_that_are_no_numbers() -> None:
    with pytest.raises(ScoreRangeError):
        classify([np.nan, 0.5], ScoreMeaning(False, False))


def test_picture_that_cannot_be_read() -> None:
    session = StandInSession([0.5, 0.5])
    classifier = Classifier(session, ScoreMeaning(False, False), Settings)
    with pytest.raises(ImageMessageError):
        classifier.classify(encode(make_picture(16, 16), 'rgb8')._replace(step=1))
    assert session.timeouts == []


# Real models


def check_photos(engine: Engine, photos: Path, places: int = 1) -> None:
    """Each photo's class is among the first, each photo in an encoding of its own."""
    encodings = ['rgb8', 'nv12', 'bgra8', 'yuv422_yuy2', 'bayer_rggb8']
    lines = (photos / 'labels.txt').read_text(encoding='utf-8').split('\n')
    entries = [line.split() for line in lines if line]
    assert len(entries) >= 5
    for (name, index), encoding in zip(entries, encodings):
        classes = engine.classifiers[0].classify(encode(read_photo(photos / name), encoding))
        assert int(index) in [one.index for one in classes[:places]], (name, encoding, classes)


@pytest.mark.parametrize(('mode', 'places'), [
    ('stretch', 1), ('letterbox', 1), ('crop', 3)])  # the crop cuts the uniform's badges off
def test_bundled_model(photos: Path, mode: str, places: int) -> None:
    pytest.importorskip('ai_edge_litert', reason='ai_edge_litert is not installed')
    engine = Engine(lambda: Settings(resize_mode=mode), str(
        photos.parent / 'models' / 'efficientnet_lite0_int8.tflite'))
    assert engine.backend.info.score_count == len(engine.labels.names) == 1000
    check_photos(engine, photos, places)
    engine.close()


@pytest.mark.parametrize('model', ['', 'mobilenet_v2_1.0_224_quant.tflite'])
@pytest.mark.parametrize('mode', ['stretch', 'crop', 'letterbox'])
def test_deerhound(
        shared_file: Callable[[str], Path], photos: Path, model: str, mode: str) -> None:
    pytest.importorskip('ai_edge_litert', reason='ai_edge_litert is not installed')
    bundled = photos.parent / 'models' / 'efficientnet_lite0_int8.tflite'
    path = shared_file(f'models/{model}') if model else bundled
    rgb = read_photo(shared_file('images/Scottish_deerhound.JPEG'))
    engine = Engine(lambda: Settings(resize_mode=mode), str(path))
    for encoding in ('bgr8', 'nv12', 'uyvy'):
        classes = engine.classifiers[0].classify(encode(rgb, encoding))
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
    engine = Engine(
        lambda: Settings(resize_mode=mode), str(shared_file('models/mobilenet_v2_quant.onnx')))
    rgb = read_photo(shared_file('images/Scottish_deerhound.JPEG'))
    classes = engine.classifiers[0].classify(encode(rgb, encoding))
    assert DEERHOUND in [one.index for one in classes[:places]]
    engine.close()


def test_tflite_mobilenet_on_the_photos(shared_file: Callable[[str], Path], photos: Path) -> None:
    pytest.importorskip('ai_edge_litert', reason='ai_edge_litert is not installed')
    engine = Engine(Settings, str(shared_file('models/mobilenet_v2_1.0_224_quant.tflite')))
    check_photos(engine, photos)
    engine.close()


# Engines


def test_one_classifier_for_each_session(tmp_path: Path) -> None:
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    path = write_onnx(tmp_path / 'tiny.onnx', (1, 2, 4, 3), 'uint8')
    labels = tmp_path / 'labels.txt'
    labels.write_text('\n'.join(map(str, range(24))))
    for asked, given in ((0, 1), (1, 1), (3, 3)):
        engine = Engine(Settings, str(path), str(labels), session_count=asked)
        assert len(engine.classifiers) == given
        assert engine.model_path == path and engine.labels_path == labels
        engine.close()


def test_model_and_labels_that_do_not_fit(tmp_path: Path) -> None:
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    path = write_onnx(tmp_path / 'tiny.onnx', (1, 2, 4, 3), 'uint8')
    with pytest.raises(ModelError, match="'tiny' has 24 classes, but labels_path names 1000; set"):
        Engine(Settings, str(path))


def test_engine_that_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(LabelError):
        Engine(Settings, labels_path=str(tmp_path / 'missing.txt'))
    with pytest.raises(BackendError):
        Engine(Settings, str(tmp_path / 'missing.onnx'))
    with pytest.raises(BackendError):
        Engine(Settings, backend='nonsense')
