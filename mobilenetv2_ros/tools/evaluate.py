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
The program ``evaluate``: how often a model is right about images whose class is known.

The images go the node's way: decoded to bgr8, converted to NV12, classified, ranked. With
several frames in flight the results still come in the order of the set.
"""

from __future__ import annotations

import argparse
from collections import Counter
from contextlib import closing
from functools import partial
import json
from pathlib import Path
import sys
import time
from typing import Any, Dict, Generator, List, NamedTuple, Optional, Sequence

from mobilenetv2_ros.image.image_message import ImageMessageError
from mobilenetv2_ros.inference.backends.base import BackendError
from mobilenetv2_ros.inference.image_classifier import ImageClassifier
from mobilenetv2_ros.inference.labels import LabelError
from mobilenetv2_ros.inference.loaded_model import LoadedModel
from mobilenetv2_ros.inference.ranking import ScoreRangeError
from mobilenetv2_ros.inference.score_meaning import ScoreTypeError
from mobilenetv2_ros.tools.labelled_images import DatasetError, LabelledImage, read_dataset
from mobilenetv2_ros.tools.model_options import (
    add_model_options, name_options, open_classifier, parse_count)
from mobilenetv2_ros.tools.ordered_pool import map_in_order
from mobilenetv2_ros.tools.printing import run_printing
from mobilenetv2_ros.tools.sources import read_image, SourceError
from tqdm import tqdm

_DESCRIPTION = 'Measure the top-1 and top-5 accuracy of a model on labelled images.'

_HELP = """\
DATASET is one of
  a folder with one folder per class, named by class index (from 0), WordNet id or class name
  a text file with lines 'path class', paths relative to the file, the class an index or WordNet id
  a folder that contains such a file, called labels.txt

Unreadable images are listed, counted and excluded from the figures. With --json the output is
one object: images, top1, top5 (fractions of images), images_per_s, unreadable (paths),
worst_classes, model, backend, summary (how images become scores and scores classes), threads,
resize_mode, dataset.

exit code: 0 measured, 1 nothing to measure or no model, 2 wrong arguments
"""

_TOP = 5
_WORST_SHOWN = 10
_CONFUSIONS_SHOWN = 3
_MAX_THREADS = 16


class Answer(NamedTuple):
    """
    What came out for one image.

    :param classes: indices, best first; empty if it could not be read.
    :param unreadable: why it could not be read, else empty.
    """

    image: LabelledImage
    classes: List[int]
    unreadable: str


class ClassResult(NamedTuple):
    """
    How a class of the set fared.

    :param taken_for: what its images were taken for where the model was wrong.
    """

    class_index: int
    images: int
    right: int
    taken_for: Counter[int]


class Report(NamedTuple):
    """
    The figures of a run.

    :param top1: fraction of the images whose first class is right, ``top5`` likewise.
    :param worst: classes with errors, worst first.
    """

    images: int
    top1: float
    top5: float
    images_per_s: float
    unreadable: List[str]
    worst: List[ClassResult]


def main(arguments: Optional[List[str]] = None) -> int:
    """
    Evaluate what the command line says.

    :param arguments: by default those of the process.
    :returns: exit code.
    """
    options = _parse_arguments(arguments)
    return run_printing('evaluate', partial(_run, options))


def _parse_arguments(arguments: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='evaluate', description=_DESCRIPTION, epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dataset', type=Path, metavar='DATASET')
    add_model_options(parser)
    parser.add_argument(
        '--threads', default=0, type=partial(parse_count, most=_MAX_THREADS), metavar='N',
        help=f'images processed at the same time, 1 to {_MAX_THREADS} (default: 4 on the BPU, 1 '
             'on the CPU)')
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> int:
    try:
        _evaluate(options)
    except (
            BackendError, DatasetError, LabelError, ScoreRangeError, ScoreTypeError) as error:
        _complain(name_options(str(error)))
        return 1
    return 0


def _evaluate(options: argparse.Namespace) -> None:
    with open_classifier(options, options.threads, _TOP) as classifier:
        model = classifier.model
        images = read_dataset(options.dataset, model.labels)
        start = time.perf_counter()
        # Closed, the workers have ended, and only then may the engine be.
        with closing(classify_all(classifier, images)) as coming:
            # None: no bar where nobody looks.
            answers = list(tqdm(coming, total=len(images), unit='image',
                                disable=True if options.json else None))
        seconds = time.perf_counter() - start
        for answer in answers:
            if answer.unreadable:
                _complain(answer.unreadable)
        report = summarise(answers, seconds)
        if not report.images:
            raise DatasetError(
                f"none of the {len(answers)} images of '{options.dataset}' can be read")
        if options.json:
            print(json.dumps(_to_json(report, model, options)))
        else:
            print(_to_text(report, model, options.resize_mode))


def classify_all(classifier: ImageClassifier,
                 images: Sequence[LabelledImage]) -> Generator[Answer, None, None]:
    """
    Classify images, as many at the same time as the classifier can.

    :returns: the answers, in the order of the images.
    :raises BackendError: the engine failed.
    :raises ScoreRangeError: it gave no sensible scores.
    """
    return map_in_order(
        partial(_classify, classifier), images, len(classifier.model.classifiers))


def _classify(classifier: ImageClassifier, image: LabelledImage) -> Answer:
    try:
        classes = classifier.classify(read_image(image.path))
    except (SourceError, ImageMessageError) as error:
        return Answer(image, [], str(error))
    return Answer(image, [one.index for one in classes], '')


def summarise(answers: Sequence[Answer], seconds: float) -> Report:
    """
    Compute the figures.

    :param seconds: that all the answers took.
    """
    read = [answer for answer in answers if not answer.unreadable]
    count = len(read)
    first = sum(answer.classes[0] == answer.image.class_index for answer in read)
    among = sum(answer.image.class_index in answer.classes for answer in read)
    return Report(
        count, first / max(1, count), among / max(1, count), count / seconds,
        [str(answer.image.path) for answer in answers if answer.unreadable],
        _find_worst(read))


def _find_worst(answers: Sequence[Answer]) -> List[ClassResult]:
    """Rank the classes with errors by the fraction that is wrong, then by how many."""
    firsts: Dict[int, Counter[int]] = {}
    for answer in answers:
        firsts.setdefault(answer.image.class_index, Counter())[answer.classes[0]] += 1
    results = []
    for index, counts in firsts.items():
        images, right = sum(counts.values()), counts.pop(index, 0)
        if right < images:
            results.append(ClassResult(index, images, right, counts))
    return sorted(
        results, key=lambda one: (one.right / one.images, -one.images, one.class_index))


def _to_text(report: Report, model: LoadedModel, resize_mode: str) -> str:
    names = model.labels.names
    lines = [
        f'model       {model.model_path} ({model.backend.kind}, '
        f'{model.choose_resize_mode(resize_mode)})',
        f'            {model.summary}',
        f'images      {report.images}, {len(report.unreadable)} more unreadable',
        f'top-1       {100 * report.top1:.2f} %',
        f'top-5       {100 * report.top5:.2f} %',
        f'images/s    {report.images_per_s:.1f}, reading and decoding the files included']
    if report.worst:
        lines += ['', 'worst classes, right/images: what the others were taken for']
    lines += [_to_line(one, names) for one in report.worst[:_WORST_SHOWN]]
    return '\n'.join(lines)


def _to_line(one: ClassResult, names: Sequence[str]) -> str:
    taken_for = ', '.join(
        f'{names[other]} ({count})'
        for other, count in one.taken_for.most_common(_CONFUSIONS_SHOWN))
    name = f'{names[one.class_index]} [{one.class_index}]'
    return f'  {name}, {one.right}/{one.images}: {taken_for}'


def _to_json(report: Report, model: LoadedModel, options: argparse.Namespace) -> Dict[str, Any]:
    names = model.labels.names
    worst = [{
        'index': one.class_index, 'name': names[one.class_index], 'images': one.images,
        'top1': one.right / one.images,
        'taken_for': [{'index': other, 'name': names[other], 'count': count}
                      for other, count in one.taken_for.most_common(_CONFUSIONS_SHOWN)],
        } for one in report.worst[:_WORST_SHOWN]]
    return {
        'images': report.images, 'top1': report.top1, 'top5': report.top5,
        'images_per_s': report.images_per_s, 'unreadable': report.unreadable,
        'worst_classes': worst, 'model': str(model.model_path), 'backend': model.backend.kind,
        'threads': len(model.classifiers), 'dataset': str(options.dataset),
        'resize_mode': model.choose_resize_mode(options.resize_mode), 'summary': model.summary}


def _complain(sentence: str) -> None:
    print(f'evaluate: {sentence}', file=sys.stderr)


if __name__ == '__main__':
    sys.exit(main())
