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

from functools import partial
import json
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from hypothesis import given, strategies
from mobilenetv2_ros.inference.labels import (
    LabelError, Labels, parse_labels, read_labels, unique_names)
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


VENDOR = "{0: 'tench, Tinca tinca',\n 1: 'Jack-o\\'-lantern',\n 2: \"ram's horn\"}\n"
KERAS = {'0': ['n01440764', 'tench'], '1': ['n01443537', 'goldfish']}
HUGGING_FACE = {
    'architectures': ['MobileNetV2ForImageClassification'], 'id2label': {'0': 'cat', '1': 'dog'},
    'label2id': {'cat': 0, 'dog': 1}, 'num_channels': 3}


@pytest.mark.parametrize('name, content, names', [
    ('imagenet_classes.names', VENDOR, ['tench', "Jack-o'-lantern", "ram's horn"]),
    ('a.json', KERAS, ['tench', 'goldfish']),
    ('config.json', HUGGING_FACE, ['cat', 'dog']),
    ('a.json', {'cat': 1, 'dog': 0}, ['dog', 'cat']),
    ('a.json', {'class_indices': {'cat': 1, 'dog': 0}}, ['dog', 'cat']),
    ('a.json', {'class_to_idx': {'0': 0, '1': 1, '10': 2, '2': 3}}, ['0', '1', '10', '2']),
    ('a.json', {'2': 'dog', '1': 'cat'}, ['cat', 'dog']),
    ('a.json', {'0': '0', '1': '1'}, ['0', '1']),
    ('a.json', [['n01440764', 'tench'], ['n01443537', 'goldfish']], ['tench', 'goldfish']),
    ('a.json', ['1 cat', '0 dog'], ['1 cat', '0 dog']),
    ('a.txt', '["cat", "dog"]', ['cat', 'dog']),
    ('a.py', "['cat', 'dog',]", ['cat', 'dog']),
    ('a.txt', '1 cat\n0 dog', ['dog', 'cat']), ('a.txt', '0: cat\n1: dog', ['cat', 'dog']),
    ('a.txt', '0:cat\n1:dog', ['cat', 'dog']), ('a.txt', '0\tcat\n1\tdog', ['cat', 'dog']),
    ('a.txt', '1,cat\n0,dog', ['dog', 'cat']), ('a.txt', '0. cat\n1. dog', ['cat', 'dog']),
    ('a.txt', '0) cat\n1) dog', ['cat', 'dog']), ('a.txt', '0 - cat\n1 - dog', ['cat', 'dog']),
    ('a.txt', '000 cat\n001 dog', ['cat', 'dog']), ('a.txt', '2 cat\n1 dog', ['dog', 'cat']),
    ('a.txt', 'cat,1\ndog,0', ['dog', 'cat']), ('a.txt', 'cat\t1\ndog\t0', ['dog', 'cat']),
    ('a.txt', '/a/airfield 0\n/a/alley 1', ['/a/airfield', '/a/alley']),
    ('a.txt', 'n02119789 2 kit_fox\nn02100735 1 setter', ['setter', 'kit_fox']),
    ('a.txt', '1 n02119789 kit fox\n0 n02100735 setter', ['setter', 'kit fox']),
    ('a.txt', 'n01440764\ttench\nn01443537\tgoldfish', ['tench', 'goldfish']),
    ('a.txt', '0 crane\n1 crane\n2 hen', ['crane (0)', 'crane (1)', 'hen']),
    ('a.txt', '# by hand\n\n# again\n1 cat\n\n# a dog\n0 dog\n', ['dog', 'cat']),
    ('a.txt', '#\n# by hand\n\ncat\ndog\n\n', ['cat', 'dog']),
    ('a.txt', '"cat",\n"dog"', ['cat', 'dog']), ('a.txt', "'cat'\n'dog'\n", ['cat', 'dog']),
    ('a.txt', '1,"dog, hound"\n0,"cat ""Tom"""', ['cat "Tom"', 'dog']),
    ('a.txt', b'\xef\xbb\xbf0 cat\r\n1 dog\r\n', ['cat', 'dog']),
    ('a.txt', '0 Class 1\n1 Class 2', ['Class 1', 'Class 2']),
    ('a.csv', 'id,name\n1,"dog, hound"\n0,cat', ['cat', 'dog']),
    ('a.csv', 'Class ID;Class name\n1;dog\n0;cat', ['cat', 'dog']),
    ('a.csv', ',label\n1,dog\n0,cat', ['cat', 'dog']),
    ('a.csv', 'label\ncat\ndog', ['cat', 'dog']),
    ('a.tsv', '\tlabel\n1\tdog\n0\tcat', ['cat', 'dog']),
    ('a.csv', 'class,label\ndog,1\ncat,0', ['cat', 'dog']),
    ('a.csv', 'label,class\n1,dog\n0,cat', ['cat', 'dog']),
    ('a.csv', 'wnid,name\nn01443537,goldfish\nn01440764,tench', ['goldfish', 'tench']),
    ('a.csv', 'id,name,supercategory\n1,cat,pet\n2,dog,pet', ['cat', 'dog']),
    ('signnames.csv', 'ClassId,SignName\n1,No entry\n0,"Stop"', ['Stop', 'No entry']),
    ('a.txt', 'wnid\twords\nn01440764\ttench, Tinca', ['tench']),
    ('a.csv', ',0\n1,dog\n0,cat', ['cat', 'dog']),
    ('a.txt', 'id, identity card\npassport', ['id', 'passport']),
    ('a.csv', '# by hand\nid,name\n\n1,dog\n0,cat\n', ['cat', 'dog']),
    ('a.csv', '0,cat\n1,dog', ['cat', 'dog']),
    ('a.json', {'Pepper,_bell': 1, 'Doe, John': 0}, ['Doe, John', 'Pepper,_bell']),
    ('a.json', {'class_to_idx': {'n01440764 tench, Tinca': 0}}, ['n01440764 tench, Tinca']),
    ('a.json', {'label2id': {'a, b': 0}, 'id2label': {'0': 'a, b'}}, ['a']),
    ('a.txt', "{'names': {0: 'cat'}, 'nc': 1, 'fraction': 1.0, 'time': None}", ['cat']),
    ('a.txt', '\n'.join(f'{number}. x{number}' for number in range(1, 12)),
     [f'x{number}' for number in range(1, 12)])])
def test_other_forms(tmp_path: Path, name: str, content: object, names: list[str]) -> None:
    assert read_labels(write(tmp_path, name, content)).names == names


@pytest.mark.parametrize('names', [
    ['1 euro', '2 euro'], ['2 euro', '1 euro'], ['class 2', 'class 1', 'class 10'],
    ['7 up', 'cola', 'water'], ['10 cents', '20 cents'], ['0', '1', '2'], ['1', '0'],
    ['3-D glasses', '1.5 litres'], ['Boeing 707', 'Boeing 747', 'Airbus 320'],
    ['"X" brand', "'s-Hertogenbosch"], ['C#', 'F# minor'], ['a  b', 'a b']])
def test_numbers_and_signs_that_belong_to_names_stay(tmp_path: Path, names: list[str]) -> None:
    assert read_labels(write(tmp_path, 'a.txt', '\n'.join(names))).names == names


def test_how_a_file_was_understood_is_told(tmp_path: Path) -> None:
    for content, form in (
            ('cat\ndog', 'one name a line'), ('0 cat\n1 dog', 'an index before each name'),
            ('cat,0\ndog,1', 'an index behind each name'),
            ('id,name\n0,cat', "the columns 'id' and 'name' of a table"),
            (['cat'], 'a list of names'), ({'cat': 0}, 'name to index'),
            (HUGGING_FACE, "index to name under 'id2label'")):
        assert read_labels(write(tmp_path, 'a.txt', content)).form == form


def test_wordnet_ids_are_kept_in_every_form(tmp_path: Path) -> None:
    for content in (
            KERAS, '1 n01443537 goldfish\n0 n01440764 tench',
            'n01440764,tench\nn01443537,goldfish',
            'index,wnid,label\n1,n01443537,goldfish\n0,n01440764,tench'):
        assert read_labels(write(tmp_path, 'a.txt', content))[:2] == (
            ['tench', 'goldfish'], ['n01440764', 'n01443537'])


@pytest.mark.parametrize(('name', 'content', 'sentence'), [
    ('a.txt', '', 'has 0 classes'), ('a.txt', ' \n\n', 'has 0 classes'),
    ('a.txt', '# nothing', 'has 0 classes'), ('a.csv', 'id,name\n', 'has 0 classes'),
    ('a.txt', 'x\n' * 65537, 'has 65537 classes; expected 1 to 65536'),
    ('a.txt', 'a\n\nb', 'has nothing in line 2; expected a class on each line'),
    ('a.txt', '\na', 'has nothing in line 1'),
    ('a.txt', 'a\n# b\nc', "has a comment in line 2 ('# b'); expected comments before the first"),
    ('a.txt', 'a\n#b', "has in line 2 ('#b') what may be a comment or a class"),
    ('a.txt', '0 a\n1 b\nc', "has no index in line 3 ('c'), but in 2 of 3 lines"),
    ('a.txt', '0 a\n1 b\n1 c', "has index 1 in line 3 ('1 c'); expected each of 0 to 2 once"),
    ('a.txt', '0: a\n2: b\n3: c', "has index 3 in line 3 ('3: c')"),
    ('a.txt', 'a,0\nb,2\nc,3', "has index 3 in line 3 ('c,3')"),
    ('a.txt', '"1","a"\n"0","b"', 'has several quoted names in one line'),
    ('a.txt', 'label\ncat', "has in line 1 ('label') what may be a header or a class"),
    ('a.txt', 'name,colour\ncat,red', "has in line 1 ('name,colour') what may be a header"),
    ('a.csv', 'id,name\n0,cat\n2,dog', "has index 2 in line 3 ('2,dog'); expected each of 0 to 1"),
    ('a.csv', 'id,name\n0,cat\n1', "has another number of columns in line 3 ('1'), 1, than in"),
    ('a.csv', 'id,name\n0,cat\n1.0,dog', "no index from 0 in the column 'id' of line 3"),
    ('a.csv', 'name,kind\ncat,a\n\ndog,a', 'has nothing in line 3'),
    ('a.csv', 'name,name\ncat,a', "has two columns of the same name in line 1 ('name,name')"),
    ('a.csv', 'id,name\n0,"cat\n1,dog', 'unexpected end of data'),
    ('a.csv', 'id,name\n0,"c\nat"\n1,dog', "no usable name for class 0: 'c\\nat'"),
    ('a.txt', '\n'.join(sorted(f'{number}. x{number}' for number in range(1, 12))),
     "has line 4 ('2. x2') behind line 3 ('11. x11'), as folders are sorted by name"),
    ('data.yaml', 'nc: 2\nnames: [cat, dog]', 'is YAML'),
    ('a.txt', b'\xff\xfe\x00', 'save it as UTF-8'), ('a.txt', 'x\ny\0', 'has NUL in line 2'),
    ('a.csv', 'id,name\n0,x\0', 'has NUL in line 2'),
    ('a.txt', 'x\x1b[2J', 'no usable name for class 0'),
    ('a.txt', 'version https://git-lfs.github.com/spec/v1\noid', 'is a Git LFS pointer'),
    ('a.txt', '\n<!DOCTYPE html>', 'is a web page'), ('a.txt', 'names: [a]', 'is YAML'),
    ('a.txt', 'x' * (16 << 20) + 'x', 'has more than 16777216 bytes'),
    ('a.json', '[', 'is not valid JSON'), ('a.json', '', 'is not valid JSON'),
    ('a.json', 'cat\ndog', 'is not valid JSON'), ('a.txt', '[unk]\ncat', 'is not valid JSON'),
    ('a.json', '[' * 100000, 'is not valid JSON'), ('a.json', '3', 'holds 3; expected a list'),
    ('a.json', f"[{'-' * 100000}1]", 'is not valid JSON'),
    ('a.json', '{0: open("x")}', 'is not valid JSON'),
    ('a.json', '{**{0: "a"}}', 'not valid JSON'),
    ('a.json', [1, 2], 'has for class 0 1; expected a name'),
    ('a.json', ['a', None], 'has for class 1 None'), ('a.json', '{}', 'has 0 classes'),
    ('a.json', {'0': 'a', '2': 'b'}, "has index 2 in '2': 'b'; expected each of 0 to 1 once"),
    ('a.json', '{"0": "a", "0": "b"}', "has index 0 in '0': 'b'"),
    ('a.names', '{0: "a", 0: "b"}', "has index 0 in 0: 'b'"),
    ('a.json', {'a': 0, 'b': 2}, "has index 2 in 'b': 2"),
    ('a.json', {'a': True, 'b': 0}, "has 'a': True; expected"),
    ('a.json', {'0': '1', '1': '2', '2': '0'}, "class 0 is '1' or '2'; write the names as a list"),
    ('a.json', {'id2label': {'0': 'a', '1': 'b'}, 'label2id': {'a': 1, 'b': 0}},
     "has other classes under 'label2id' than under 'id2label'"),
    ('a.json', ['a', '\ud800'], "no usable name for class 1: '\\ud800'"),
    ('a.json', ['a', 'b\0c'], "no usable name for class 1: 'b\\x00c'"),
    ('a.json', ['a', ' '], "no usable name for class 1: ''"),
    ('a.txt', 'a\n, b', "no usable name for class 1: ''"),
    ('a.json', {'0': ['a']}, "has '0': ['a']; expected"), ('a.json', [], 'has 0 classes')])
def test_unusable_files(tmp_path: Path, name: str, content: object, sentence: str) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(LabelError) as caught:
        read_labels(path)
    assert str(caught.value).startswith(f"label file '{path}' ") and sentence in str(caught.value)
    assert '\n' not in str(caught.value) and len(str(caught.value)) < 400


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


def mark(index: int, before: str, behind: str) -> str:
    """Name a class so that the name tells its index, whatever stands around that."""
    return f'{before}<{index}>{behind}'


def render_lines(classes: Sequence[Tuple[int, str]], separator: str) -> str:
    return ''.join(f'{index}{separator}{name}\n' for index, name in classes)


def render_pairs(classes: Sequence[Tuple[int, str]], to_index: bool) -> str:
    return json.dumps({name: index for index, name in classes} if to_index
                      else {str(index): name for index, name in classes})


INDEXED_FORMS: Dict[str, Callable[[Sequence[Tuple[int, str]]], str]] = {
    'index name': partial(render_lines, separator=' '),
    'index: name': partial(render_lines, separator=': '),
    'index, tab, name': partial(render_lines, separator='\t'),
    'index,name': partial(render_lines, separator=','),
    'name,index': lambda classes: ''.join(f'{name},{index}\n' for index, name in classes),
    'index, WordNet id, name': lambda classes: ''.join(
        f'{index} n{index:08d} {name}\n' for index, name in classes),
    'WordNet id, index, name': lambda classes: ''.join(
        f'n{index:08d} {index} {name}\n' for index, name in classes),
    'CSV with a header': lambda classes: 'id,name\n' + ''.join(
        f'{index},"{name}"\n' for index, name in classes),
    'index to name': partial(render_pairs, to_index=False),
    'name to index': partial(render_pairs, to_index=True),
    'Keras': lambda classes: json.dumps(
        {str(index): [f'n{index:08d}', name] for index, name in classes}),
    'id2label': lambda classes: json.dumps(
        {'id2label': {str(index): name for index, name in classes}}),
    'Python': lambda classes: repr(dict(classes)),
}
ORDERED_FORMS: Dict[str, Callable[[Sequence[str]], str]] = {
    'lines': '\n'.join,
    'WordNet id and name': lambda names: '\n'.join(
        f'n{index:08d} {name}' for index, name in enumerate(names)),
    'quoted lines': lambda names: '\n'.join(f'"{name}",' for name in names),
    'JSON': json.dumps,
    'CSV with a header': lambda names: 'name,synset\n' + ''.join(
        f'"{name}",n{index:08d}\n' for index, name in enumerate(names)),
}
AROUND = strategies.text("a7 -.:#'(é", max_size=4)
COUNTS = strategies.integers(1, 12)


def draw_names(draw: strategies.DataObject, count: int) -> List[str]:
    return [mark(index, f'a{draw.draw(AROUND)}', draw.draw(AROUND)) for index in range(count)]


def find_marks(labels: Labels) -> List[int]:
    return [int(name.partition('<')[2].partition('>')[0]) for name in labels.names]


def parse_or_none(text: str) -> Optional[Labels]:
    try:
        return parse_labels(text, 'a text')
    except LabelError:
        return None


@given(strategies.data(), COUNTS, strategies.sampled_from(sorted(INDEXED_FORMS)),
       strategies.sampled_from([0, 1]))
def test_indices_give_the_order_in_every_form(
        data: strategies.DataObject, count: int, form: str, base: int) -> None:
    names = draw_names(data, count)
    order = data.draw(strategies.permutations(list(range(count))))
    text = INDEXED_FORMS[form]([(index + base, names[index]) for index in order])
    assert find_marks(parse_labels(text, form)) == list(range(count))


@given(strategies.data(), strategies.integers(2, 12),
       strategies.sampled_from(sorted(INDEXED_FORMS)),
       strategies.sampled_from(['lost', 'twice', 'renumbered']))
def test_a_damaged_index_never_moves_classes_in_silence(
        data: strategies.DataObject, count: int, form: str, damage: str) -> None:
    """What is lost at an end cannot be seen, but the number of classes is then another one."""
    classes = list(enumerate(draw_names(data, count)))
    victim = data.draw(strategies.integers(0, count - 1))
    index, name = classes[victim]
    if damage == 'lost':
        del classes[victim]
    elif damage == 'twice':
        classes.append((index, f'another {name}'))
    else:
        classes[victim] = (index + 1 if victim < count - 1 else index - 1, name)
    labels = parse_or_none(INDEXED_FORMS[form](classes))
    if labels is not None and len(labels.names) == count:
        assert find_marks(labels) == list(range(count))


@given(strategies.data(), COUNTS, strategies.sampled_from(sorted(ORDERED_FORMS)))
def test_places_give_the_order_in_every_form(
        data: strategies.DataObject, count: int, form: str) -> None:
    text = ORDERED_FORMS[form](draw_names(data, count))
    assert find_marks(parse_labels(text, form)) == list(range(count))


@given(strategies.lists(strategies.text('ab01 ,:#"\'\t-.{[', max_size=6), max_size=12))
def test_lines_are_classes_whatever_is_in_them(lines: List[str]) -> None:
    """No line is passed over, except where all tell their indices, or before the first class."""
    labels = parse_or_none('\n'.join(lines))
    if labels is not None and labels.form == 'one name a line':
        classes = '\n'.join(lines).rstrip().split('\n')
        while classes[0].strip().startswith('#') or not classes[0].strip():
            del classes[0]
        assert len(labels.names) == len(classes)
        for name, line in zip(labels.names, classes):
            assert name.partition(' (')[0].replace('"', '') in line.replace('"', '')
