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
The program ``classify_bag``: the images of a recording, all of them, as fast as the model goes.

Messages are parsed and converted as the node does it. Several images are in work at the same time;
the results come in the order of the recording.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from contextlib import ExitStack
import csv
from functools import partial
import json
from pathlib import Path
import sys
import time
from typing import (
    Any, Callable, DefaultDict, Generator, Iterator, List, NamedTuple, Optional, TextIO, Tuple)

from mobilenetv2_ros.image.image_message import (
    Header, ImageMessageError, parse_compressed_image, parse_image)
from mobilenetv2_ros.image.sample_depth import SampleDepth
from mobilenetv2_ros.inference.backends.base import BackendError
from mobilenetv2_ros.inference.classifier import ClassificationOptions
from mobilenetv2_ros.inference.image_classifier import ImageClassifier, ScoredClass
from mobilenetv2_ros.inference.labels import LabelError
from mobilenetv2_ros.inference.ranking import RankedClass, ScoreRangeError
from mobilenetv2_ros.inference.score_meaning import ScoreTypeError
from mobilenetv2_ros.node.classification_message import encode_text, serialize_classification
from mobilenetv2_ros.tools.bags import (
    BagError, create_results, IMAGE, ImageBag, open_images, Recorded)
from mobilenetv2_ros.tools.model_options import (
    add_model_options, name_options, open_classifier, parse_count)
from mobilenetv2_ros.tools.ordered_pool import map_in_order
from mobilenetv2_ros.tools.printing import run_printing
from tqdm import tqdm

_DESCRIPTION = 'Classify all images of a rosbag2 recording, raw and compressed.'

_HELP = """\
OUT is a file that ends in .csv or .json, or else the folder of a new recording, in which each
result is a vision_msgs/Classification with the header and the time of its image, on the topic
IMAGE_TOPIC/classification. Without --output, CSV is printed.

CSV has a row for each class: topic, sec, nanosec, frame_id, rank, index, name, score. JSON is an
array with an object for each image: topic, sec, nanosec, frame_id, and classes (index, name,
score) or error. An image that cannot be read is named and has no result.

exit code: 0 all images classified, 1 at least one not or no model, 2 wrong arguments

examples:
  classify_bag recording
  classify_bag recording --output results --output results.csv
  ros2 bag play results
"""

_MAX_THREADS = 16


class Result(NamedTuple):
    """
    What came out for one image.

    :param header: of the message; None if it could not be read.
    :param error: why there are no classes, else empty.
    """

    topic: str
    time: int
    header: Optional[Header]
    classes: List[ScoredClass]
    error: str


Write = Callable[[Result], None]


def main(arguments: Optional[List[str]] = None) -> int:
    """
    Classify the recording of the command line.

    :param arguments: by default those of the process.
    :returns: exit code.
    """
    options = _parse_arguments(arguments)
    return run_printing('classify_bag', partial(_run, options))


def _parse_arguments(arguments: Optional[List[str]]) -> argparse.Namespace:
    defaults = ClassificationOptions()
    parser = argparse.ArgumentParser(
        prog='classify_bag', description=_DESCRIPTION, epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('bag', type=Path, metavar='IN', help='folder or file of the recording')
    parser.add_argument(
        '--output', action='append', default=[], type=Path, metavar='OUT',
        help='where results go; may be given more than once')
    parser.add_argument(
        '--topic', action='append', default=[], metavar='TOPIC',
        help='image topic; may be given more than once (default: all with images)')
    add_model_options(parser)
    parser.add_argument(
        '--top-k', default=defaults.top_k, type=partial(parse_count, most=1000), metavar='N',
        help='maximum number of classes per image, 1 to 1000 (default: %(default)s)')
    parser.add_argument(
        '--threads', default=0, type=partial(parse_count, most=_MAX_THREADS), metavar='N',
        help=f'images processed at the same time, 1 to {_MAX_THREADS} (default: 4 on the BPU, 1 '
             'on the CPU)')
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> int:
    try:
        with open_images(options.bag, options.topic) as bag, open_classifier(
                options, options.threads, options.top_k) as classifier:
            return _classify(bag, classifier, options.output)
    except (BackendError, BagError, LabelError, ScoreRangeError, ScoreTypeError) as error:
        _complain(name_options(str(error)))
        return 1


def _classify(bag: ImageBag, classifier: ImageClassifier, outputs: List[Path]) -> int:
    failed, start = 0, time.perf_counter()
    with ExitStack() as stack:
        writers = [_open_output(stack, output, bag.is_mcap, classifier) for output in outputs] or [
            make_csv_writer(sys.stdout)]
        # None: no bar where nobody looks.
        progress = stack.enter_context(tqdm(total=bag.count, unit='image', disable=None))
        for result in classify_all(classifier, bag.read()):
            if result.error:
                failed += 1
                _complain(f"an image on '{result.topic}' at {_write_time(result)}: "
                          f'{result.error}')
            for write in writers:
                write(result)
            progress.update()
    seconds = time.perf_counter() - start
    print(f'{bag.count - failed} of {bag.count} images classified, {bag.count / seconds:.1f} '
          'images/s', file=sys.stdout if outputs else sys.stderr)
    return 1 if failed else 0


def classify_all(
        classifier: ImageClassifier,
        messages: Iterator[Recorded]) -> Generator[Result, None, None]:
    """
    Classify images, as many at the same time as the classifier can.

    :returns: the results, in the order of the images.
    :raises BackendError: the engine failed.
    :raises ScoreRangeError: it gave no sensible scores.
    """
    depths: DefaultDict[str, SampleDepth] = defaultdict(SampleDepth)  # each topic is a camera
    return map_in_order(
        partial(_classify_one, classifier),
        ((message, depths[message.topic]) for message in messages),
        len(classifier.model.classifiers))


def _classify_one(classifier: ImageClassifier, item: Tuple[Recorded, SampleDepth]) -> Result:
    message, depth = item
    header = None
    try:
        if message.type_name == IMAGE:
            image = parse_image(message.data)
            header = image.header
        else:
            compressed = parse_compressed_image(message.data)
            header = compressed.header
            image = classifier.decode(compressed)
        classes = classifier.classify(depth.mark(image))
    except ImageMessageError as error:
        return Result(message.topic, message.time, header, [], str(error))
    return Result(message.topic, message.time, header, classes, '')


def _open_output(stack: ExitStack, output: Path, is_mcap: bool,
                 classifier: ImageClassifier) -> Write:
    """Open what the user named; the stack closes it."""
    suffix = output.suffix.lower()
    if suffix in ('.mcap', '.db3'):
        raise BagError(f"'{output}' cannot be written: a recording is a folder; name it without "
                       f"'{suffix}', or a .csv or .json file")
    if suffix not in ('.csv', '.json'):
        results = stack.enter_context(create_results(output, is_mcap))
        class_ids = [encode_text(name) for name in classifier.model.labels.names]

        def write(result: Result) -> None:
            if result.header is not None and not result.error:
                ranked = [RankedClass(one.index, one.score) for one in result.classes]
                results.write(f'{result.topic}/classification', result.time,
                              serialize_classification(result.header, ranked, class_ids))

        return write
    file = stack.enter_context(output.open('w', encoding='utf-8', newline=''))
    if suffix == '.csv':
        return make_csv_writer(file)
    return _make_json_writer(stack, file)


def make_csv_writer(file: TextIO) -> Write:
    """Return what writes a row for each class of a result."""
    rows = csv.writer(file, lineterminator='\n')
    rows.writerow(('topic', 'sec', 'nanosec', 'frame_id', 'rank', 'index', 'name', 'score'))

    def write(result: Result) -> None:
        for rank, one in enumerate(result.classes, 1):
            rows.writerow((result.topic, *(result.header or ()), rank, one.index, one.name,
                           f'{one.score:.6f}'))

    return write


def _make_json_writer(stack: ExitStack, file: TextIO) -> Write:
    """Return what writes an element of an array that the stack closes: all may be too many."""
    separators = iter(['['])
    stack.callback(lambda: file.write(next(separators, '') + '\n]\n'))

    def write(result: Result) -> None:
        file.write(next(separators, ',') + '\n' + json.dumps(_to_json(result)))

    return write


def _to_json(result: Result) -> Any:
    header = result.header or Header(result.time // 10 ** 9, result.time % 10 ** 9, '')
    outcome = {'error': result.error} if result.error else {'classes': [
        {'index': one.index, 'name': one.name, 'score': one.score} for one in result.classes]}
    return {'topic': result.topic, **header._asdict(), **outcome}


def _write_time(result: Result) -> str:
    return f'{result.time // 10 ** 9}.{result.time % 10 ** 9:09}'


def _complain(sentence: str) -> None:
    tqdm.write(f'classify_bag: {sentence}', file=sys.stderr)


if __name__ == '__main__':
    sys.exit(main())
