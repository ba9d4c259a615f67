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

"""What the programs that classify picture files share: options, the engine, a view."""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from typing import Iterator

from mobilenetv2_ros.backends.registry import AUTO, BACKENDS
from mobilenetv2_ros.classifier import Settings
from mobilenetv2_ros.engine import Engine
from mobilenetv2_ros.image_message import Header, ImageView
from mobilenetv2_ros.nv12 import RESIZE_MODES
from mobilenetv2_ros.process_setup import set_up_process
from mobilenetv2_ros.tools.pictures import Pixels

_NO_HEADER = Header(0, 0, '')


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add what the node has as parameters, with the same defaults."""
    defaults = Settings()
    parser.add_argument(
        '--model', default='', metavar='PATH',
        help="model file, the node's model_path (default: the one the node takes)")
    parser.add_argument(
        '--labels', default='', metavar='PATH',
        help="class names, the node's labels_path (default: the 1000 ImageNet classes)")
    parser.add_argument(
        '--backend', default=AUTO, choices=BACKENDS,
        help='inference engine (default: %(default)s)')
    parser.add_argument(
        '--resize-mode', default=defaults.resize_mode, choices=RESIZE_MODES,
        help='how a picture fills the input (default: %(default)s)')


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


@contextmanager
def opened_engine(
        options: argparse.Namespace, settings: Settings, session_count: int) -> Iterator[Engine]:
    """
    Open the model that the options name, in a process set up like the node's.

    :param settings: for each picture.
    :param session_count: pictures at the same time, 0 for the backend's default.
    :raises LabelError: the labels cannot be read.
    :raises BackendError: the model cannot be opened or does not work.
    """
    set_up_process()
    engine = Engine(
        lambda: settings, options.model, options.labels, options.backend, session_count)
    try:
        yield engine
    finally:
        engine.close()


def view_picture(bgr: Pixels) -> ImageView:
    """Make of a picture what the node makes of a message, encoding bgr8."""
    height, width = bgr.shape[:2]
    data = bgr.reshape(-1)
    return ImageView(_NO_HEADER, height, width, 'bgr8', False, 3 * width, data)
