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
"""The file beside a model: what it may say, and that whatever else it says is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from emulated_libdnn import Emulator, REBUILT_MODEL
from mobilenetv2_ros.inference.backends.base import ModelError
from mobilenetv2_ros.inference.known_models import KNOWN_MODELS, sha256_of
from mobilenetv2_ros.inference.loaded_model import LoadedModel
from mobilenetv2_ros.inference.model_description import (
    describe_model, ModelDescription, Normalisation)
import numpy as np
import pytest
from support.tiny_models import write_colour_onnx


def describe(folder: Path, content: Any, suffix: str = '.onnx') -> ModelDescription:
    path = folder / f'm{suffix}'
    text = content if isinstance(content, str) else json.dumps(content)
    Path(f'{path}.json').write_text(text, encoding='utf-8')
    return describe_model(path)


def test_no_file(tmp_path: Path) -> None:
    assert describe_model(tmp_path / 'm.onnx') == ModelDescription()


def test_every_key(tmp_path: Path) -> None:
    assert describe(tmp_path, {
        'range': [0, 255], 'mean': [0, 99, 0], 'std': [1, 1, 2], 'colour_order': 'bgr',
        'output': 'scores', 'score_type': 'multi_label', 'background': True,
        'labels': 'names.txt', 'resize_mode': 'crop'}) == ModelDescription(
            'sidecar', Normalisation((0, 255), (0, 99, 0), (1, 1, 2)), 'bgr', 'scores',
            'multi_label', True, tmp_path / 'names.txt', 'crop')


@pytest.mark.parametrize('content, expected', [
    ({}, None), ({'score_type': 'logits'}, None), ({'range': [0, 1]}, Normalisation()),
    ({'mean': [0.5, 0.5, 0.5]}, Normalisation(mean=(0.5, 0.5, 0.5)))])
def test_what_is_not_said_is_left_to_others(
        tmp_path: Path, content: Any, expected: Any) -> None:
    assert describe(tmp_path, content).normalisation == expected


@pytest.mark.parametrize('content, sentence', [
    ('', 'Expecting value'), ('[', 'Expecting value'), ('3', 'it holds no object'),
    ('[]', "it holds no object; expected one with some of 'range', 'mean'"),
    ('[' * 100000, 'unusable'), ('{"mean": ' + '9' * 401 + '}', "'mean': expected a list of 3"),
    ('{"mean": [' + '9' * 401 + ', 0, 0]}', "'mean': int too large"),
    ('{"mean": [' + '9' * 9999 + ', 0, 0]}', 'unusable'),
    ({'means': [0, 0, 0]}, "key 'means' is unknown; expected some of 'range', 'mean', 'std'"),
    ({'mean': [0, 0]}, "'mean': expected a list of 3 numbers"),
    ({'mean': 'abc'}, "'mean': expected a list"), ({'mean': [0, 0, None]}, "'mean': expected"),
    ({'mean': [0, 0, True]}, "'mean': expected"), ({'std': 0.5}, "'std': expected a list"),
    ('{"mean": [NaN, 0, 0]}', "'mean': expected numbers that are finite"),
    ('{"std": [1, 1, Infinity]}', "'std': expected numbers that are finite"),
    ({'std': [1, 1, 0]}, 'the std 0 is none of values from 0 to 1; expected more than 0'),
    ({'std': [1, 1, -1]}, 'the std -1 is none of values'),
    ({'mean': [123.7, 116.3, 103.5], 'std': [58.4, 57.1, 57.4]},
     'the mean 123.7 is no value of the range 0 to 1; say "range": [0, 255]'),
    ({'mean': [0.5, 0.5, 0.5], 'std': [58.4, 57.1, 57.4]}, 'the std 58.4 is none of values from'),
    ({'mean': [-0.5, 0, 0]}, 'the mean -0.5 is no value of the range'),
    ({'range': [0, 255], 'mean': [0.485, 0.456, 0.406]}, 'look like those of values from 0 to 1'),
    ({'range': [0, 255], 'std': [0.2, 0.2, 0.2]}, 'look like those of values from 0 to 1'),
    ({'range': [-1, 1], 'mean': [0.5, 0.5, 0.5], 'std': [0.5, 0.5, 0.5]},
     'values from -1 to 1 are normalised already; remove "range", or mean and std'),
    ({'range': [1, 0]}, "'range': expected a lower number, then a higher one"),
    ({'range': [0, 1, 2]}, "'range': expected a list of 2 numbers"),
    ({'colour_order': 'grb'}, "'colour_order': 'grb' is unknown; expected one of rgb, bgr"),
    ({'score_type': 'percent'}, "'score_type': 'percent' is unknown; expected one of auto"),
    ({'score_type': ['logits']}, "'score_type': ['logits'] is unknown"),
    ({'background': 1}, "'background': expected true or false"),
    ({'output': True}, "'output': expected the name of an output, or its index"),
    ({'output': None}, "'output': expected"),
    ({'labels': ''}, "'labels': expected the name of a file"),
    ({'labels': ['a', 'b']}, "'labels': expected the name of a file"),
    ({'resize_mode': 'fit'}, "'resize_mode': 'fit' is unknown; expected one of stretch")])
def test_what_is_refused(tmp_path: Path, content: Any, sentence: str) -> None:
    with pytest.raises(ModelError) as caught:
        describe(tmp_path, content)
    assert str(caught.value).startswith(
        f"file '{tmp_path / 'm.onnx.json'}', which describes the model, is unusable: ")
    assert sentence in str(caught.value)


@pytest.mark.parametrize('key, value', [
    ('mean', [0, 0, 0]), ('std', [1, 1, 1]), ('range', [0, 1]), ('colour_order', 'bgr'),
    ('output', 0)])
def test_what_a_bin_file_was_compiled_with_cannot_be_changed(
        tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(ModelError, match=f"key '{key}' has no effect on a .bin model"):
        describe(tmp_path, {key: value}, '.bin')


def test_a_bin_file_may_say_what_its_scores_are(tmp_path: Path) -> None:
    content = {'score_type': 'logits', 'background': False, 'resize_mode': 'crop',
               'labels': '/names.txt'}
    assert describe(tmp_path, content, '.bin') == ModelDescription(
        'sidecar', score_type='logits', background=False, resize_mode='crop',
        labels=Path('/names.txt'))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'a.onnx.json')
    (tmp_path / 'b.onnx.json').mkdir()
    (tmp_path / 'c.onnx.json').write_bytes(b'{"mean": "\xff"}')
    with open(tmp_path / 'd.onnx.json', 'wb') as file:
        file.truncate(1 << 40)
    for name, cause in (('a', 'no file'), ('b', 'no file'), ('c', 'utf-8'), ('d', 'more than')):
        with pytest.raises(ModelError, match=cause):
            describe_model(tmp_path / f'{name}.onnx')


# What becomes of it


@pytest.fixture()
def model(tmp_path: Path) -> Path:
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    (tmp_path / 'names.txt').write_text('red\ngreen\nblue\n')
    return write_colour_onnx(tmp_path / 'm.onnx', np.eye(3), [0, 0, 0])


def load(model: Path, labels_path: str = '', **description: Any) -> LoadedModel:
    Path(f'{model}.json').write_text(json.dumps(description))
    loaded = LoadedModel(str(model), labels_path)
    loaded.close()
    return loaded


def test_labels_lie_beside_the_model(model: Path) -> None:
    loaded = load(model, labels='names.txt')
    assert loaded.labels.names == ['red', 'green', 'blue']
    assert loaded.labels_path == model.parent / 'names.txt'


def test_the_users_labels_come_first(model: Path, tmp_path: Path) -> None:
    (tmp_path / 'mine.txt').write_text('a\nb\nc\n')
    assert load(model, str(tmp_path / 'mine.txt'), labels='names.txt').labels.names == [
        'a', 'b', 'c']


def test_a_background_is_there_where_it_is_said(model: Path) -> None:
    names = model.parent / 'names.txt'
    names.write_text('green\nblue\n')
    with pytest.raises(ModelError, match=(
            "'m' has 3 classes, but '.*names.txt' names 2; set labels_path .*, or say "
            '"background": true in ')):
        load(model, str(names))
    loaded = load(model, str(names), background=True)
    assert loaded.summary.endswith('scores: logits [graph], the first one of a background class')
    names.write_text('red\ngreen\nblue\n')
    with pytest.raises(ModelError, match='has 2 classes without the background, but .* names 3'):
        load(model, str(names), background=True)


def test_the_summary_names_who_says_what(model: Path) -> None:
    loaded = load(model, labels='names.txt', range=[-1, 1], score_type='multi_label',
                  resize_mode='crop')
    assert loaded.summary == (
        '8x8 RGB [default], float32 NCHW, values -1 to 1 [sidecar]; labels: one name a line; '
        'scores: multi-label logits [sidecar]; resize_mode auto: crop [sidecar]')
    assert loaded.choose_resize_mode('auto') == 'crop'
    assert loaded.choose_resize_mode('letterbox') == 'letterbox'


def test_a_known_file_has_its_publishers_resize_mode(
        emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'renamed.bin'
    path.write_bytes(REBUILT_MODEL.read_bytes())
    monkeypatch.setitem(KNOWN_MODELS, 'board-100', KNOWN_MODELS['board-100']._replace(
        sha256=sha256_of(path)))
    loaded = LoadedModel(str(path), backend='libdnn')
    assert loaded.choose_resize_mode('auto') == 'crop'
    assert loaded.choose_resize_mode('stretch') == 'stretch'
    assert 'logits' in loaded.summary
    assert loaded.summary.endswith('resize_mode auto: crop [known file]')
    loaded.close()
    Path(f'{path}.json').write_text('{"labels": "names.txt"}')
    assert describe_model(path) == ModelDescription(
        'known file', resize_mode='crop', labels=tmp_path / 'names.txt')
    Path(f'{path}.json').write_text('{"resize_mode": "letterbox"}')
    assert describe_model(path).resize_mode == 'letterbox'
    Path(f'{path}.json').unlink()
    path.write_bytes(path.read_bytes() + b'\n')
    assert describe_model(path) == ModelDescription()
    assert describe_model(tmp_path / 'missing.bin') == ModelDescription()


def test_the_vendors_models_want_a_crop_since_they_are_rebuilt() -> None:
    assert {name: one.resize_mode for name, one in KNOWN_MODELS.items()} == {
        'board': '', 'board-100': 'crop', 'board-140': 'crop', 'cpu': ''}
