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

"""The program evaluate: which sets it reads, and whether its figures are right."""

from __future__ import annotations

from collections import Counter
import errno
import json
import os
from pathlib import Path
import re
import shutil
from typing import Any, Dict, List, Sequence, Tuple

import cv2
from emulated_libdnn import fingerprint_class, MODEL
from mobilenetv2_ros.image.image_array import view_array
from mobilenetv2_ros.image.nv12 import Nv12, Nv12Converter
from mobilenetv2_ros.inference.labels import Labels, parse_labels, read_labels
from mobilenetv2_ros.resources import find_labels
from mobilenetv2_ros.tools.evaluate import Answer, main, summarise
from mobilenetv2_ros.tools.labelled_images import DatasetError, LabelledImage, read_dataset
import numpy as np
import pytest
from support.engines import needs_litert
from support.fixture_types import StartPython

LABELS = Labels(['tench', 'goldfish', 'shark'], ['n01440764', 'n01443537', 'n01484850'])
KEYS = {
    'images', 'top1', 'top5', 'images_per_s', 'unreadable', 'worst_classes', 'model', 'backend',
    'threads', 'resize_mode', 'dataset', 'summary'}
Output = pytest.CaptureFixture[str]


def make_files(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def read(dataset: Path, labels: Labels = LABELS) -> List[Tuple[str, int]]:
    """Read a set; paths relative to its folder."""
    folder = dataset if dataset.is_dir() else dataset.parent
    return [(str(one.path.relative_to(folder)), one.class_index)
            for one in read_dataset(dataset, labels)]


def test_class_folders(tmp_path: Path) -> None:
    make_files(tmp_path, 'n01484850/b.JPEG', 'n01484850/a.JPEG', '1/x y.png', '0002/deep/z.png',
               '1/.hidden', '.git/config', 'README')
    assert read(tmp_path) == [
        ('0002/deep/z.png', 2), ('1/x y.png', 1), ('n01484850/a.JPEG', 2),
        ('n01484850/b.JPEG', 2)]


@pytest.mark.parametrize('name', ['labels.txt', 'val.txt'])
def test_list(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text('a.jpg 0\n\nsub folder/b c.jpg\t2\r\n  d.jpg n01443537  ', 'utf-8')
    expected = [('a.jpg', 0), ('sub folder/b c.jpg', 2), ('d.jpg', 1)]
    assert read(path) == expected
    if name == 'labels.txt':
        assert read(tmp_path) == expected


def test_a_list_may_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / 'val.txt'
    path.write_text('a.jpg 0\nb.jpg 1\n', 'utf-8-sig')
    assert read(path) == [('a.jpg', 0), ('b.jpg', 1)]


def test_absolute_paths_in_a_list(tmp_path: Path) -> None:
    path = tmp_path / 'val.txt'
    path.write_text('/photos/a.jpg 0', 'utf-8')
    assert read_dataset(path, LABELS) == [LabelledImage(Path('/photos/a.jpg'), 0)]


@pytest.mark.parametrize('line, sentence', [
    ('a.jpg 3', "class '3' is unknown; expected an index from 0 to 2 or a WordNet id"),
    ('a.jpg -1', "class '-1' is unknown"), ('a.jpg 1.0', "class '1.0' is unknown"),
    ('a.jpg \u0661', "class '\u0661' is unknown"), ('a.jpg n01440765', "class 'n01440765' is"),
    ('a.jpg', "'a.jpg' is no line 'path class_index'")])
def test_wrong_lines_are_told_with_their_number(
        tmp_path: Path, line: str, sentence: str) -> None:
    path = tmp_path / 'val.txt'
    path.write_text(f'b.jpg 0\n\n{line}\n', 'utf-8')
    with pytest.raises(DatasetError, match=re.escape(f"line 3 of '{path}': {sentence}")):
        read_dataset(path, LABELS)


def test_folders_may_have_the_names_of_classes(tmp_path: Path) -> None:
    labels = Labels(['great white shark', 'Äsche', 'cup'], [])
    make_files(tmp_path, 'great white shark/a.jpg', '\u0041\u0308sche/b.jpg', '2/c.jpg')
    assert sorted(read(tmp_path, labels)) == [
        ('2/c.jpg', 2), ('\u0041\u0308sche/b.jpg', 1), ('great white shark/a.jpg', 0)]


def test_names_that_are_numbers(tmp_path: Path) -> None:
    make_files(tmp_path / 'same', '0/a.jpg', '1/b.jpg')
    assert read(tmp_path / 'same', Labels(['0', '1'], [])) == [('0/a.jpg', 0), ('1/b.jpg', 1)]
    # No class has the index 10: all are names.
    labels = Labels(['1', '10', '2'], [])
    make_files(tmp_path / 'names', '1/a.jpg', '2/b.jpg', '10/c.jpg')
    assert read(tmp_path / 'names', labels) == [('1/a.jpg', 0), ('10/c.jpg', 1), ('2/b.jpg', 2)]
    make_files(tmp_path / 'either', '2/a.jpg', '1/b.jpg')
    with pytest.raises(DatasetError, match=re.escape(
            f"folder '{tmp_path}/either/1' may be class 1, '10', or class 0, '1'; list the")):
        read_dataset(tmp_path / 'either', labels)


def test_numbers_beside_labels_that_count_from_1(tmp_path: Path) -> None:
    labels = parse_labels('1 cat\n2 dog\n3 hen', 'a text')
    make_files(tmp_path, '1/a.jpg', '2/b.jpg', 'hen/c.jpg')
    with pytest.raises(DatasetError, match=(
            "folder '.*/1' may count from 0 or, as the label file does, from 1; name the")):
        read_dataset(tmp_path, labels)
    from_0 = parse_labels('0 cat\n1 dog\n2 hen', 'a text')
    assert sorted(read(tmp_path, from_0)) == [('1/a.jpg', 1), ('2/b.jpg', 2), ('hen/c.jpg', 2)]
    make_files(tmp_path, '0/d.jpg')
    assert ('0/d.jpg', 0) in read(tmp_path, labels)


@pytest.mark.parametrize('name', ['3', 'Goldfish', 'n01440765', '9' * 30])
def test_folders_of_unknown_classes_are_told(tmp_path: Path, name: str) -> None:
    make_files(tmp_path, '0/a.jpg', f'{name}/a.jpg')
    with pytest.raises(DatasetError, match=(
            f"folder '.*/{name}': class '{name}' is unknown; expected an index from 0 to 2, a "
            "WordNet id such as n01440764 or a class name such as 'tench'")):
        read_dataset(tmp_path, LABELS)


def test_ids_are_not_suggested_where_the_labels_have_none(tmp_path: Path) -> None:
    make_files(tmp_path, 'n01440764/a.jpg')
    with pytest.raises(DatasetError) as caught:
        read_dataset(tmp_path, Labels(LABELS.names, []))
    assert str(caught.value).endswith(
        "expected an index from 0 to 2 or a class name such as 'tench'")


def test_sets_without_images_are_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match='neither class folders'):
        read_dataset(make_files(tmp_path / 'loose', 'a.jpg'), LABELS)
    (tmp_path / 'empty' / '0').mkdir(parents=True)
    with pytest.raises(DatasetError, match='has no images'):
        read_dataset(tmp_path / 'empty', LABELS)
    with pytest.raises(DatasetError, match='has no images'):
        read_dataset(make_files(tmp_path, 'val.txt') / 'val.txt', LABELS)
    with pytest.raises(DatasetError, match='does not exist'):
        read_dataset(tmp_path / 'missing', LABELS)
    (tmp_path / 'photo.jpg').write_bytes(b'\xff\xd8')
    with pytest.raises(DatasetError, match='no text file'):
        read_dataset(tmp_path / 'photo.jpg', LABELS)


def test_a_set_of_which_a_part_cannot_be_read_is_told(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_files(tmp_path, '0/a.jpg', '1/b.jpg', '1/deep/c.jpg')
    scan = os.scandir

    def refuse(folder: Any) -> Any:
        if Path(folder).name == 'deep':
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return scan(folder)

    monkeypatch.setattr(os, 'scandir', refuse)
    with pytest.raises(DatasetError, match="/1/deep' cannot be read: Permission denied"):
        read_dataset(tmp_path, LABELS)


def answer(truth: int, *classes: int) -> Answer:
    return Answer(LabelledImage(Path('a.jpg'), truth), list(classes), '')


def test_figures() -> None:
    unreadable = Answer(LabelledImage(Path('bad.jpg'), 4), [], 'damaged')
    report = summarise([
        answer(0, 0, 1), answer(0, 1, 2), answer(0, 3, 0), answer(0, 1, 0), unreadable,
        answer(1, 1, 0), answer(2, 0, 1), answer(3, 3), answer(3, 0)], 4.0)
    assert (report.images, report.top1, report.top5) == (8, 3 / 8, 5 / 8)
    assert (report.images_per_s, report.unreadable) == (2.0, ['bad.jpg'])
    # The least fraction first: 0 of 1, 1 of 4, 1 of 2.
    assert [tuple(one) for one in report.worst] == [
        (2, 1, 0, Counter({0: 1})), (0, 4, 1, Counter({1: 2, 3: 1})), (3, 2, 1, Counter({0: 1}))]


def test_of_classes_equally_bad_the_one_with_more_images_is_first() -> None:
    report = summarise([answer(0, 1), answer(2, 1), answer(2, 1), answer(1, 0)], 1.0)
    assert [one.class_index for one in report.worst] == [2, 0, 1]


def run_json(capsys: Output, *arguments: object) -> Dict[str, Any]:
    assert main([*map(str, arguments), '--json']) == 0
    result: Dict[str, Any] = json.loads(capsys.readouterr().out)
    assert set(result) == KEYS
    return result


@needs_litert
@pytest.mark.parametrize('options, threads, mode', [
    ([], 1, 'stretch'), (['--threads', '3'], 3, 'stretch'),
    (['--resize-mode', 'letterbox'], 1, 'letterbox')])
def test_photos(
        photos: Path, capsys: Output, options: Sequence[str], threads: int, mode: str) -> None:
    result = run_json(capsys, photos, *options)
    assert (result['images'], result['top1'], result['top5']) == (5, 1.0, 1.0)
    assert (result['unreadable'], result['worst_classes']) == ([], [])
    assert (result['backend'], result['threads'], result['resize_mode']) == (
        'litert', threads, mode)
    assert result['model'].endswith('.tflite') and result['dataset'] == str(photos)
    assert result['images_per_s'] > 0


@needs_litert
def test_photos_in_class_folders(photos: Path, tmp_path: Path, capsys: Output) -> None:
    ids = read_labels(find_labels('')).wordnet_ids
    for number, (name, index) in enumerate(
            line.split() for line in (photos / 'labels.txt').read_text('utf-8').splitlines()):
        folder = tmp_path / (index if number % 2 else ids[int(index)])
        folder.mkdir()
        shutil.copy(photos / name, folder)
    result = run_json(capsys, tmp_path)
    assert (result['images'], result['top1']) == (5, 1.0)


@needs_litert
def test_errors_and_unreadable_images_are_named(
        photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    dataset = tmp_path / 'my list.txt'
    (tmp_path / 'text.jpg').write_text('no image', 'utf-8')
    dataset.write_text(
        f'{photos}/coffee.png 968\n{photos}/dam.jpg 525\ntext.jpg 0\nmissing one.jpg 0\n'
        f'{photos}/goldfish.jpg 500\n{photos}/tripod.png 872\n', 'utf-8')
    result = run_json(capfd, dataset, '--threads', '2')
    assert (result['images'], result['top1'], result['top5']) == (4, 0.5, 0.75)
    unreadable = [str(tmp_path / 'text.jpg'), str(tmp_path / 'missing one.jpg')]
    assert result['unreadable'] == unreadable
    assert result['worst_classes'] == [
        {'index': 500, 'name': 'cliff dwelling', 'images': 1, 'top1': 0.0,
         'taken_for': [{'index': 1, 'name': 'goldfish', 'count': 1}]},
        {'index': 968, 'name': 'cup', 'images': 1, 'top1': 0.0,
         'taken_for': [{'index': 967, 'name': 'espresso', 'count': 1}]}]
    assert main([str(dataset)]) == 0
    printed = capfd.readouterr()
    for words in ('images      4, 2 more unreadable', 'top-1       50.00 %',
                  'top-5       75.00 %', 'cup [968], 0/1: espresso (1)'):
        assert words in printed.out
    complaints = [line for line in printed.err.splitlines() if line.startswith('evaluate: ')]
    assert len(complaints) == 2
    assert all(path in line for path, line in zip(unreadable, complaints))
    assert '%|' not in printed.err  # no progress bar where nobody looks


@needs_litert
def test_an_unreadable_set_is_an_error(tmp_path: Path, capsys: Output) -> None:
    make_files(tmp_path, '0/a.jpg', '1/b.jpg')
    assert main([str(tmp_path), '--json']) == 1
    printed = capsys.readouterr()
    assert printed.out == ''
    assert printed.err.splitlines()[-1] == (
        f"evaluate: none of the 2 images of '{tmp_path}' can be read")


def write_fingerprinted(folder: Path, count: int) -> None:
    """Write images and, as their classes, what the emulated network finds in them."""
    generator = np.random.default_rng(0)
    lines = []
    for number in range(count):
        # Of different sizes, so that they take different times.
        bgr = generator.integers(0, 256, (8 + 40 * (number % 7), 300, 3), np.uint8)
        cv2.imwrite(str(folder / f'{number}.png'), bgr)
        nv12 = Nv12.over(np.empty((336, 224), np.uint8), 224, 224)
        Nv12Converter().convert(view_array(bgr), 'letterbox', nv12)
        lines.append(f'{number}.png {fingerprint_class(nv12.y, nv12.uv)}')
    (folder / 'labels.txt').write_text('\n'.join(lines), 'utf-8')


def test_frames_in_flight_on_a_bpu_keep_their_classes(
        tmp_path: Path, start_python: StartPython) -> None:
    write_fingerprinted(tmp_path, 60)
    process = start_python(
        '-m', 'mobilenetv2_ros.tools.evaluate', '--model', MODEL, tmp_path, '--json',
        '--resize-mode', 'letterbox')
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, '')
    result = json.loads(output)
    assert (result['images'], result['top1']) == (60, 1.0)
    assert (result['backend'], result['threads']) == ('libdnn', 4)


def test_an_engine_that_fails_ends_it_in_a_sentence(
        photos: Path, start_python: StartPython) -> None:
    process = start_python(
        '-m', 'mobilenetv2_ros.tools.evaluate', '--model', MODEL, photos, '--threads', '2',
        EMULATED_LIBDNN='fail.hbDNNInfer=-6000012')
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (1, '')
    assert 'hbDNNInfer failed with -6000012' in errors and 'Traceback' not in errors


@needs_litert
@pytest.mark.parametrize('arguments, sentence', [
    (['--model', '/nowhere/m.tflite', '.'], "model file '/nowhere/m.tflite' does not exist"),
    (['--labels', '/nowhere/l.txt', '.'], "label file '/nowhere/l.txt' cannot be read"),
    (['/nowhere'], "'/nowhere' does not exist"),
    (['/' + 'x' * 300], f"'/{'x' * 300}' cannot be read: File name too long")])
def test_what_cannot_be_used_is_one_sentence(
        capsys: Output, arguments: List[str], sentence: str) -> None:
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ''
    assert printed.err.startswith(f'evaluate: {sentence}') and printed.err.count('\n') == 1


@pytest.mark.parametrize('threads', ['0', '17', 'many', '-1'])
def test_a_wrong_number_of_threads_is_refused(capsys: Output, threads: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(['.', '--threads', threads])
    assert caught.value.code == 2
    assert 'argument --threads' in capsys.readouterr().err
