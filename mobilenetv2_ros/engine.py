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
from pathlib import Path
from typing import Callable, Optional

from mobilenetv2_ros.backends.base import BackendError, ModelError, Session
from mobilenetv2_ros.backends.registry import AUTO, can_open_bin, open_backend
from mobilenetv2_ros.classifier import Classifier, probe, ScoreMeaning, Settings
from mobilenetv2_ros.labels import Labels, read_labels
from mobilenetv2_ros.ranking import ScoreRangeError
from mobilenetv2_ros.resources import find_labels, find_model


def choose_model(model_path: str) -> Path:
    """
    Choose the model file for this machine.

    :param model_path: as the user gave it; empty to look for one, see
        :func:`mobilenetv2_ros.resources.find_model`.
    """
    return find_model(model_path, has_bpu=not model_path and can_open_bin())


class Engine:
    """Owns the backend and its sessions from opening to :meth:`close`."""

    def __init__(self, settings: Callable[[], Settings], model_path: str = '',
                 labels_path: str = '', backend: str = AUTO, session_count: int = 0,
                 is_cancelled: Optional[Callable[[], bool]] = None) -> None:
        """
        Open a model and try it once.

        :param settings: returns those in force; asked for each picture.
        :param model_path: empty to look for one, see :func:`choose_model`.
        :param labels_path: empty for ImageNet's.
        :param backend: one of :data:`mobilenetv2_ros.backends.registry.BACKENDS`.
        :param session_count: pictures at the same time, 0 for the backend's default.
        :param is_cancelled: see :attr:`mobilenetv2_ros.backends.base.Backend.is_cancelled`.
        :raises LabelError: the labels cannot be read.
        :raises BackendError: the model cannot be opened or does not work.
        """
        self.labels_path = find_labels(labels_path)
        self.labels: Labels = read_labels(self.labels_path)
        self.model_path: Path = choose_model(model_path)
        self._settings = settings
        self._is_cancelled = is_cancelled
        self._opened = ExitStack()
        self._meaning: Optional[ScoreMeaning] = None
        self._open(backend, session_count)

    @property
    def is_open(self) -> bool:
        """Whether the classifiers can be used."""
        return self._is_open

    @property
    def remark(self) -> str:
        """What a user should know of the model, to be put behind its name; mostly empty."""
        has_background = self._meaning is not None and self._meaning.has_background
        return ', its first class taken for the background' if has_background else ''

    def reopen(self) -> None:
        """
        Close the model and open its file again, with the same engine and the same labels.

        If it fails the engine stays closed and can be reopened later. No classifier may be at
        work; there are new ones afterwards.

        :raises BackendError: the model cannot be opened, does not work, or gives other scores than
            before.
        """
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
        self.backend, count = open_backend(self.model_path, kind, session_count)
        self._opened.callback(self.backend.close)
        if self._is_cancelled is not None:
            self.backend.is_cancelled = self._is_cancelled
        try:
            sessions = [self._open_session() for _ in range(count)]
            meaning = self._probe(sessions[0])
            self.backend.settle()
        except BaseException:
            with suppress(BackendError):  # the first error is the one to tell
                self.close()
            raise
        self.classifiers = [Classifier(session, meaning, self._settings) for session in sessions]
        self._is_open = True

    def _probe(self, session: Session) -> ScoreMeaning:
        """Try the model; what its scores mean is found out once, when the engine is sound."""
        try:
            meaning = probe(
                self.backend, session, self.labels, self._settings().inference_timeout)
        except ScoreRangeError as error:
            raise ModelError(f"model '{self.model_path}' is unusable: {error}") from None
        if self._meaning is None:
            self._meaning = meaning
        if meaning != self._meaning:
            raise ModelError(
                f"model '{self.model_path}' gives scores of another kind than before; if the file "
                'was replaced, clean up and configure the node')
        return meaning

    def _open_session(self) -> Session:
        session = self.backend.open_session()
        self._opened.callback(session.close)
        return session
