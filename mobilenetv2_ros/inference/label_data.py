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
Label files that are data of a program: JSON, or a dictionary as Python writes it.

A list of names is taken as it is. An object leads from index to name or from name to index, or has
such a one, or a list, under a name that trainings use for it.
"""

from __future__ import annotations

import ast
from functools import partial
import json
import re
import reprlib
from typing import List, Optional, Tuple

from mobilenetv2_ros.inference.label_lines import Entries, place_by_index, WORDNET_ID

_WRAPPERS = (
    'id2label', 'label2id', 'class_indices', 'class_to_idx', 'idx_to_class', 'labels', 'classes',
    'class_names', 'names')
"""Where Hugging Face, Keras, torchvision and others keep the classes of a model."""

_MAX_PYTHON_CHARACTERS = 512 << 10
"""A syntax tree takes some hundred times the memory of its text."""

_EXPECTED = 'expected a list of names, or an object from index to name or from name to index'


class _Object(List[Tuple[object, object]]):
    """An object's keys and values: a dict would keep only one of those that are there twice."""


def read_data(text: str) -> Entries:
    """
    Find the classes.

    :raises ValueError: it is no JSON, or has no classes, or they are ambiguous.
    """
    content = _parse(text)
    if isinstance(content, _Object):
        found = _Object((key, value) for key, value in content
                        if key in _WRAPPERS and isinstance(value, list))
        if found:
            return _read_wrapped(found)
    return _read_classes(content)


def _parse(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_Object)
    except (ValueError, RecursionError) as error:
        json_error = error
    try:
        if len(text) < _MAX_PYTHON_CHARACTERS:
            return _to_data(ast.parse(text.strip(), mode='eval').body)
    except (MemoryError, RecursionError, SyntaxError, ValueError):
        pass  # most likely it was meant to be JSON
    raise ValueError(f'is not valid JSON: {json_error}')


def _to_data(node: Optional[ast.expr]) -> object:
    """
    Evaluate constants, lists and dictionaries, and nothing else.

    :raises ValueError: there is something else.
    """
    if isinstance(node, ast.Constant) and not isinstance(node.value, (bytes, complex)):
        return node.value
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_to_data(element) for element in node.elts]
    if isinstance(node, ast.Dict):
        return _Object(
            (_to_data(key), _to_data(value)) for key, value in zip(node.keys, node.values))
    raise ValueError('no data')


def _read_wrapped(found: _Object) -> Entries:
    """Read what stands under known names; several must say the same."""
    results = [(key, _read_classes(value)) for key, value in found]
    results.sort(key=lambda result: result[1].is_exact)  # Hugging Face has both directions
    first_key, first = results[0]
    for key, result in results[1:]:
        if result.entries != first.entries:
            raise ValueError(f"has other classes under '{key}' than under '{first_key}'")
    return first._replace(form=f"{first.form} under '{first_key}'")


def _read_classes(content: object) -> Entries:
    if isinstance(content, _Object):
        return _read_object(content)
    if isinstance(content, list):
        entries = [_to_entry(value) for value in content]
        for index, entry in enumerate(entries):
            if entry is None:
                raise ValueError(
                    f'has for class {index} {reprlib.repr(content[index])}; expected a name')
        return Entries([entry or '' for entry in entries], 'a list of names')
    raise ValueError(f'holds {reprlib.repr(content)}; {_EXPECTED}')


def _read_object(content: _Object) -> Entries:
    """
    Read an object in the direction that it has.

    :raises ValueError: it has none, or both, with numbers for names, and they differ.
    """
    directions = {
        'index to name': [(_to_index(key), _to_entry(value)) for key, value in content],
        'name to index': [(_to_index(value), _to_entry(key)) for key, value in content]}
    results: List[Entries] = []
    failure = ''
    for form, pairs in directions.items():
        classes = [(index, entry) for index, entry in pairs
                   if index is not None and entry is not None]
        if len(classes) == len(content):
            try:
                # Keras and torchvision write the names of folders so, which have no synonyms.
                results.append(place_by_index(classes, partial(_tell, content), form)._replace(
                    is_exact=form == 'name to index'))
            except ValueError as error:
                failure = failure or str(error)
    if not results:
        raise ValueError(failure or _tell_wrong(content, directions['index to name']))
    for number, both in enumerate(zip(*(result.entries for result in results))):
        if len(set(both)) > 1:
            raise ValueError(
                f'may lead from index to name or from name to index: class {number} is '
                f"'{both[0]}' or '{both[1]}'; write the names as a list")
    return results[0]


def _tell(content: _Object, position: int) -> str:
    key, value = content[position]
    return f'{reprlib.repr(key)}: {reprlib.repr(value)}'


def _tell_wrong(content: _Object, pairs: List[Tuple[Optional[int], Optional[str]]]) -> str:
    """Name the first entry that is not from an index to a name, as most objects are."""
    wrong = next(position for position, (index, entry) in enumerate(pairs)
                 if index is None or entry is None)
    return f'has {_tell(content, wrong)}; {_EXPECTED}'


def _to_index(value: object) -> Optional[int]:
    if isinstance(value, str):
        return int(value) if re.fullmatch('[0-9]{1,9}', value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _to_entry(value: object) -> Optional[str]:
    """Take a name, or a WordNet id and a name as Keras has them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 2 and all(
            isinstance(part, str) and part.strip() for part in value) and (
            re.fullmatch(WORDNET_ID, value[0])):
        return ' '.join(value)
    return None
