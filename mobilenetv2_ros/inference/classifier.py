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
One worker's way from an image to its most probable classes: pre_process, forward, post_process.

The node, the console tools and the benchmarks all classify through :class:`Classifier`; it knows
no ROS.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional

from mobilenetv2_ros.image import nv12
from mobilenetv2_ros.image.image_message import ImageView
from mobilenetv2_ros.image.nv12 import Nv12Converter
from mobilenetv2_ros.inference.backends.base import Session
from mobilenetv2_ros.inference.class_choice import Indices
from mobilenetv2_ros.inference.ranking import rank, RankedClass, Scores
from mobilenetv2_ros.inference.score_meaning import ScoreReader, show_probes


AUTO, STRETCH = 'auto', 'stretch'

RESIZE_MODES = (AUTO, *nv12.RESIZE_MODES)
"""The values of the parameter ``resize_mode``; ``auto``: what the model wants, else stretch."""


class ClassificationOptions(NamedTuple):
    """
    What may change from image to image.

    :param top_k: most classes in a result.
    :param score_threshold: least probability of a class in a result.
    :param resize_mode: one of :data:`RESIZE_MODES`.
    :param inference_timeout: seconds that one inference may take.
    """

    top_k: int = 5
    score_threshold: float = 0.0
    resize_mode: str = AUTO
    inference_timeout: float = 1.0


class Classifier:
    """Classify images with one session; one per thread."""

    def __init__(
            self, session: Session, reader: ScoreReader, resize_mode: str = STRETCH) -> None:
        """
        Take a session over.

        :param reader: of the model, shared with the other classifiers.
        :param resize_mode: what ``auto`` means to this model.
        """
        self._session = session
        self._reader = reader
        self._resize_mode = resize_mode
        self._converter = Nv12Converter()

    def classify(self, image: ImageView, options: ClassificationOptions) -> List[RankedClass]:
        """
        Classify one image.

        :returns: at most ``top_k`` classes, best first.
        :raises ImageMessageError: the image cannot be read.
        :raises BackendError: the engine failed.
        :raises ScoreRangeError: it gave no sensible scores.
        :raises ScoreTypeError: the scores are not what the user says they are.
        """
        self.pre_process(image, options)
        return self.post_process(self.forward(options), options)

    def pre_process(self, image: ImageView, options: ClassificationOptions) -> None:
        """Write the image into the session's memory."""
        mode = options.resize_mode if options.resize_mode != AUTO else self._resize_mode
        self._converter.convert(image, mode, self._session.input)

    def forward(self, options: ClassificationOptions) -> Scores:
        """Run the network; the scores are valid until the next run."""
        return self._session.run(options.inference_timeout)

    def post_process(self, scores: Scores, options: ClassificationOptions,
                     among: Optional[Indices] = None) -> List[RankedClass]:
        """
        Turn scores into ranked classes.

        :param among: see :func:`.ranking.rank`.
        """
        probabilities = self._reader.read(
            scores, lambda: self.forward(options), lambda: self._run_on_grey(options))
        return rank(probabilities, options.top_k, options.score_threshold, among)

    def _run_on_grey(self, options: ClassificationOptions) -> Scores:
        # The border of a letterbox, which is written once, is of the same grey.
        next(show_probes(self._session.input))
        return self.forward(options)
