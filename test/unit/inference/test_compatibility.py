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

"""What docs/compatibility.md says was tried: every row of its table, on the emulated BPU."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, NamedTuple

from emulated_libdnn import Emulator, fingerprint_class, write_model
from mobilenetv2_ros.inference.classifier import ClassificationOptions
from mobilenetv2_ros.inference.loaded_model import LoadedModel
import numpy as np
import pytest
from support.checkout import CHECKOUT
from support.sample_images import make_view

HEADINGS = ['model', 'input', 'output', 'ms', 'images/s', 'top-1 %', 'tried']


class Row(NamedTuple):
    """One model, with one size of its input and one kind of its output."""

    model: str
    width: int
    height: int
    output: str


def read_table() -> Iterator[Row]:
    lines = (CHECKOUT / 'docs' / 'compatibility.md').read_text(encoding='utf-8').splitlines()
    table = [[cell.strip() for cell in line.strip('|').split('|')]
             for line in lines if line.startswith('|')]
    assert table[0] == HEADINGS
    for model, sizes, outputs, _, _, _, tried in table[2:]:
        assert tried == 'emulated'
        for size in sizes.split(', '):
            for output in outputs.split(', '):
                width, _, height = size.partition('x')
                yield Row(model, int(width), int(height), output)


@pytest.mark.parametrize(
    'row', read_table(), ids=lambda row: f'{row.model} {row.width} {row.output}')
def test_a_model_of_this_shape_classifies(emulator: Emulator, tmp_path: Path, row: Row) -> None:
    path = write_model(tmp_path / 'zoo.bin', width=row.width, height=row.height,
                       logits={'logits': True, 'probabilities': False}[row.output])
    model = LoadedModel(str(path), backend='libdnn', session_count=1)
    rows = np.random.default_rng(1).integers(
        0, 256, (row.height * 3 // 2, row.width), np.uint8)
    image = make_view(rows, row.width, row.height, 'nv12')
    best, *_ = model.classifiers[0].classify(image, ClassificationOptions())
    assert best.index == fingerprint_class(rows[:row.height], rows[row.height:])
    assert best.probability == pytest.approx(0.9, abs=1e-3)
    model.close()
