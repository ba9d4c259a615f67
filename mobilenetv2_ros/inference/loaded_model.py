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

"""A model, opened and ready: its backend, and one classifier for each frame in flight."""

from __future__ import annotations

from contextlib import ExitStack, suppress
import logging
from pathlib import Path
from typing import Callable, Optional

from mobilenetv2_ros.cancellation import CancelToken
from mobilenetv2_ros.inference.backends.base import BackendError, ModelError, Session
from mobilenetv2_ros.inference.backends.registry import AUTO, can_open_bin, open_backend
from mobilenetv2_ros.inference.classifier import ClassificationOptions, Classifier, STRETCH
from mobilenetv2_ros.inference.labels import Labels, parse_labels, read_labels
from mobilenetv2_ros.inference.model_description import ModelDescription
from mobilenetv2_ros.inference.ranking import ScoreRangeError
from mobilenetv2_ros.inference.score_meaning import (
    list_probes, ScoreReader, ScoreTypeError, settle_meaning, Source)
from mobilenetv2_ros.resources import find_labels, find_model

_WITH_BACKGROUND = 1001
"""Scores of TensorFlow's models of the 1000 ImageNet classes, which the package brings along."""


def choose_model(model_path: str) -> Path:
    """
    Choose the model file for this machine.

    :param model_path: as the user gave it; empty to look for one, see
        :func:`mobilenetv2_ros.resources.find_model`.
    """
    return find_model(model_path, has_bpu=not model_path and can_open_bin())


class LoadedModel:
    """Owns the backend and its sessions from opening to :meth:`close`."""

    def __init__(self, model_path: str = '', labels_path: str = '', backend: str = AUTO,
                 session_count: int = 0,
                 inference_timeout: float = ClassificationOptions().inference_timeout,
                 cancel_token: Optional[CancelToken] = None, score_type: str = AUTO,
                 trust_model: bool = False,
                 warn: Callable[[str], object] = logging.getLogger(__package__).warning) -> None:
        """
        Open a model and try it once.

        :param model_path: empty to look for one, see :func:`choose_model`.
        :param labels_path: empty for those that the sidecar names or the model file holds, else
            ImageNet's.
        :param backend: one of :data:`mobilenetv2_ros.inference.backends.registry.BACKENDS`.
        :param session_count: images at the same time, 0 for the backend's default.
        :param inference_timeout: seconds that each inference of the trial may take.
        :param cancel_token: lets inferences that take long be given up.
        :param score_type: one of :data:`mobilenetv2_ros.inference.score_meaning.SCORE_TYPES`.
        :param trust_model: do not try the model in a process of its own first.
        :param warn: takes a sentence when it turns out that scores are others than they seemed.
        :raises LabelError: the labels cannot be read.
        :raises BackendError: the model cannot be opened or does not work.
        """
        self.model_path: Path = choose_model(model_path)
        self._labels_path = labels_path
        self._score_type = score_type
        self._trust_model = trust_model
        self._warn = warn
        self._inference_timeout = inference_timeout
        self._cancel_token = cancel_token or CancelToken()
        self._opened = ExitStack()
        self._reader: Optional[ScoreReader] = None
        self._description: Optional[ModelDescription] = None
        self._open(backend, session_count)

    @property
    def is_open(self) -> bool:
        """Whether the classifiers can be used."""
        return self._is_open

    @property
    def summary(self) -> str:
        """
        How images become scores and scores classes, for people.

        In brackets stands who says so: a parameter, the sidecar, the model file, or nobody.
        """
        parts = [self.backend.input_text or f'{self.backend.info.width}x'
                 f'{self.backend.info.height} NV12']
        if self.labels_path != find_labels(''):
            parts.append(f'labels: {self.labels.form}')
        if self._reader is not None:
            parts.append(f'scores: {self._reader.meaning}')
        description = self.backend.description
        if description.resize_mode:
            parts.append(f'resize_mode auto: {description.resize_mode} [{description.source}]')
        return '; '.join(parts)

    def choose_resize_mode(self, mode: str) -> str:
        """
        Tell what ``auto`` means to this model.

        :param mode: a value of the parameter ``resize_mode``.
        """
        return mode if mode != AUTO else self.backend.description.resize_mode or STRETCH

    def reopen(self, inference_timeout: Optional[float] = None) -> None:
        """
        Close the model and open its file again, with the same engine and the same labels.

        If it fails the engine stays closed and can be reopened later. No classifier may be at
        work; there are new ones afterwards.

        :param inference_timeout: seconds that the trial may take from now on; None: as before.
        :raises BackendError: the model cannot be opened, does not work, or gives other scores than
            before.
        """
        if inference_timeout is not None:
            self._inference_timeout = inference_timeout
        with suppress(BackendError):  # what cannot be freed must not keep the rest from working
            self.close()
        self._open(self.backend.kind, len(self.classifiers))

    def close(self) -> None:
        """
        Free all memory and the model; no classifier may be at work.

        :raises BackendError: something could not be freed; all the rest has been.
        """
        self._is_open = False
        self._opened.close()

    def _open(self, kind: str, session_count: int) -> None:
        self.backend, count = open_backend(
            self.model_path, kind, session_count, self._description, self._trust_model)
        self._opened.callback(self.backend.close)
        self._description = self.backend.description
        self.backend.cancel_token = self._cancel_token
        self.backend.has_inferred = self._reader is not None  # before it was closed
        try:
            sessions = [self._open_session() for _ in range(count)]
            if self._reader is None:
                self._read_labels()
                reader = self._find_meaning(sessions[0])
            else:
                reader = self._try_again(sessions[0], self._reader)
            self.backend.settle()
        except BaseException:
            with suppress(BackendError):  # the first error is the one to tell
                self.close()
            raise
        self._reader = reader
        resize_mode = self.choose_resize_mode(AUTO)
        self.classifiers = [Classifier(session, reader, resize_mode) for session in sessions]
        self._is_open = True

    def _read_labels(self) -> None:
        """Take the labels that the parameter names, else the sidecar, the model file, nobody."""
        path, packed = self.backend.description.labels, self.backend.packed_labels
        if packed and not (self._labels_path or path):
            self.labels_path = self.model_path
            self.labels: Labels = parse_labels(
                packed, f"label file inside the model file '{self.model_path}'")
            return
        self.labels_path = find_labels(self._labels_path) if (
            self._labels_path or path is None) else path
        self.labels = read_labels(self.labels_path)

    def _find_meaning(self, session: Session) -> ScoreReader:
        """Try the model, and find out what its scores mean: once, when the engine is sound."""
        has_background = self._has_background()
        description, backend = self.backend.description, self.backend
        wanted, source = self._score_type, Source.PARAMETER
        if wanted == AUTO:
            wanted, source = description.score_type or AUTO, Source.DESCRIPTION
        scores = list_probes(
            session.input, lambda: session.run(self._inference_timeout),
            is_known=backend.score_type is not None)
        try:
            meaning = settle_meaning(
                wanted, source, backend.score_type, scores, backend.score_step)
        except (ScoreRangeError, ScoreTypeError) as error:
            raise ModelError(f"model '{self.model_path}' is unusable: {error}") from None
        meaning = meaning._replace(has_background=has_background)
        return ScoreReader(meaning, scores[0], self._warn)

    def _try_again(self, session: Session, reader: ScoreReader) -> ScoreReader:
        """Try a model whose meaning is known; a broken engine does not change it."""
        self._has_background()
        [grey] = list_probes(
            session.input, lambda: session.run(self._inference_timeout), is_known=True)
        try:
            is_same = reader.recognises(grey, self.backend.score_step)
        except (ScoreRangeError, ScoreTypeError) as error:
            raise ModelError(f"model '{self.model_path}' is unusable: {error}") from None
        if not is_same:
            raise ModelError(
                f"model '{self.model_path}' gives scores of another kind than before; if the file "
                'was replaced, clean up and configure the node')
        return reader

    def _has_background(self) -> bool:
        """
        Tell whether the first score belongs to no class.

        :raises ModelError: the model's classes are not those of the labels.
        """
        scores, classes = self.backend.info.score_count, len(self.labels.names)
        is_imagenet = (scores, self.labels_path) == (_WITH_BACKGROUND, find_labels(''))
        is_said = self.backend.description.background
        has_background = is_imagenet if is_said is None else is_said
        is_multi_label = 'multi_label' in (self._score_type, self.backend.description.score_type)
        expected = 2 if scores == 1 and not is_multi_label else scores - has_background
        if classes != expected:
            advice = 'set labels_path to the label file of this model'
            if scores == classes + 1:
                advice += (f', or say "background": true in \'{self.model_path}.json\' if its '
                           'first score is that of a background class')
            raise ModelError(
                f"model '{self.backend.info.name}' has {_count_classes(scores, expected)}"
                f"{' without the background' if has_background else ''}, but '{self.labels_path}' "
                f'names {classes}; {advice}')
        return has_background

    def _open_session(self) -> Session:
        session = self.backend.open_session()
        self._opened.callback(session.close)
        return session


def _count_classes(scores: int, expected: int) -> str:
    return 'one score, which means 2 classes' if (scores, expected) == (1, 2) else (
        f'{expected} classes')
