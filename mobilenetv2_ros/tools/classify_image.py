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
The program ``classify_image``: picture files to class names, on the way that the node goes.

The pictures are decoded to bgr8 and handed to the same engine as pictures of a topic.
"""

from __future__ import annotations

import argparse
from functools import partial
import json
import os
from pathlib import Path
import sys
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import cv2
from mobilenetv2_ros.backends.base import BackendError
from mobilenetv2_ros.classifier import Settings
from mobilenetv2_ros.engine import Engine
from mobilenetv2_ros.image_message import ImageMessageError
from mobilenetv2_ros.labels import LabelError
from mobilenetv2_ros.overlay import describe, draw_classes
from mobilenetv2_ros.ranking import RankedClass, ScoreRangeError
from mobilenetv2_ros.tools.photo_classifier import (
    add_model_options, opened_engine, parse_count, view_picture)
from mobilenetv2_ros.tools.pictures import Pixels, read_photo, SourceError
from mobilenetv2_ros.tools.printing import run_printing

_DESCRIPTION = 'Classify picture files the way the node classifies a topic.'

_HELP = """\
With --json the output is one object: model, backend, resize_mode, and pictures, each of them
with file, width, height, ms and classes (rank, name, index, score), and with error where something
went wrong.

exit code: 0 all pictures classified, 1 at least one not or no model, 2 wrong arguments

examples:
  classify_image dog.jpg
  classify_image --top-k 3 --output annotated/ photos/*.jpg
"""

_FALLBACK_SUFFIX = '.jpg'


class PictureError(RuntimeError):
    """A picture cannot be classified; the text names it and says why."""


class OutputError(ValueError):
    """Annotated pictures cannot be written as asked; the text says why."""


class Classified(NamedTuple):
    """
    A picture with its classes.

    :param bgr: uint8, shape (height, width, 3).
    :param classes: best first.
    :param milliseconds: from the decoded picture to the classes.
    """

    path: Path
    bgr: Pixels
    classes: List[RankedClass]
    milliseconds: float


def main(arguments: Optional[List[str]] = None) -> int:
    """
    Classify the pictures of the command line.

    :param arguments: by default those of the process.
    :returns: exit code.
    """
    options = _parse_arguments(arguments)
    return run_printing('classify_image', partial(_run, options))


def plan_targets(pictures: Sequence[Path], word: Optional[str]) -> Dict[Path, Path]:
    """
    Decide where each annotated picture goes.

    :param word: a file for a single picture, or a folder, which is made if it is missing.
    :returns: empty without ``word``.
    :raises OutputError: a file would be written twice, a picture overwritten, or there is no such
        home.
    """
    if word is None:
        return {}
    word = os.path.expanduser(word)
    if word.startswith('~'):
        raise OutputError(
            f"--output '{word}' names the home of an unknown user; put ./ in front for a folder "
            'of this name')
    output = Path(word)
    if _is_file_name(word):
        if len(pictures) > 1:
            raise OutputError(
                f"--output '{output}' names one file for {len(pictures)} pictures; give a folder")
        targets = {pictures[0]: output}
    else:
        targets = {picture: output / _annotated_name(picture) for picture in pictures}
    for picture, target in targets.items():
        if _are_the_same(picture, target):
            raise OutputError(f"--output '{target}' would overwrite the picture itself")
        if list(targets.values()).count(target) > 1:
            raise OutputError(
                f"two pictures would both be written to '{target}'; classify them one by one")
    return targets


def _is_file_name(word: str) -> bool:
    # A folder has a slash at its end, which a path does not keep.
    is_folder = os.path.basename(word) in ('', '.', '..') or os.path.isdir(word)
    return not is_folder and (os.path.isfile(word) or bool(Path(word).suffix))


def _are_the_same(picture: Path, target: Path) -> bool:
    # Unlike Path.exists() these do not raise for what this user may not enter.
    return os.path.exists(target) and os.path.exists(picture) and target.samefile(picture)


def _annotated_name(picture: Path) -> str:
    suffix = picture.suffix if _can_write(picture) else _FALLBACK_SUFFIX
    return f'{picture.stem}_classified{suffix}'


def _can_write(path: Path) -> bool:
    # Of a name without a suffix OpenCV makes an error, of one that is not UTF-8 a crash.
    suffix = path.suffix
    return bool(suffix) and suffix.isascii() and cv2.haveImageWriter(f'picture{suffix}')


def _parse_arguments(arguments: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='classify_image', description=_DESCRIPTION, epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('pictures', nargs='+', type=Path, metavar='PICTURE')
    add_model_options(parser)
    parser.add_argument(
        '--top-k', default=Settings().top_k, type=partial(parse_count, most=1000), metavar='N',
        help='most classes of a picture, 1 to 1000 (default: %(default)s)')
    parser.add_argument(
        '--output', metavar='FOLDER|FILE',
        help='write the pictures with their classes drawn on them, NAME_classified in the folder, '
             'or a single one to this file; with a slash at its end it is a folder')
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    options = parser.parse_args(arguments)
    # A picture named twice is one picture.
    options.pictures = list(dict.fromkeys(options.pictures))
    return options


def _run(options: argparse.Namespace) -> int:
    try:
        return _classify_all(options, plan_targets(options.pictures, options.output))
    except (LabelError, BackendError, OutputError) as error:
        _complain(error)
        return 1


def _classify_all(options: argparse.Namespace, targets: Dict[Path, Path]) -> int:
    results: List[Dict[str, Any]] = []
    settings = Settings(top_k=options.top_k, resize_mode=options.resize_mode)
    with opened_engine(options, settings, session_count=1) as engine:
        if not options.json:
            print(f'model {engine.model_path} ({engine.backend.kind}){engine.remark}')
        for path in options.pictures:
            results.append(_handle(engine, path, targets.get(path), options.json))
        if options.json:
            print(json.dumps({
                'model': str(engine.model_path), 'backend': engine.backend.kind,
                'resize_mode': options.resize_mode, 'pictures': results}))
    return 1 if any('error' in result for result in results) else 0


def _handle(
        engine: Engine, path: Path, target: Optional[Path], is_quiet: bool) -> Dict[str, Any]:
    """Classify a picture, print it and write it; what goes wrong is told, not raised."""
    try:
        picture = _classify(engine, path)
    except PictureError as error:
        _complain(error)
        return {'file': str(path), 'error': str(error)}
    names = engine.labels.names
    if not is_quiet:
        print(_to_text(picture, names), flush=True)
    result = _to_json(picture, names)
    if target is not None:
        try:
            write_annotated(picture, names, target)
        except OutputError as error:
            _complain(error)
            result['error'] = str(error)
    return result


def _classify(engine: Engine, path: Path) -> Classified:
    try:
        bgr = read_photo(path)
    except SourceError as error:
        raise PictureError(str(error)) from None
    start = time.perf_counter()
    try:
        classes = engine.classifiers[0].classify(view_picture(bgr))
    except (BackendError, ImageMessageError, ScoreRangeError) as error:
        raise PictureError(f"'{path}': {error}") from None
    return Classified(path, bgr, classes, (time.perf_counter() - start) * 1e3)


def write_annotated(picture: Classified, names: Sequence[str], target: Path) -> None:
    """
    Draw the classes on a picture and write it; a missing folder is made.

    :raises OutputError: the format is unknown or the file cannot be written.
    """
    if not _can_write(target):
        raise OutputError(
            f"'{target}' cannot be written: OpenCV has no such format; expected .jpg or .png")
    annotated = draw_classes(picture.bgr, describe(picture.classes, names))
    place = target.parent
    try:
        _, content = cv2.imencode(target.suffix, annotated)
        place.mkdir(parents=True, exist_ok=True)
        place = target
        _write_whole(target, content.tobytes())
    except OSError as error:
        raise OutputError(f"'{place}' cannot be written: {error.strerror}") from None
    except cv2.error as error:
        raise OutputError(f"'{target}' cannot be written: {error.err}") from None


def _write_whole(target: Path, content: bytes) -> None:
    """Write a file, or leave what is there: on a full disk no cut picture may pass for one."""
    target = Path(os.path.realpath(target))
    fresh = target.with_name(f'.classify_image.{os.getpid()}')
    try:
        fresh.write_bytes(content)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def _to_text(picture: Classified, names: Sequence[str]) -> str:
    height, width = picture.bgr.shape[:2]
    lines = [f'\n{picture.path}  {width}x{height}, {picture.milliseconds:.1f} ms',
             'rank  score  index  class']
    lines += [f'{rank:4}  {one.probability:.3f}  {one.index:5}  {names[one.index]}'
              for rank, one in enumerate(picture.classes, 1)]
    return '\n'.join(lines)


def _to_json(picture: Classified, names: Sequence[str]) -> Dict[str, Any]:
    height, width = picture.bgr.shape[:2]
    return {
        'file': str(picture.path), 'width': width, 'height': height,
        'ms': picture.milliseconds,
        'classes': [
            {'rank': rank, 'name': names[one.index], 'index': one.index,
             'score': one.probability}
            for rank, one in enumerate(picture.classes, 1)]}


def _complain(error: Exception) -> None:
    print(f'classify_image: {error}', file=sys.stderr)


if __name__ == '__main__':
    sys.exit(main())
