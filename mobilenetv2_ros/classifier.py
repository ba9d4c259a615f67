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
One worker's way from a picture to its most probable classes: pre_process, forward, post_process.

The node, the console tools and the benchmarks all classify through :class:`Classifier`; it knows
no ROS.
"""

from __future__ import annotations

from typing import Callable, List, NamedTuple

from mobilenetv2_ros.backends.base import Backend, ModelError, Session
from mobilenetv2_ros.image_message import ImageView
from mobilenetv2_ros.labels import Labels
from mobilenetv2_ros.nv12 import Nv12Converter
from mobilenetv2_ros.ranking import (
    find_range, look_like_probabilities, rank, RankedClass, Scores, to_probabilities)

_GREY = 125, 128


class Settings(NamedTuple):
    """
    What may change from picture to picture.

    :param top_k: most classes in a result.
    :param score_threshold: least probability of a class in a result.
    :param resize_mode: one of :data:`mobilenetv2_ros.nv12.RESIZE_MODES`.
    :param inference_timeout: seconds that one inference may take.
    """

    top_k: int = 5
    score_threshold: float = 0.0
    resize_mode: str = 'stretch'
    inference_timeout: float = 1.0


class ScoreMeaning(NamedTuple):
    """How a model's scores map to classes."""

    are_logits: bool
    has_background: bool


def probe(backend: Backend, session: Session, labels: Labels, timeout: float) -> ScoreMeaning:
    """
    Run a model once on a grey picture: it must work, and its scores show what they are.

    :raises ModelError: the model's classes are not those of the labels.
    :raises BackendError: the engine fails.
    :raises ScoreRangeError: it gives NaN or infinite scores.
    """
    scores, classes = backend.info.score_count, len(labels.names)
    if scores not in (classes, classes + 1):
        raise ModelError(
            f"model '{backend.info.name}' has {scores} classes, but labels_path names {classes}; "
            'set labels_path to the label file of this model')
    session.input.y[:], session.input.uv[:] = _GREY
    found = session.run(timeout)
    find_range(found)  # what is no probability must at least be usable as logits
    return ScoreMeaning(
        are_logits=not look_like_probabilities(found),
        has_background=scores == classes + 1)


class Classifier:
    """Classify pictures with one session; one per thread."""

    def __init__(self, session: Session, meaning: ScoreMeaning,
                 settings: Callable[[], Settings]) -> None:
        """
        Take a session over.

        :param settings: returns those in force; asked once for each picture.
        """
        self._session = session
        self._meaning = meaning
        self._settings = settings
        self._converter = Nv12Converter()

    def classify(self, view: ImageView) -> List[RankedClass]:
        """
        Classify one picture.

        :returns: at most ``top_k`` classes, best first.
        :raises ImageMessageError: the picture cannot be read.
        :raises BackendError: the engine failed.
        :raises ScoreRangeError: it gave no sensible scores.
        """
        settings = self._settings()
        self.pre_process(view, settings)
        return self.post_process(self.forward(settings), settings)

    def pre_process(self, view: ImageView, settings: Settings) -> None:
        """Write the picture into the session's memory."""
        self._converter.convert(view, settings.resize_mode, self._session.input)

    def forward(self, settings: Settings) -> Scores:
        """Run the network; the scores are valid until the next run."""
        return self._session.run(settings.inference_timeout)

    def post_process(self, scores: Scores, settings: Settings) -> List[RankedClass]:
        """Turn scores into ranked classes."""
        probabilities = to_probabilities(scores, self._meaning.are_logits)
        if self._meaning.has_background:
            probabilities = probabilities[1:]
        return rank(probabilities, settings.top_k, settings.score_threshold)
