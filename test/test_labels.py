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

"""Label files of all formats give unique names; others are refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable

from hypothesis import given, strategies
from mobilenetv2_ros.labels import LabelError, read_labels, unique_names
from mobilenetv2_ros.resources import find_labels
import pytest


def write(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), 'utf-8')
    return path


def test_imagenet() -> None:
    labels = read_labels(find_labels(''))
    assert len(labels.names) == len(set(labels.names)) == len(labels.wordnet_ids) == 1000
    assert labels.names[0] == 'tench' and labels.wordnet_ids[0] == 'n01440764'
    assert labels.names[177] == 'Scottish deerhound'
    cranes = [name for name in labels.names if name.split(',')[0].startswith('crane')]
    assert len(cranes) == 2
    maillots = [name for name in labels.names if name.startswith('maillot')]
    assert len(maillots) == 2


def test_list_of_names_of_the_same_classes(shared_file: Callable[[str], Path]) -> None:
    of_json = read_labels(shared_file('models/ImageNet_1k.json'))
    assert len(set(of_json.names)) == 1000 and of_json.wordnet_ids == []
    assert of_json.names[177] == 'Scottish deerhound'


def test_text(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, 'a.txt', '  tench, Tinca tinca \n cock\r\nÄsche\n \n\n'))
    assert labels.names == ['tench', 'cock', 'Äsche'] and labels.wordnet_ids == []


def test_text_with_wordnet_ids(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, 'a.txt', 'n01440764 tench, Tinca\nn01514668 cock\n'))
    assert labels.names == ['tench', 'cock']
    assert labels.wordnet_ids == ['n01440764', 'n01514668']


def test_wordnet_ids_must_be_complete(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, 'a.txt', 'n01440764 tench\ncock\n'))
    assert labels.names == ['tench', 'cock'] and labels.wordnet_ids == []


def test_json_list(tmp_path: Path) -> None:
    path = write(tmp_path, 'a.json', ['tench, Tinca tinca', 'cock'])
    assert read_labels(path).names == ['tench', 'cock']


def test_marks_at_the_beginning_and_endings_in_capitals(tmp_path: Path) -> None:
    assert read_labels(write(tmp_path, 'a.txt', b'\xef\xbb\xbftench\ncock')).names == [
        'tench', 'cock']
    assert read_labels(write(tmp_path, 'A.JSON', ['tench', 'cock'])).names == ['tench', 'cock']


def test_json_object_in_any_order(tmp_path: Path) -> None:
    assert read_labels(write(tmp_path, 'a.json', {'1': 'b', '0': 'a'})).names == ['a', 'b']


@pytest.mark.parametrize(('name', 'content', 'sentence'), [
    ('a.txt', '', 'has 0 classes'), ('a.txt', ' \n\n', 'has 0 classes'),
    ('a.txt', 'x\n' * 65537, 'has 65537 classes; expected 1 to 65536'),
    ('a.txt', 'a\n\nb', 'has nothing in line 2; expected a class on each line'),
    ('a.txt', b'\xff\xfe\x00', 'save it as UTF-8'),
    ('a.txt', 'x' * (16 << 20) + 'x', 'has more than 16777216 bytes'),
    ('a.json', '[', 'is not valid JSON'), ('a.json', '', 'is not valid JSON'),
    ('a.json', '[' * 100000, 'is not valid JSON'), ('a.json', '3', 'holds neither a list'),
    ('a.json', [1, 2], 'holds neither a list'), ('a.json', ['a', None], 'holds neither a list'),
    ('a.json', {'0': 'a', '2': 'b'}, "has no class '1'"),
    ('a.json', ['a', '\ud800'], "no usable name for class 1: '\\ud800'"),
    ('a.json', ['a', ' '], "no usable name for class 1: ''"),
    ('a.txt', 'a\n, b', "no usable name for class 1: ''"),
    ('a.json', {'0': ['a']}, 'holds neither a list'), ('a.json', [], 'has 0 classes')])
def test_unusable_files(tmp_path: Path, name: str, content: object, sentence: str) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(LabelError) as caught:
        read_labels(path)
    assert str(caught.value).startswith(f"label file '{path}' ") and sentence in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / 'missing.txt', tmp_path):
        with pytest.raises(LabelError, match='cannot be read'):
            read_labels(path)


def test_names_grow_until_they_are_unique() -> None:
    assert unique_names(['crane', 'crane, machine', 'tench, Tinca tinca', 'a, b', 'a, b']) == [
        'crane', 'crane, machine', 'tench', 'a, b (3)', 'a, b (4)']
    assert unique_names(['crane', 'crane', 'crane (0)']) == [
        'crane (0) (0)', 'crane (1)', 'crane (0) (2)']


@given(strategies.lists(strategies.text('ab, ()01', max_size=6), max_size=12))
def test_names_are_unique_whatever_they_are(synonyms: list[str]) -> None:
    names = unique_names(synonyms)
    assert len(set(names)) == len(names) == len(synonyms)
