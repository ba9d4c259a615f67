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
Sets of images whose class is known.

Three forms: a folder of class folders, each named by class index, WordNet id or class name; a text
file with a line ``path class`` for each image, as ILSVRC has them, the class as index or WordNet
id, paths relative to the file; a folder that has such a file called ``labels.txt``. Class indices
count from 0, as in the label file.
"""

from __future__ import annotations

import os
from pathlib import Path
import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence
import unicodedata

from mobilenetv2_ros.inference.labels import Labels

LIST_NAME = 'labels.txt'

_NUMBER = re.compile('[0-9]{1,9}')


class DatasetError(ValueError):
    """A set cannot be used; the text says why."""


class LabelledImage(NamedTuple):
    """An image file and the index of what it shows."""

    path: Path
    class_index: int


def read_dataset(dataset: Path, labels: Labels) -> List[LabelledImage]:
    """
    Find the images of a set; none of them is opened.

    :param labels: the classes there are.
    :raises DatasetError: there is no such set, it cannot be read, it names unknown classes or it
        is empty.
    """
    try:
        found = _find_images(dataset, _Classes(labels))
    except OSError as error:
        # Also for a part of it: figures of the rest would look like those of the set.
        raise DatasetError(
            f"'{error.filename or dataset}' cannot be read: {error.strerror}") from None
    if not found:
        raise DatasetError(f"'{dataset}' has no images")
    return found


def _find_images(dataset: Path, classes: _Classes) -> List[LabelledImage]:
    if dataset.is_dir():
        listed = dataset / LIST_NAME
        return _read_list(listed, classes) if listed.exists() else _read_folders(dataset, classes)
    if dataset.exists():
        return _read_list(dataset, classes)
    raise DatasetError(
        f"'{dataset}' does not exist; expected a folder of class folders, a folder with "
        f"{LIST_NAME}, or a text file of lines 'path class_index'")


class _Classes:
    """Class indices by what users call classes: index, WordNet id or name."""

    def __init__(self, labels: Labels) -> None:
        self._names = labels.names
        self._first_index = labels.first_index
        self._by_wordnet_id: Dict[str, int] = {
            one: index for index, one in enumerate(labels.wordnet_ids)}
        self._by_name: Dict[str, int] = {
            _normalise(name): index for index, name in enumerate(labels.names)}

    def find(self, word: str, place: str) -> int:
        """
        Find a class by index or WordNet id.

        :param place: where the word stands, for the error.
        :raises DatasetError: there is no such class.
        """
        index = self._find_id(word)
        if index is None:
            ids = ' or a WordNet id such as n01440764' if self._by_wordnet_id else ''
            raise DatasetError(
                f"{place}: class '{word}' is unknown; expected an index from 0 to "
                f'{len(self._names) - 1}{ids}')
        return index

    def find_folders(self, folders: Sequence[Path]) -> List[int]:
        """
        Find classes also by their names; a name can be a number, as that of a digit.

        :returns: the index of each folder.
        :raises DatasetError: there is no such class, or there are two.
        """
        ids = [self._find_id(folder.name) for folder in folders]
        names = [self._by_name.get(_normalise(folder.name)) for folder in folders]
        self._refuse_two_beginnings([
            folder for folder, name in zip(folders, names)
            if name is None and _NUMBER.fullmatch(folder.name)])
        if None not in names and None in ids:  # numbers, some beyond the last index
            ids = names
        return [self._choose(*found) for found in zip(folders, ids, names)]

    def _refuse_two_beginnings(self, numbered: Sequence[Path]) -> None:
        """
        Refuse numbers that may count from 0, as indices do, or from 1, as the label file does.

        :param numbered: folders whose names are numbers and no names of classes.
        """
        if self._first_index and numbered and all(int(folder.name) for folder in numbered):
            raise DatasetError(
                f"folder '{numbered[0]}' may count from 0 or, as the label file does, from 1; "
                f'name the folders as the classes, or list the images in {LIST_NAME} with lines '
                "'path class_index', from 0")

    def _choose(self, folder: Path, by_id: Optional[int], by_name: Optional[int]) -> int:
        if by_name is None or by_id == by_name:
            return self._require(folder, by_id)
        if by_id is None:
            return by_name
        raise DatasetError(
            f"folder '{folder}' may be class {by_id}, '{self._names[by_id]}', or class {by_name}, "
            f"'{self._names[by_name]}'; list the images in {LIST_NAME} with lines "
            "'path class_index'")

    def _require(self, folder: Path, index: Optional[int]) -> int:
        if index is None:
            ids = ', a WordNet id such as n01440764' if self._by_wordnet_id else ''
            raise DatasetError(
                f"folder '{folder}': class '{folder.name}' is unknown; expected an index from 0 "
                f"to {len(self._names) - 1}{ids} or a class name such as '{self._names[0]}'")
        return index

    def _find_id(self, word: str) -> Optional[int]:
        if not _NUMBER.fullmatch(word):
            return self._by_wordnet_id.get(word)
        return int(word) if int(word) < len(self._names) else None


def _normalise(name: str) -> str:
    """Write accents in one way: file systems have two."""
    return unicodedata.normalize('NFC', name)


def _read_list(path: Path, classes: _Classes) -> List[LabelledImage]:
    try:
        # Editors of other systems put a mark in front, which is no part of the first name.
        lines = path.read_text(encoding='utf-8-sig').split('\n')
    except UnicodeDecodeError:
        raise DatasetError(
            f"'{path}' is no text file in UTF-8; expected lines 'path class_index'") from None
    return [_parse_line(path, number, line.strip(), classes)
            for number, line in enumerate(lines, 1) if line.strip()]


def _parse_line(path: Path, number: int, line: str, classes: _Classes) -> LabelledImage:
    place = f"line {number} of '{path}'"
    words = line.rsplit(maxsplit=1)
    if len(words) < 2:
        raise DatasetError(f"{place}: '{line}' is no line 'path class_index'")
    return LabelledImage(path.parent / words[0], classes.find(words[1], place))


def _read_folders(dataset: Path, classes: _Classes) -> List[LabelledImage]:
    folders = sorted(
        path for path in dataset.iterdir() if path.is_dir() and not path.name.startswith('.'))
    if not folders:
        raise DatasetError(
            f"folder '{dataset}' has neither class folders, named by index, WordNet id or class "
            f"name, nor {LIST_NAME} with lines 'path class_index'")
    return [LabelledImage(file, index)
            for folder, index in zip(folders, classes.find_folders(folders))
            for file in _files_below(folder)]


def _files_below(folder: Path) -> Iterator[Path]:
    """Find all files but hidden ones: what is no image shall be told and not passed over."""
    def refuse(error: OSError) -> None:
        raise error

    # Path.rglob() would pass over folders that this user may not enter.
    found = (Path(parent, name) for parent, _, names in os.walk(folder, onerror=refuse)
             for name in names)
    return (path for path in sorted(found)
            if path.is_file() and not path.name.startswith('.'))
