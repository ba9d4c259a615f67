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
"""The public class: what it takes for an image, and that any number of threads may use it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import re
import sys
import threading
import time
from typing import Any, Iterator

import cv2
from mobilenetv2_ros import ImageClassifier, ScoredClass
from mobilenetv2_ros.image.image_array import view_array
from mobilenetv2_ros.image.image_message import ImageMessageError
from mobilenetv2_ros.inference.classifier import Classifier
import numpy as np
import pytest
from support.fixture_types import StartPython
from support.sample_images import encode, make_sample

ESPRESSO, GOLDFISH = 967, 1


@pytest.fixture(scope='module')
def classifier(photos: Path) -> Iterator[ImageClassifier]:
    pytest.importorskip('ai_edge_litert', reason='ai_edge_litert is not installed')
    with ImageClassifier(
            photos.parent / 'models' / 'efficientnet_lite0_int8.tflite', top_k=3) as opened:
        yield opened


def read(path: Path) -> Any:
    bgr = cv2.imread(str(path))
    assert bgr is not None, path
    return bgr


def test_a_file_read_by_opencv(classifier: ImageClassifier, photos: Path) -> None:
    results = classifier.classify(read(photos / 'coffee.png'))
    assert len(results) == 3 and results[0].index == ESPRESSO
    assert results[0].name == 'espresso' and 0.5 < results[0].score <= 1.0


@pytest.mark.parametrize('kind', [bytes, bytearray, memoryview, lambda data: np.frombuffer(
    data, np.uint8)])
def test_encoded_bytes(classifier: ImageClassifier, photos: Path, kind: Any) -> None:
    content = kind((photos / 'goldfish.jpg').read_bytes())
    assert classifier.classify(content)[0].index == GOLDFISH


def test_grey_is_what_equal_channels_are(classifier: ImageClassifier, photos: Path) -> None:
    grey = cv2.cvtColor(read(photos / 'goldfish.jpg'), cv2.COLOR_BGR2GRAY)
    expected = classifier.classify(cv2.merge((grey, grey, grey)))
    for found, one in zip(classifier.classify(grey), expected):
        assert found.index == one.index and found.score == pytest.approx(one.score, abs=0.05)


@pytest.mark.parametrize('encoding, shape', [
    ('rgb8', (8, 12, 3)), ('bgr8', (8, 12, 3)), ('bgra8', (8, 12, 4)), ('mono8', (8, 12)),
    ('nv12', (12, 12)), ('nv21', (12, 12)), ('nv24', (24, 12)), ('uyvy', (8, 12, 2)),
    ('yuyv', (8, 12, 2)), ('bayer_rggb8', (8, 12))])
def test_arrays_of_the_messages_encodings(encoding: str, shape: Any) -> None:
    view = encode(make_sample(12, 8), encoding)
    found = view_array(view.data[:int(np.prod(shape))].reshape(shape), encoding)
    assert found.layout == view.layout._replace(size=found.data.size)
    assert (found.data == view.data[:found.data.size]).all()


@pytest.mark.parametrize('order', ['<', '>'])
def test_deep_grey_of_either_byte_order(order: str) -> None:
    array = np.array([[0x1234, 0xABCD]], order + 'u2')
    found = view_array(array, 'mono16')
    assert found.data.tobytes() == b'\x34\x12\xcd\xab' and found.step == 4
    assert not found.is_bigendian


def test_a_part_of_an_array_is_taken_for_itself() -> None:
    array = make_sample(20, 10)
    found = view_array(array[2:6, 3:9], 'rgb8')
    assert (found.height, found.width, found.step) == (4, 6, 18)
    assert (found.data.reshape(4, 6, 3) == array[2:6, 3:9]).all()


@pytest.mark.parametrize('array, encoding, sentence', [
    (np.zeros((4, 4, 4), np.uint8), '', "four channels; say encoding='bgra8' or 'rgba8'"),
    (np.zeros((4, 4, 3), np.float32), '',
     'an array of float32 and shape (4, 4, 3) is no bgr8 image; expected uint8 and shape '
     '(height, width, 3)'),
    (np.zeros((4, 4, 2), np.uint8), '', 'expected uint8 and shape (height, width, 3)'),
    (np.zeros((4, 4), np.uint8), 'rgb8', 'expected uint8 and shape (height, width, 3)'),
    (np.zeros((4, 4), np.uint8), 'nv12', 'expected uint8 and shape (height * 3/2, width)'),
    (np.zeros((4, 4), np.uint8), 'mono16', 'expected uint16 and shape (height, width)'),
    (np.zeros((0, 4), np.uint8), '', 'an image of 4x0 has no pixels'),
    (np.zeros((), np.uint8), '', 'expected uint8'),
    (np.zeros((4, 4), np.uint8), 'x\n', "encoding 'x\\n' cannot be classified; expected one of")])
def test_arrays_that_are_no_such_image(array: Any, encoding: str, sentence: str) -> None:
    with pytest.raises(ImageMessageError, match=re.escape(sentence)):
        view_array(array, encoding)


def test_what_is_no_image(classifier: ImageClassifier) -> None:
    with pytest.raises(TypeError, match=r'NoneType is no image \(cv2.imread returns it'):
        classifier.classify(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match='str is no image; expected an array'):
        classifier.classify('coffee.png')  # type: ignore[arg-type]
    with pytest.raises(ImageMessageError, match='JPEG'):
        classifier.classify(b'no image')


def test_a_message_view(classifier: ImageClassifier, photos: Path) -> None:
    rgb = np.ascontiguousarray(read(photos / 'coffee.png')[:, :, ::-1])
    assert classifier.classify(encode(rgb, 'rgb8'))[0].index == ESPRESSO


@pytest.mark.parametrize('arguments, sentence', [
    ({'resize_mode': 'fit'}, "resize_mode 'fit' is not usable; expected one of auto, stretch"),
    ({'top_k': 0}, 'top_k 0 is not usable; expected at least 1'),
    ({'score_threshold': 1.5}, 'score_threshold 1.5 is not usable; expected 0 to 1'),
    ({'inference_timeout': 0.0}, 'inference_timeout 0.0 is not usable'),
    ({'thread_count': -1}, 'thread_count -1 is not usable')])
def test_arguments_out_of_range(arguments: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        ImageClassifier(**arguments)


def test_many_threads_get_each_their_own_results(photos: Path) -> None:
    """No more work at the same time than there are sessions, and no result is another one's."""
    pytest.importorskip('ai_edge_litert', reason='ai_edge_litert is not installed')
    images = [read(photos / name) for name in ('coffee.png', 'goldfish.jpg')]
    with ImageClassifier(top_k=1, thread_count=2) as shared:
        expected = [shared.classify(image) for image in images]
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(shared.classify, images * 20))
    assert results == expected * 20


def test_closing_waits_for_work_and_ends_the_waiting(
        photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('ai_edge_litert', reason='ai_edge_litert is not installed')
    began, may_end = threading.Event(), threading.Event()
    work = Classifier.classify

    def classify_when_told(*arguments: Any) -> Any:
        began.set()
        assert may_end.wait(30)
        return work(*arguments)

    monkeypatch.setattr(Classifier, 'classify', classify_when_told)
    image = read(photos / 'coffee.png')
    shared = ImageClassifier(thread_count=1)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(shared.classify, image)
        assert began.wait(30)
        closing = [pool.submit(shared.close) for _ in range(2)]
        second = pool.submit(shared.classify, image)
        may_end.set()
        assert first.result(30)[0].index == ESPRESSO
        assert [one.result(30) for one in closing] == [None, None]
        # Whether it still had its turn depends on who asked first.
        assert second.exception(30) is None or 'is closed' in str(second.exception())
    with pytest.raises(RuntimeError, match='this ImageClassifier is closed'):
        shared.classify(image)
    assert not shared.model.is_open


def test_the_package_alone_imports_nothing_heavy(start_python: StartPython) -> None:
    process = start_python('-c', (
        'import sys, mobilenetv2_ros; print({"cv2", "numpy"} & set(sys.modules));'
        'from mobilenetv2_ros import ImageClassifier; print("cv2" in sys.modules)'))
    output, errors = process.communicate(timeout=60)
    assert (output, errors) == ('set()\nTrue\n', '')


def test_unknown_names_of_the_package() -> None:
    with pytest.raises(AttributeError, match="'mobilenetv2_ros' has no attribute 'nothing'"):
        sys.modules['mobilenetv2_ros'].nothing
    assert ScoredClass('cat', 0.5, 3) == ('cat', 0.5, 3)


@pytest.mark.parametrize('arguments', [{'top_k': 2.5}, {'thread_count': 1.5}, {'top_k': '3'}])
def test_counts_that_are_no_whole_numbers(arguments: Any) -> None:
    with pytest.raises(ValueError, match='a whole number'):
        ImageClassifier(**arguments)


def test_images_wait_for_their_turn_encoded(
        classifier: ImageClassifier, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, at_work, most = (photos / 'dam.jpg').read_bytes(), [0], [0]
    decode = ImageClassifier.decode

    def count(*arguments: Any) -> Any:
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        time.sleep(0.01)
        try:
            return decode(*arguments)
        finally:
            at_work[0] -= 1

    monkeypatch.setattr(ImageClassifier, 'decode', count)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(classifier.classify, [content] * 16))
    assert most == [len(classifier.model.classifiers)]
