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

from contextlib import ExitStack
from pathlib import Path
from typing import Callable

from mobilenetv2_ros.backends.base import Session
from mobilenetv2_ros.backends.registry import AUTO, can_open_bin, open_backend
from mobilenetv2_ros.classifier import Classifier, probe, Settings
from mobilenetv2_ros.labels import Labels, read_labels
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
                 labels_path: str = '', backend: str = AUTO, session_count: int = 0) -> None:
        """
        Open a model and try it once.

        :param settings: returns those in force; asked for each picture.
        :param model_path: empty to look for one, see :func:`choose_model`.
        :param labels_path: empty for ImageNet's.
        :param backend: one of :data:`mobilenetv2_ros.backends.registry.BACKENDS`.
        :param session_count: pictures at the same time, 0 for the backend's default.
        :raises LabelError: the labels cannot be read.
        :raises BackendError: the model cannot be opened or does not work.
        """
        self.labels_path = find_labels(labels_path)
        self.labels: Labels = read_labels(self.labels_path)
        self.model_path: Path = choose_model(model_path)
        self.backend, count = open_backend(self.model_path, backend, session_count)
        self._opened = ExitStack()
        self._opened.callback(self.backend.close)
        try:
            sessions = [self._open_session() for _ in range(count)]
            meaning = probe(
                self.backend, sessions[0], self.labels, settings().inference_timeout)
        except BaseException:
            self.close()
            raise
        self.classifiers = [Classifier(session, meaning, settings) for session in sessions]

    def close(self) -> None:
        """
        Free all memory and the model; no classifier may be at work.

        :raises BackendError: something could not be freed; all the rest has been.
        """
        self._opened.close()

    def _open_session(self) -> Session:
        session = self.backend.open_session()
        self._opened.callback(session.close)
        return session
