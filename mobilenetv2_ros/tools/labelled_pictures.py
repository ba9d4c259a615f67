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
Sets of pictures whose class is known.

Three forms: a folder of class folders, each named by class index or by WordNet id; a text file
with a line ``path class`` for each picture, as ILSVRC has them, paths relative to the file; a
folder that has such a file called ``labels.txt``. Class indices count from 0, as in the label
file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple

from mobilenetv2_ros.labels import Labels

LIST_NAME = 'labels.txt'


class DatasetError(ValueError):
    """A set cannot be used; the text says why."""


class LabelledPicture(NamedTuple):
    """A picture file and the index of what it shows."""

    path: Path
    class_index: int


def read_dataset(dataset: Path, labels: Labels) -> List[LabelledPicture]:
    """
    Find the pictures of a set; none of them is opened.

    :param labels: the classes there are.
    :raises DatasetError: there is no such set, it cannot be read, it names unknown classes or it
        is empty.
    """
    try:
        found = _find_pictures(dataset, _Classes(labels))
    except OSError as error:
        # Also for a part of it: figures of the rest would look like those of the set.
        raise DatasetError(
            f"'{error.filename or dataset}' cannot be read: {error.strerror}") from None
    if not found:
        raise DatasetError(f"'{dataset}' has no pictures")
    return found


def _find_pictures(dataset: Path, classes: _Classes) -> List[LabelledPicture]:
    if dataset.is_dir():
        listed = dataset / LIST_NAME
        return _read_list(listed, classes) if listed.exists() else _read_folders(dataset, classes)
    if dataset.exists():
        return _read_list(dataset, classes)
    raise DatasetError(
        f"'{dataset}' does not exist; expected a folder of class folders, a folder with "
        f"{LIST_NAME}, or a text file of lines 'path class_index'")


class _Classes:
    """Class index by index or WordNet id, as users write them."""

    def __init__(self, labels: Labels) -> None:
        self._count = len(labels.names)
        self._by_wordnet_id: Dict[str, int] = {
            one: index for index, one in enumerate(labels.wordnet_ids)}

    def find(self, word: str, place: str) -> int:
        """
        Find a class.

        :param place: where the word stands, for the error.
        :raises DatasetError: there is no such class.
        """
        is_number = word.isascii() and word.isdecimal()
        index = int(word) if is_number else self._by_wordnet_id.get(word, -1)
        if not 0 <= index < self._count:
            ids = ' or a WordNet id such as n01440764' if self._by_wordnet_id else ''
            raise DatasetError(
                f"{place}: class '{word}' is unknown; expected an index from 0 to "
                f'{self._count - 1}{ids}')
        return index


def _read_list(path: Path, classes: _Classes) -> List[LabelledPicture]:
    try:
        # Editors of other systems put a mark in front, which is no part of the first name.
        lines = path.read_text(encoding='utf-8-sig').split('\n')
    except UnicodeDecodeError:
        raise DatasetError(
            f"'{path}' is no text file in UTF-8; expected lines 'path class_index'") from None
    return [_parse_line(path, number, line.strip(), classes)
            for number, line in enumerate(lines, 1) if line.strip()]


def _parse_line(path: Path, number: int, line: str, classes: _Classes) -> LabelledPicture:
    place = f"line {number} of '{path}'"
    words = line.rsplit(maxsplit=1)
    if len(words) < 2:
        raise DatasetError(f"{place}: '{line}' is no line 'path class_index'")
    return LabelledPicture(path.parent / words[0], classes.find(words[1], place))


def _read_folders(dataset: Path, classes: _Classes) -> List[LabelledPicture]:
    folders = sorted(
        path for path in dataset.iterdir() if path.is_dir() and not path.name.startswith('.'))
    if not folders:
        raise DatasetError(
            f"folder '{dataset}' has neither class folders, named by index or WordNet id, nor "
            f"{LIST_NAME} with lines 'path class_index'")
    indices = [classes.find(folder.name, f"folder '{folder}'") for folder in folders]
    return [LabelledPicture(file, index)
            for folder, index in zip(folders, indices) for file in _files_below(folder)]


def _files_below(folder: Path) -> Iterator[Path]:
    """Find all files but hidden ones: what is no picture shall be told and not passed over."""
    def refuse(error: OSError) -> None:
        raise error

    # Path.rglob() would pass over folders that this user may not enter.
    found = (Path(parent, name) for parent, _, names in os.walk(folder, onerror=refuse)
             for name in names)
    return (path for path in sorted(found)
            if path.is_file() and not path.name.startswith('.'))
