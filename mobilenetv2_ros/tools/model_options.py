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

"""What the programs that classify image files share: options, and a classifier as they say."""

from __future__ import annotations

import argparse
import re

from mobilenetv2_ros.inference.backends.registry import AUTO, BACKENDS
from mobilenetv2_ros.inference.classifier import ClassificationOptions, RESIZE_MODES
from mobilenetv2_ros.inference.image_classifier import ImageClassifier
from mobilenetv2_ros.inference.score_meaning import SCORE_TYPES
from mobilenetv2_ros.process_setup import set_up_process


_OPTIONS = {'model_path': '--model', 'labels_path': '--labels', 'resize_mode': '--resize-mode',
            'thread_count': '--threads', 'score_type': '--score-type',
            'trust_model': '--trust-model'}
"""By the node's parameters, which errors of the engine name."""


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add what the node has as parameters, with the same defaults."""
    defaults = ClassificationOptions()
    parser.add_argument(
        '--model', default='', metavar='PATH',
        help="model file, as the node's model_path (default: the node's choice)")
    parser.add_argument(
        '--labels', default='', metavar='PATH',
        help="class names, as the node's labels_path (default: the 1000 ImageNet classes)")
    parser.add_argument(
        '--backend', default=AUTO, choices=BACKENDS,
        help='inference engine (default: %(default)s)')
    parser.add_argument(
        '--resize-mode', default=defaults.resize_mode, choices=RESIZE_MODES,
        help='how an image is fitted to the model input (default: %(default)s)')
    parser.add_argument(
        '--score-type', default=AUTO, choices=SCORE_TYPES,
        help='what the scores of the model are (default: %(default)s)')
    parser.add_argument(
        '--trust-model', action='store_true',
        help='do not try an unknown model file in a process of its own first')


def name_options(sentence: str) -> str:
    """Put the names of the options in place of those of the parameters, but not of quoted keys."""
    return re.sub(
        rf"(?<!['\"])\b({'|'.join(_OPTIONS)})\b", lambda match: _OPTIONS[match[1]], sentence)


def parse_count(word: str, most: int, least: int = 1) -> int:
    """
    Parse a whole number from ``least``, which is not negative, to ``most``.

    :raises argparse.ArgumentTypeError: it is another number or none.
    """
    # The length is limited because Python refuses numbers of thousands of digits.
    is_number = word.isascii() and word.isdecimal() and len(word) < 20
    number = int(word) if is_number else -1
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"'{word}' is not usable; expected {least} to {most}")
    return number


def open_classifier(
        options: argparse.Namespace, thread_count: int, top_k: int) -> ImageClassifier:
    """
    Open the model that the options name, in a process set up like the node's.

    :param thread_count: images at the same time, 0 for the backend's default.
    :raises LabelError: the labels cannot be read.
    :raises BackendError: the model cannot be opened or does not work.
    """
    set_up_process()
    return ImageClassifier(
        options.model, options.labels, options.backend, options.resize_mode, top_k,
        thread_count=thread_count, score_type=options.score_type,
        trust_model=options.trust_model)
