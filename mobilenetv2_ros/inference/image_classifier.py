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
Classify images in Python, without ROS.

.. code-block:: python

    from mobilenetv2_ros import ImageClassifier

    with ImageClassifier(top_k=3) as classifier:
        for result in classifier.classify(cv2.imread('photos/coffee.png')):
            print(result.name, result.score, result.index)
"""

from __future__ import annotations

from contextlib import contextmanager
from numbers import Integral
import os
from queue import SimpleQueue
import threading
from types import TracebackType
from typing import Any, Iterator, List, NamedTuple, Optional, Type, Union

from mobilenetv2_ros.image.compressed_image import decode_compressed
from mobilenetv2_ros.image.image_array import EncodedBytes, view_array, view_encoded
from mobilenetv2_ros.image.image_message import CompressedView, DEFAULT_MAX_PIXELS, ImageView
from mobilenetv2_ros.image.sample_depth import SampleDepth
from mobilenetv2_ros.inference.backends.registry import AUTO
from mobilenetv2_ros.inference.classifier import (
    ClassificationOptions, Classifier, RESIZE_MODES)
from mobilenetv2_ros.inference.loaded_model import LoadedModel
from mobilenetv2_ros.inference.score_meaning import SCORE_TYPES
import numpy as np
from numpy.typing import NDArray

_DEFAULTS = ClassificationOptions()

AnyImage = Union[NDArray[Any], EncodedBytes, ImageView]


class ScoredClass(NamedTuple):
    """
    A class that an image shows.

    :param name: unique among the model's classes.
    :param score: from 0 to 1.
    :param index: of the class, from 0, without a background class.
    """

    name: str
    score: float
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls


class ImageClassifier:
    """
    A model that classifies images; to be closed, or used in a ``with`` statement.

    Any number of threads may call :meth:`classify`; ``thread_count`` of them work at the same
    time, the others wait for their turn.
    """

    def __init__(
            self, model_path: Union[str, os.PathLike[str]] = '',
            labels_path: Union[str, os.PathLike[str]] = '', backend: str = AUTO,
            resize_mode: str = _DEFAULTS.resize_mode, top_k: int = _DEFAULTS.top_k,
            score_threshold: float = _DEFAULTS.score_threshold, thread_count: int = 0,
            inference_timeout: float = _DEFAULTS.inference_timeout,
            score_type: str = AUTO, trust_model: bool = False) -> None:
        """
        Open a model. The arguments are the node's parameters, with the same defaults.

        :param model_path: a ``.bin``, ``.tflite`` or ``.onnx`` file; empty for a MobileNetV2 that
            was downloaded or preinstalled, otherwise the bundled model.
        :param labels_path: file with the class names; empty for the 1000 ImageNet classes.
        :param backend: ``auto``, ``libdnn``, ``hobot_dnn``, ``litert`` or ``onnx``.
        :param resize_mode: ``auto``, ``stretch``, ``crop`` or ``letterbox``.
        :param top_k: maximum number of classes per image.
        :param score_threshold: minimum score, 0 to 1, for a class to be returned.
        :param thread_count: number of images processed at the same time; 0: 4 on the BPU (2 with
            hobot_dnn), 1 on the CPU.
        :param inference_timeout: seconds the BPU may take for an image.
        :param score_type: ``auto``, ``probabilities``, ``logits`` or ``multi_label``.
        :param trust_model: do not try an unknown model file in a process of its own first.
        :raises ValueError: an argument is out of range, or the labels cannot be read
            (:class:`mobilenetv2_ros.inference.labels.LabelError`).
        :raises mobilenetv2_ros.inference.backends.base.BackendError: the model cannot be opened or
            does not work.
        """
        self._options = ClassificationOptions(
            top_k, score_threshold, resize_mode, inference_timeout)
        _check(self._options, thread_count, score_type)
        self._model = LoadedModel(
            os.fspath(model_path), os.fspath(labels_path), backend, thread_count,
            inference_timeout, score_type=score_type,
            trust_model=trust_model)
        self._idle: SimpleQueue[Classifier] = SimpleQueue()
        for classifier in self._model.classifiers:
            self._idle.put(classifier)
        self._depth = SampleDepth()
        self._closing = threading.Lock()
        self._is_closed = False

    def __enter__(self) -> ImageClassifier:
        """Return itself; the end of the ``with`` statement closes it."""
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        """Close it."""
        self.close()

    @property
    def model(self) -> LoadedModel:
        """Return the model: its file, engine, class names and what its scores mean."""
        return self._model

    def classify(self, image: AnyImage, encoding: str = '') -> List[ScoredClass]:
        """
        Classify an image.

        :param image: an array, uint8, shape (height, width, 3) in the order blue, green, red as
            OpenCV reads files, or (height, width) for grey; the bytes of a JPEG or PNG file; or an
            :class:`~mobilenetv2_ros.image.image_message.ImageView`, taken as it is.
        :param encoding: what an array holds where it is neither bgr8 nor mono8, one of the
            encodings that the node takes; see
            :func:`~mobilenetv2_ros.image.image_array.view_array` for the shapes. Samples of 16
            bits are taken for as many as the brightest one so far needs.
        :returns: at most ``top_k`` classes, best first.
        :raises TypeError: it is none of these.
        :raises mobilenetv2_ros.image.image_message.ImageMessageError: a ``ValueError``: the image
            cannot be read or is not what ``encoding`` says.
        :raises mobilenetv2_ros.inference.backends.base.BackendError: a ``RuntimeError``: the
            engine failed.
        :raises mobilenetv2_ros.inference.ranking.ScoreRangeError: a ``ValueError``: the model gave
            scores that are no numbers.
        :raises RuntimeError: the classifier is closed.
        """
        with self._borrow() as classifier:
            # Here, so that no more images are decoded at the same time than are classified.
            classes = classifier.classify(self._view(image, encoding), self._options)
        names = self._model.labels.names
        return [ScoredClass(names[one.index], one.probability, one.index) for one in classes]

    def close(self) -> None:
        """
        Wait for images that are being classified, then close the model; it may be closed twice.

        :raises mobilenetv2_ros.inference.backends.base.BackendError: something could not be freed;
            all the rest has been.
        """
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
            classifiers = [self._idle.get() for _ in self._model.classifiers]
            try:
                self._model.close()
            finally:
                for classifier in classifiers:  # who waits for one shall hear that it is closed
                    self._idle.put(classifier)

    @contextmanager
    def _borrow(self) -> Iterator[Classifier]:
        """Take a classifier that no other thread works with."""
        classifier = self._idle.get()
        try:
            if self._is_closed:
                raise RuntimeError('this ImageClassifier is closed')
            yield classifier
        finally:
            self._idle.put(classifier)

    def _view(self, image: AnyImage, encoding: str) -> ImageView:
        if isinstance(image, ImageView):
            return image
        if isinstance(image, np.ndarray) and (encoding or image.ndim != 1):
            return self._depth.mark(view_array(image, encoding))
        if isinstance(image, (np.ndarray, bytes, bytearray, memoryview)):
            return self._depth.mark(self.decode(view_encoded(image)))
        hint = ' (cv2.imread returns it for a file that it cannot read)' if image is None else ''
        raise TypeError(
            f'{type(image).__name__} is no image{hint}; expected an array, the bytes of a JPEG or '
            'PNG file, or an ImageView')

    def decode(self, encoded: CompressedView) -> ImageView:
        """
        Decode an image as far as the model's input needs it.

        :raises mobilenetv2_ros.image.image_message.ImageMessageError: it is neither JPEG nor PNG,
            or damaged.
        """
        info = self._model.backend.info
        return decode_compressed(
            encoded, info.height, info.width,
            self._model.choose_resize_mode(self._options.resize_mode), DEFAULT_MAX_PIXELS)


def _check(options: ClassificationOptions, thread_count: int, score_type: str) -> None:
    """Refuse what would only fail with the first image, or silently give nothing."""
    for name, value, is_good, expected in (
            ('resize_mode', options.resize_mode, options.resize_mode in RESIZE_MODES,
             f"one of {', '.join(RESIZE_MODES)}"),
            ('score_type', score_type, score_type in SCORE_TYPES,
             f"one of {', '.join(SCORE_TYPES)}"),
            ('top_k', options.top_k, _is_whole(options.top_k, 1), 'at least 1, a whole number'),
            ('score_threshold', options.score_threshold, 0 <= options.score_threshold <= 1,
             '0 to 1'),
            ('inference_timeout', options.inference_timeout, options.inference_timeout > 0,
             'more than 0'),
            ('thread_count', thread_count, _is_whole(thread_count, 0),
             'at least 0, a whole number')):
        if not is_good:
            raise ValueError(f'{name} {value!r} is not usable; expected {expected}')


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, Integral) and int(value) >= least
