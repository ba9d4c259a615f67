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
Class indices to class names, each name unique.

What a label file may look like is told by the modules that read them: :mod:`.label_lines`,
:mod:`.label_tables` and :mod:`.label_data`. A class may have several names, separated by commas;
the first is the usual one.
"""

from __future__ import annotations

from collections import Counter
import csv
from pathlib import Path
import re
import reprlib
from typing import List, NamedTuple, Sequence

from mobilenetv2_ros.inference.label_data import read_data
from mobilenetv2_ros.inference.label_lines import Entries, read_lines, split_lines, WORDNET_ID
from mobilenetv2_ros.inference.label_tables import read_table
from mobilenetv2_ros.resources import read_text_file

_WORDNET_ENTRY = re.compile(rf'({WORDNET_ID})[\s,:;=|]+(.+)')
_UNUSABLE = re.compile('[\x00-\x1f\x7f-\x9f\ud800-\udfff]')
"""
Control characters and halves of characters: a message cannot hold NUL, a line of a log no line
break, and UTF-8 no halves. JSON can express them all.
"""

_MAX_CLASSES = 65536
"""``vision_msgs/VisionClass`` numbers classes with a uint16."""

_MAX_BYTES = 16 << 20

_YAML = 'YAML; expected a class on each line'

_OTHER_FILES = {
    'version https://git-lfs': 'a Git LFS pointer; fetch the file itself with "git lfs pull"',
    '<': 'a web page or XML; expected a class on each line',
    'item {': "TensorFlow's pbtxt; expected a class on each line",
    '---': _YAML,
    'names:': _YAML,
}
"""What a file begins with that is text but no label file."""


class LabelError(ValueError):
    """A label file cannot be used; the text says why."""


class Labels(NamedTuple):
    """
    The classes of a model.

    :param names: unique names by class index.
    :param wordnet_ids: WordNet ids by class index, empty where the file has none.
    :param form: how the file was understood, for people.
    :param first_index: what the file calls the first class, if it has indices: 0 or 1.
    """

    names: List[str]
    wordnet_ids: List[str]
    form: str = ''
    first_index: int = 0


def read_labels(path: Path) -> Labels:
    """
    Read a label file.

    :raises LabelError: it is missing, of another format, or without classes.
    """
    try:
        text = read_text_file(path, _MAX_BYTES)
    except UnicodeDecodeError as error:
        raise LabelError(
            f"label file '{path}' cannot be read: {error}; save it as UTF-8") from None
    except (OSError, ValueError) as error:
        raise LabelError(f"label file '{path}' cannot be read: {error}") from None
    return parse_labels(text, f"label file '{path}'", path.suffix.lower())


def parse_labels(text: str, source: str, suffix: str = '') -> Labels:
    """
    Parse what a label file holds.

    :param source: what it is, for errors.
    :param suffix: of the file in lower case, as ``.json`` or ``.csv``, if there is one.
    :raises LabelError: it is of another format, without classes, or ambiguous.
    """
    try:
        entries, form, is_exact, first_index = _read_entries(text, suffix)
        if not 0 < len(entries) <= _MAX_CLASSES:
            raise ValueError(
                f'has {len(entries)} classes; expected 1 to {_MAX_CLASSES}, one a line')
        matches = [None if is_exact else _WORDNET_ENTRY.fullmatch(entry) for entry in entries]
        names = unique_names([
            match[2] if match else entry for match, entry in zip(matches, entries)], is_exact)
        _check_names(names)
    except (csv.Error, ValueError) as error:
        raise LabelError(f'{source} {error}') from None
    wordnet_ids = [match[1] for match in matches if match]
    return Labels(
        names, wordnet_ids if len(wordnet_ids) == len(names) else [], form, first_index)


def _read_entries(text: str, suffix: str) -> Entries:
    if '\0' in text:
        line = text[:text.index('\0')].count('\n') + 1
        raise ValueError(f'has NUL in line {line}, which is no text; save it as UTF-8')
    start = text.lstrip()
    for beginning, what in _OTHER_FILES.items():
        if start.startswith(beginning):
            raise ValueError(f'is {what}')
    if suffix in ('.yaml', '.yml'):
        raise ValueError(f'is {_YAML}')
    if suffix == '.json' or start.startswith(('{', '[')):
        return read_data(text)
    lines = split_lines(text)
    if not lines:
        return Entries([], '')
    return read_table(lines, suffix in ('.csv', '.tsv')) or read_lines(lines)


def unique_names(synonyms: Sequence[str], is_exact: bool = False) -> List[str]:
    """
    Choose for each class the shortest name that no other class has.

    ImageNet has two classes "crane" and two whose first name is "maillot". Where first names
    are shared, all synonyms are used, and where these are shared too, the index is added, if need
    be more than once.

    :param synonyms: by class index, names separated by commas.
    :param is_exact: each of them is one name, commas included.
    """
    names = [(entry if is_exact else entry.split(',')[0]).strip() for entry in synonyms]
    names = _lengthen(names, [entry.strip() for entry in synonyms])
    while len(set(names)) < len(names):
        names = _lengthen(names, [f'{name} ({index})' for index, name in enumerate(names)])
    return names


def _lengthen(names: Sequence[str], longer: Sequence[str]) -> List[str]:
    """Take the longer one of each name that is there more than once."""
    uses = Counter(names)
    return [other if uses[name] > 1 else name for name, other in zip(names, longer)]


def _check_names(names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        if not name.strip() or _UNUSABLE.search(name):
            raise ValueError(f'has no usable name for class {index}: {reprlib.repr(name)}')
