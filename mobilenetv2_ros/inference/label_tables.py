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

"""Label files that are tables: CSV, or separated by tabs, whose first row names the columns."""

from __future__ import annotations

import csv
import io
import re
from typing import Dict, List, Optional, Sequence, Tuple

from mobilenetv2_ros.inference.label_lines import (
    AS_LIST, Entries, Line, place_by_index, refuse_gaps, WORDNET_ID)

_NAME_COLUMNS = (
    'name', 'classname', 'labelname', 'displayname', 'label', 'class', 'category', 'title')
_INDEX_COLUMNS = (
    'index', 'classindex', 'labelindex', 'idx', 'classidx', 'labelidx', 'classid', 'labelid',
    'categoryid', 'id', '')
_OTHER_COLUMNS = (*_INDEX_COLUMNS, 'wordnetid', 'wnid', 'synset', 'synsetid')
"""What columns are called, in lower case and without signs, the likeliest first."""

_DELIMITERS = ',;\t'
_INDEX = re.compile('[0-9]{1,9}')
_LIKE_A_NUMBER = re.compile(r'[-+.]?\d')

_Columns = Dict[str, List[str]]


def read_table(lines: Sequence[Line], is_table: bool) -> Optional[Entries]:
    """
    Read a table.

    :param lines: not empty.
    :param is_table: whether it is known to be one, even with a single column.
    :returns: None if it is none.
    :raises ValueError: it may be one, or it is one whose classes are ambiguous.
    """
    first = [line.raw for line in lines[:2]]
    delimiter = max(_DELIMITERS, key=lambda sign: len(_split(first[0], sign)))
    header, *rows = [_split(line, delimiter) for line in first]
    header = [_simplify(title) for title in header]
    if _is_header(header, is_table) or any(_are_index_and_name(header, row) for row in rows):
        columns, places = _read_columns(lines, header, delimiter)
        return _read_classes(columns, places, lines)
    if set(header) & set(_NAME_COLUMNS) and len(lines) > 1:
        raise ValueError(
            f'has in {lines[0]} what may be a header or a class; take it out, call the file '
            f'.csv if it is a header, {AS_LIST}')
    return None


def _split(line: str, delimiter: str) -> List[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _simplify(title: str) -> str:
    return re.sub(r'[\W_]', '', title).lower()


def _is_header(header: Sequence[str], is_table: bool) -> bool:
    names = [title for title in header if title in _NAME_COLUMNS]
    others = [title for title in header if title in _OTHER_COLUMNS]
    return len(names) > 0 and (is_table or len(others) > 0 or 1 < len(names) == len(header))


def _are_index_and_name(header: Sequence[str], row: Sequence[str]) -> bool:
    """Tell whether the one of two columns that is no name is known, as in ``ClassId,SignName``."""
    known = [title in _OTHER_COLUMNS for title in header]
    return len(row) == len(header) == 2 and sum(known) == 1 and (
        re.fullmatch(f'{_INDEX.pattern}|{WORDNET_ID}', row[known.index(True)].strip()) is not None)


def _read_columns(lines: Sequence[Line], header: Sequence[str],
                  delimiter: str) -> Tuple[_Columns, List[Line]]:
    """
    Read the rows below the header.

    :returns: the columns by their titles; where each row stands.
    """
    if len(set(header)) < len(header):
        raise ValueError(f'has two columns of the same name in {lines[0]}')
    reader = csv.reader(
        io.StringIO('\n'.join(line.raw for line in lines)), delimiter=delimiter, strict=True)
    places: List[Line] = []
    columns: _Columns = {title: [] for title in header}
    for row in reader:
        line = lines[reader.line_num - 1]
        if not line.text or line.is_comment or line == lines[0]:
            continue
        if len(row) != len(header):
            raise ValueError(
                f'has another number of columns in {line}, {len(row)}, than in its header, '
                f'{len(header)}')
        places.append(line)
        for cells, cell in zip(columns.values(), row):
            cells.append(cell.strip())
    return columns, places


def _read_classes(
        columns: _Columns, places: Sequence[Line], lines: Sequence[Line]) -> Entries:
    """Choose columns by title and content: one called ``class`` may have names or indices."""
    numbers = {title for title, cells in columns.items() if all(map(_INDEX.fullmatch, cells))}
    names = [title for title in _NAME_COLUMNS if title in columns] or [
        title for title in columns if title not in _OTHER_COLUMNS]
    name = next((title for title in names if title not in numbers), names[0])
    entries = columns[name]
    for title, cells in columns.items():
        if title != name and all(re.fullmatch(WORDNET_ID, cell) for cell in cells):
            entries = [f'{wordnet_id} {entry}' for wordnet_id, entry in zip(cells, entries)]
            break
    index = next((title for title in (*_INDEX_COLUMNS, *_NAME_COLUMNS)
                  if title in numbers and title != name), None)
    if index is None:
        _refuse_half_indices(columns, places)
        refuse_gaps(lines)
        return Entries(entries, f"the column '{name}' of a table")
    return place_by_index(
        list(zip(map(int, columns[index]), entries)), places.__getitem__,
        f"the columns '{index}' and '{name}' of a table")


def _refuse_half_indices(columns: _Columns, places: Sequence[Line]) -> None:
    """Refuse a column of indices some of which are none; the rows may stand in any order."""
    for title in _INDEX_COLUMNS:
        cells = columns.get(title, [])
        if any(map(_LIKE_A_NUMBER.match, cells)):
            wrong = next(
                place for cell, place in zip(cells, places) if not _INDEX.fullmatch(cell))
            raise ValueError(
                f"has no index from 0 in the column '{title}' of {wrong}, as other rows have")
