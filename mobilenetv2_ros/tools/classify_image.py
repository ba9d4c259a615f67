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
The program ``classify_image``: image files to class names, on the way that the node goes.

The images are decoded to bgr8 and handed to the same engine as images of a topic.
"""

from __future__ import annotations

import argparse
from collections import Counter
from functools import partial
import json
import os
from pathlib import Path
import sys
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import cv2
from mobilenetv2_ros.image.nv12 import Pixels
from mobilenetv2_ros.image.overlay import describe, draw_classes
from mobilenetv2_ros.inference.backends.base import BackendError
from mobilenetv2_ros.inference.classifier import ClassificationOptions
from mobilenetv2_ros.inference.image_classifier import ImageClassifier, ScoredClass
from mobilenetv2_ros.inference.labels import LabelError
from mobilenetv2_ros.tools.model_options import (
    add_model_options, name_options, open_classifier, parse_count)
from mobilenetv2_ros.tools.printing import run_printing
from mobilenetv2_ros.tools.sources import read_image, SourceError

_DESCRIPTION = 'Classify image files the way the node classifies a topic.'

_HELP = """\
With --json the output is one object: model, backend, resize_mode, summary (how images become
scores and scores classes), and images, each of them with file, width, height, ms and classes
(rank, name, index, score), and with error where something went wrong.

exit code: 0 all images classified, 1 at least one not or no model, 2 wrong arguments

examples:
  classify_image dog.jpg
  classify_image --top-k 3 --output annotated/ photos/*.jpg
"""

_FALLBACK_SUFFIX = '.jpg'

_COLOURLESS_SUFFIXES = '.pgm', '.pbm'
"""Of formats that hold no colours, and so no annotated image."""


class ImageError(RuntimeError):
    """An image cannot be classified; the text names it and says why."""


class OutputError(ValueError):
    """Annotated images cannot be written as asked; the text says why."""


class Classified(NamedTuple):
    """
    An image with its classes.

    :param bgr: uint8, shape (height, width, 3).
    :param classes: best first.
    :param milliseconds: from the decoded image to the classes.
    """

    path: Path
    bgr: Pixels
    classes: List[ScoredClass]
    milliseconds: float


def main(arguments: Optional[List[str]] = None) -> int:
    """
    Classify the images of the command line.

    :param arguments: by default those of the process.
    :returns: exit code.
    """
    options = _parse_arguments(arguments)
    return run_printing('classify_image', partial(_run, options))


def plan_targets(images: Sequence[Path], word: Optional[str]) -> Dict[Path, Path]:
    """
    Decide where each annotated image goes.

    :param word: a file for a single image, or a folder, which is made if it is missing.
    :returns: empty without ``word``.
    :raises OutputError: a file would be written twice, an image overwritten, or there is no such
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
        if len(images) > 1:
            raise OutputError(
                f"--output '{output}' names one file for {len(images)} images; give a folder")
        targets = {images[0]: output}
    else:
        targets = {image: output / _annotated_name(image) for image in images}
    inputs = {_identify(image): image for image in images}
    inputs.pop(None, None)  # those that do not exist
    counts = Counter(targets.values())
    for image, target in targets.items():
        overwritten = inputs.get(_identify(target))
        if overwritten is not None:
            raise OutputError(f"--output '{target}' would overwrite " + (
                'the image itself' if overwritten == image else
                f"'{overwritten}', which is to be classified too"))
        if counts[target] > 1:
            raise OutputError(
                f"two images would both be written to '{target}'; classify them one by one")
    return targets


def _is_file_name(word: str) -> bool:
    # A folder has a slash at its end, which a path does not keep.
    is_folder = os.path.basename(word) in ('', '.', '..') or os.path.isdir(word)
    return not is_folder and (os.path.isfile(word) or bool(Path(word).suffix))


def _identify(path: Path) -> Optional[Tuple[int, int]]:
    """Return what a file has under each of its names; None if there is none to be seen."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # a name with a zero byte is none
        return None
    return status.st_dev, status.st_ino


def _annotated_name(image: Path) -> str:
    suffix = image.suffix if _can_write(image) else _FALLBACK_SUFFIX
    return f'{image.stem}_classified{suffix}'


def _can_write(path: Path) -> bool:
    # Of a name without a suffix OpenCV makes an error, of one that is not UTF-8 a crash.
    suffix = path.suffix
    return bool(suffix) and suffix.isascii() and (
        suffix.lower() not in _COLOURLESS_SUFFIXES and cv2.haveImageWriter(f'image{suffix}'))


def _parse_arguments(arguments: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='classify_image', description=_DESCRIPTION, epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', nargs='+', type=Path, metavar='IMAGE')
    add_model_options(parser)
    parser.add_argument(
        '--top-k', default=ClassificationOptions().top_k,
        type=partial(parse_count, most=1000), metavar='N',
        help='maximum number of classes per image, 1 to 1000 (default: %(default)s)')
    parser.add_argument(
        '--output', metavar='FOLDER|FILE',
        help='write the images with their classes drawn on them, NAME_classified in the folder, '
             'or a single one to this file; with a slash at its end it is a folder')
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    options = parser.parse_args(arguments)
    # An image named twice is one image.
    options.images = list(dict.fromkeys(options.images))
    return options


def _run(options: argparse.Namespace) -> int:
    try:
        return _classify_all(options, plan_targets(options.images, options.output))
    except (LabelError, BackendError, OutputError) as error:
        _complain(name_options(str(error)))
        return 1


def _classify_all(options: argparse.Namespace, targets: Dict[Path, Path]) -> int:
    results: List[Dict[str, Any]] = []
    with open_classifier(options, thread_count=1, top_k=options.top_k) as classifier:
        model = classifier.model
        if not options.json:
            print(f'model {model.model_path} ({model.backend.kind}): {model.summary}')
        for path in options.images:
            results.append(_handle(classifier, path, targets.get(path), options.json))
        if options.json:
            print(json.dumps({
                'model': str(model.model_path), 'backend': model.backend.kind,
                'resize_mode': model.choose_resize_mode(options.resize_mode),
                'summary': model.summary, 'images': results}))
    return 1 if any('error' in result for result in results) else 0


def _handle(
        classifier: ImageClassifier, path: Path, target: Optional[Path],
        is_json: bool) -> Dict[str, Any]:
    """Classify an image, print it and write it; what goes wrong is told, not raised."""
    try:
        image = _classify(classifier, path)
    except ImageError as error:
        _complain(str(error))
        return {'file': str(path), 'error': str(error)}
    if not is_json:
        print(_to_text(image), flush=True)
    result = _to_json(image)
    if target is not None:
        try:
            write_annotated(image, target)
        except OutputError as error:
            _complain(str(error))
            result['error'] = str(error)
    return result


def _classify(classifier: ImageClassifier, path: Path) -> Classified:
    try:
        bgr = read_image(path)
    except SourceError as error:
        raise ImageError(str(error)) from None
    start = time.perf_counter()
    try:
        classes = classifier.classify(bgr)
    except (BackendError, ValueError) as error:
        raise ImageError(f"'{path}': {name_options(str(error))}") from None
    return Classified(path, bgr, classes, (time.perf_counter() - start) * 1e3)


def write_annotated(image: Classified, target: Path) -> None:
    """
    Draw the classes on an image and write it; a missing folder is made.

    :raises OutputError: the format is unknown or the file cannot be written.
    """
    if not _can_write(target):
        raise OutputError(
            f"'{target}' cannot be written: OpenCV has no such format with colours; expected .jpg "
            'or .png')
    annotated = draw_classes(
        image.bgr, describe((one.name, one.score) for one in image.classes))
    place = target.parent
    try:
        done, content = cv2.imencode(target.suffix, annotated)
        if not done:  # as for a JPEG of more than 65500 pixels; an older OpenCV raises
            raise OutputError(
                f"'{target}' cannot be written: the format {target.suffix} cannot hold an image "
                f'of {annotated.shape[1]}x{annotated.shape[0]}')
        place.mkdir(parents=True, exist_ok=True)
        place = target
        _write_whole(target, content.tobytes())
    except OSError as error:
        raise OutputError(f"'{place}' cannot be written: {error.strerror}") from None
    except cv2.error as error:
        raise OutputError(f"'{target}' cannot be written: {error.err}") from None


def _write_whole(target: Path, content: bytes) -> None:
    """Write a file, or leave what is there: on a full disk no cut image may pass for one."""
    target = Path(os.path.realpath(target))
    fresh = target.with_name(f'.classify_image.{os.getpid()}')
    try:
        fresh.write_bytes(content)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def _to_text(image: Classified) -> str:
    height, width = image.bgr.shape[:2]
    lines = [f'\n{image.path}  {width}x{height}, {image.milliseconds:.1f} ms',
             'rank  score  index  class']
    lines += [f'{rank:4}  {one.score:.3f}  {one.index:5}  {one.name}'
              for rank, one in enumerate(image.classes, 1)]
    return '\n'.join(lines)


def _to_json(image: Classified) -> Dict[str, Any]:
    height, width = image.bgr.shape[:2]
    return {
        'file': str(image.path), 'width': width, 'height': height,
        'ms': image.milliseconds,
        'classes': [
            {'rank': rank, 'name': one.name, 'index': one.index, 'score': one.score}
            for rank, one in enumerate(image.classes, 1)]}


def _complain(sentence: str) -> None:
    print(f'classify_image: {sentence}', file=sys.stderr)


if __name__ == '__main__':
    sys.exit(main())
