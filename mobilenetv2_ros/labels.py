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

Formats: text with one class a line, the names alone or after a WordNet id as in ImageNet's
``synset_words.txt`` (``n01440764 tench, Tinca tinca``); JSON, a list of names or an object from
index to name. A class may have several names, separated by commas; the first is the usual one.
"""

from __future__ import annotations

from collections import Counter
import json
from pathlib import Path
import re
import stat
from typing import Dict, List, NamedTuple, Sequence

_WORDNET_LINE = re.compile(r'(n\d{8})\s+(.+)')
_MAX_CLASSES = 65536
"""``vision_msgs/VisionClass`` numbers classes with a uint16."""

_MAX_BYTES = 16 << 20


class LabelError(ValueError):
    """A label file cannot be used; the text says why."""


class Labels(NamedTuple):
    """
    The classes of a model.

    :param names: unique names by class index.
    :param wordnet_ids: WordNet ids by class index, empty where the file has none.
    """

    names: List[str]
    wordnet_ids: List[str]


def read_labels(path: Path) -> Labels:
    """
    Read a label file.

    :raises LabelError: it is missing, of another format, or without classes.
    """
    try:
        text = _read_text(path)
    except UnicodeDecodeError as error:
        raise LabelError(
            f"label file '{path}' cannot be read: {error}; save it as UTF-8") from None
    except (OSError, ValueError) as error:
        raise LabelError(f"label file '{path}' cannot be read: {error}") from None
    parse = _parse_json if path.suffix.lower() == '.json' else _parse_text
    entries = parse(path, text)
    if not 0 < len(entries) <= _MAX_CLASSES:
        raise LabelError(
            f"label file '{path}' has {len(entries)} classes; expected 1 to {_MAX_CLASSES}, "
            'one a line')
    matches = [_WORDNET_LINE.fullmatch(entry) for entry in entries]
    names = [match[2] if match else entry for match, entry in zip(matches, entries)]
    wordnet_ids = [match[1] for match in matches if match]
    names = unique_names(names)
    _check_names(path, names)
    return Labels(names, wordnet_ids if len(wordnet_ids) == len(names) else [])


def unique_names(synonyms: Sequence[str]) -> List[str]:
    """
    Choose for each class the shortest name that no other class has.

    ImageNet has two classes "crane" and two whose first name is "maillot". Where first names
    are shared, all synonyms are used, and where these are shared too, the index is added, if need
    be more than once.

    :param synonyms: by class index, names separated by commas.
    """
    names = [entry.split(',')[0].strip() for entry in synonyms]
    names = _lengthen(names, [entry.strip() for entry in synonyms])
    while len(set(names)) < len(names):
        names = _lengthen(names, [f'{name} ({index})' for index, name in enumerate(names)])
    return names


def _lengthen(names: Sequence[str], longer: Sequence[str]) -> List[str]:
    """Take the longer one of each name that is there more than once."""
    uses = Counter(names)
    return [other if uses[name] > 1 else name for name, other in zip(names, longer)]


def _check_names(path: Path, names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        # JSON can express halves of characters, which UTF-8, and so ROS, cannot.
        is_text = name.encode(errors='replace').decode() == name
        if not name.strip() or not is_text:
            raise LabelError(f"label file '{path}' has no usable name for class {index}: {name!r}")


def _read_text(path: Path) -> str:
    """Read a file of a size that labels may have; a device or a pipe may never end."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError('it is no file')
    if status.st_size > _MAX_BYTES:
        raise ValueError(f'it has more than {_MAX_BYTES} bytes')
    return path.read_text(encoding='utf-8-sig')  # some editors begin a file with a mark


def _parse_text(path: Path, text: str) -> List[str]:
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if '' in lines:  # passed over, it would move all classes behind it
        raise LabelError(
            f"label file '{path}' has nothing in line {lines.index('') + 1}; expected a class on "
            'each line')
    return lines


def _parse_json(path: Path, text: str) -> List[str]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LabelError(f"label file '{path}' is not valid JSON: {error}") from None
    if isinstance(content, dict):
        content = _by_index(path, content)
    if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
        raise LabelError(
            f"label file '{path}' holds neither a list of names nor an object from index to name")
    return content


def _by_index(path: Path, content: Dict[str, object]) -> List[object]:
    try:
        return [content[str(index)] for index in range(len(content))]
    except KeyError as error:
        raise LabelError(f"label file '{path}' has no class {error}") from None
