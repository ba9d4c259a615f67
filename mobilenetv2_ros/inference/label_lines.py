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
Label files with one class a line.

A line may have its class index before or behind the name (``3 cat``, ``3: cat``, ``cat,3``). That
a number is an index and no part of the name is seen from all of them together: see
:func:`_order_by_index`.
"""

from __future__ import annotations

import re
import reprlib
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

WORDNET_ID = 'n[0-9]{8}'
AS_LIST = 'or write the names as a JSON list, which is taken as it is'

_SEPARATORS = r'\s:;,=|'
_INDEX_PATTERNS = {
    'an index before each name': re.compile(
        rf'(?:(?P<wordnet_id>{WORDNET_ID})[{_SEPARATORS}]+)?'  # as in ILSVRC's own list
        rf'(?P<index>[0-9]{{1,9}})(?:\s+-\s+|[.)]\s+|[{_SEPARATORS}]+)'
        rf'(?P<name>[^{_SEPARATORS}].*)'),
    'an index behind each name': re.compile(
        rf'(?P<wordnet_id>)(?P<name>.*[^{_SEPARATORS}])[{_SEPARATORS}]+(?P<index>[0-9]{{1,9}})'),
}
_COMMENT = re.compile(r'#(\s|#|$)')
_QUOTED = re.compile(r"""\s*(?:"((?:[^"]|"")*)"|'([^']*)'),?""")
_QUOTED_CELLS = re.compile(r"""(["']).*\1\s*[,:;=].*""")


class Entries(NamedTuple):
    """
    What stands in a label file.

    :param entries: by class index: a name, or several separated by commas, maybe after a WordNet
        id.
    :param form: how the file was understood, for people.
    :param is_exact: each entry is one name, commas included.
    :param first_index: what the file calls the first class, if it has indices: 0 or 1.
    """

    entries: List[str]
    form: str
    is_exact: bool = False
    first_index: int = 0


class Line(NamedTuple):
    """
    A line of a file.

    :param raw: as it stands there, without its end.
    """

    number: int
    raw: str

    @property
    def text(self) -> str:
        """Return what is there without space around it."""
        return self.raw.strip()

    @property
    def is_comment(self) -> bool:
        """Whether it surely is one: ``#1`` may be a class."""
        return _COMMENT.match(self.text) is not None

    def __str__(self) -> str:
        return f'line {self.number} ({reprlib.repr(self.text)})'


def split_lines(text: str) -> List[Line]:
    """
    Take a text apart, without comments before the classes and empty lines behind them.

    :raises ValueError: a line may be a comment or a class.
    """
    # Not splitlines(), which parts at characters that editors show within a line.
    lines = [Line(number, raw) for number, raw in enumerate(text.rstrip().split('\n'), 1)]
    for line in lines:
        if line.text.startswith('#') and not line.is_comment:
            raise ValueError(
                f'has in {line} what may be a comment or a class; begin comments with "# ", '
                f'{AS_LIST}')
    start = 0
    while lines[0].is_comment and start < len(lines) and (
            not lines[start].text or lines[start].is_comment):
        start += 1
    return lines[start:] if any(line.text for line in lines[start:]) else []


def read_lines(lines: Sequence[Line]) -> Entries:
    """
    Read one class a line.

    :raises ValueError: what the classes are is ambiguous.
    """
    # Where each class tells its index, nothing can be moved by what is passed over.
    classes = [line for line in lines if line.text and not line.is_comment]
    for form, pattern in _INDEX_PATTERNS.items():
        ordered = _order_by_index(classes, pattern, form)
        if ordered is not None:
            return ordered._replace(entries=[_unquote(entry) for entry in ordered.entries])
    refuse_gaps(lines)
    return Entries([_unquote(line.text) for line in lines], 'one name a line')


def refuse_gaps(lines: Sequence[Line]) -> None:
    """
    Refuse lines without a class: to pass over one may move all classes behind it.

    :raises ValueError: there is one.
    """
    for line in lines:
        if not line.text:
            raise ValueError(f'has nothing in line {line.number}; expected a class on each line')
        if line.is_comment:
            raise ValueError(
                f'has a comment in {line}; expected comments before the first class only')


def place_by_index(
        classes: Sequence[Tuple[int, str]], describe: Callable[[int], object],
        form: str) -> Entries:
    """
    Order classes by their indices, which count from 0 or from 1.

    :param classes: index and entry of each class.
    :param describe: tells where the class of a position stands.
    :param form: of the result.
    :raises ValueError: an index is missing or there twice.
    """
    least = 0 if any(index == 0 for index, _ in classes) else 1
    placed: Dict[int, str] = {}
    for position, (index, entry) in enumerate(classes):
        if not least <= index < least + len(classes) or index in placed:
            raise ValueError(
                f'has index {index} in {describe(position)}; expected each of {least} to '
                f'{least + len(classes) - 1} once')
        placed[index] = entry
    return Entries([placed[index] for index in sorted(placed)], form, first_index=least)


def _order_by_index(
        lines: Sequence[Line], pattern: re.Pattern[str], form: str) -> Optional[Entries]:
    """
    Take the numbers that a pattern finds for indices, if they are some.

    They are if each line has one, and they are 0 to n - 1 or 1 to n. They are none if they are
    what tells the classes apart (``1 euro``, ``2 euro``), or if few lines have one that could be
    an index (``7 up``).

    :returns: None if the numbers are part of the names.
    :raises ValueError: most lines have an index and some have none, or not one of their own.
    """
    matches = [pattern.fullmatch(line.text) for line in lines]
    found = [match for match in matches if match]
    usable = {int(match['index']) for match in found if int(match['index']) <= len(lines)}
    if 2 * len({match['name'] for match in found}) <= len(found) or 2 * len(usable) <= len(lines):
        return None
    for line, match in zip(lines, matches):
        if not match:
            raise ValueError(
                f'has no index in {line}, but in {len(found)} of {len(lines)} lines; give one to '
                f'each line or to none, {AS_LIST}')
    classes = [(int(match['index']), f"{match['wordnet_id'] or ''} {match['name']}".strip())
               for match in found]
    _refuse_sorted_texts(lines, [index for index, _ in classes], found[0].start('index'))
    try:
        return place_by_index(classes, lines.__getitem__, form)
    except ValueError as error:
        raise ValueError(f'{error}, {AS_LIST}') from None


def _refuse_sorted_texts(lines: Sequence[Line], indices: Sequence[int], start: int) -> None:
    """
    Refuse numbers in the order 1, 10, 2: of folders that a training has sorted by name.

    Such a list is in the order of the classes, and the numbers are part of their names.

    :param start: where the first number stands in its line.
    :raises ValueError: they are.
    """
    texts = [line.text for line in lines]
    late = next((place for place in range(1, len(indices))
                 if indices[place] < indices[place - 1]), None)
    if start == 0 and late is not None and texts == sorted(texts):
        raise ValueError(
            f'has {lines[late]} behind {lines[late - 1]}, as folders are sorted by name, so that '
            'its numbers may be indices or its lines in the order of the classes; sort the lines '
            f'by number if they are indices, {AS_LIST}')


def _unquote(entry: str) -> str:
    """
    Take off quotes around a name, and the comma of a list behind them.

    :raises ValueError: it is one of several in quotes, so that it may be an index.
    """
    match = _QUOTED.fullmatch(entry)
    if match:
        return match[2] if match[1] is None else match[1].replace('""', '"')
    if _QUOTED_CELLS.fullmatch(entry):
        raise ValueError(
            f'has several quoted names in one line ({reprlib.repr(entry)}); take the quotes out, '
            f'{AS_LIST}')
    return entry
