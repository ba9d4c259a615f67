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
"""Unknown models are tried in a child process, once; what is no model at all is recognised."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys
from typing import Any, List

from mobilenetv2_ros.inference import model_trial
from mobilenetv2_ros.inference.backends.base import ModelError
from mobilenetv2_ros.inference.backends.registry import open_backend
from mobilenetv2_ros.inference.loaded_model import LoadedModel
from mobilenetv2_ros.inference.model_trial import try_model
import numpy as np
import pytest
from support.node_process import wait_until
from support.tiny_models import write_colour_tflite

CRASH = 'import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n'
HUNGRY = 'import numpy\nnumpy.ones(1 << 50)\n'


@pytest.fixture()
def model(tmp_path: Path) -> Path:
    pytest.importorskip('ai_edge_litert', reason='ai_edge_litert is not installed')
    return write_colour_tflite(
        tmp_path / 'tiny.tflite', np.eye(3), np.random.default_rng().random(3).tolist())


@pytest.fixture()
def children(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> List[Any]:
    """Return what child processes were started; nothing has been tried before."""
    started: List[Any] = []
    run = subprocess.run

    def count(command: Any, **options: Any) -> Any:
        started.append(command)
        return run(command, **options)

    monkeypatch.setattr(subprocess, 'run', count)
    monkeypatch.setattr(model_trial, '_PASSED', set())
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return started


def replace_engine(folder: Path, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let child processes find another engine than this one has."""
    package = folder / 'engine' / 'ai_edge_litert'
    package.mkdir(parents=True)
    (package / '__init__.py').touch()
    (package / 'interpreter.py').write_text(program)
    monkeypatch.syspath_prepend(str(package.parent))


def load(path: Path, **options: Any) -> None:
    labels = path.with_suffix('.txt')
    labels.write_text('red\ngreen\nblue\n')
    LoadedModel(str(path), str(labels), **options).close()


def test_a_model_is_tried_once(
        model: Path, children: List[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        load(model)
        assert len(children) == 1
    monkeypatch.setattr(model_trial, '_PASSED', set())  # as in the next process
    load(model)
    assert len(children) == 1
    model.write_bytes(model.read_bytes() + b'\0')
    load(model)
    assert len(children) == 2


def test_a_model_that_is_trusted_is_not_tried(model: Path, children: List[Any]) -> None:
    load(model, trust_model=True)
    LoadedModel().close()  # the bundled one
    assert children == []


@pytest.mark.parametrize('program, sentence', [
    (CRASH, r"tiny.tflite' crashed its engine \(SIGSEGV\) when it was tried, .* set trust_model"),
    (HUNGRY, "tiny.tflite' needs more memory than there is; use another file")])
def test_a_model_that_crashes_its_engine_is_told(
        model: Path, children: List[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        program: str, sentence: str) -> None:
    replace_engine(tmp_path, program, monkeypatch)
    for _ in range(2):
        with pytest.raises(ModelError, match=sentence):
            load(model)
    assert len(children) == 2  # it is not remembered


def test_a_model_that_takes_for_ever_is_told(
        model: Path, children: List[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_engine(tmp_path, 'import threading\nthreading.Event().wait()\n', monkeypatch)
    monkeypatch.setattr(model_trial, '_MAX_SECONDS', 1)
    with pytest.raises(ModelError, match='took more than 1 s to be tried'):
        load(model)


def test_who_is_killed_leaves_no_trial_behind(
        model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    number = tmp_path / 'number'
    replace_engine(tmp_path, f"""
import os, threading
with open({str(number)!r} + '.new', 'w') as file:
    file.write(str(os.getpid()))
os.rename(file.name, {str(number)!r})
threading.Event().wait()
""", monkeypatch)
    program = (
        'import sys; from pathlib import Path\n'
        f'sys.path[:] = {sys.path!r}\n'
        'from mobilenetv2_ros.inference.model_trial import try_model\n'
        f'try_model(Path({str(model)!r}), "litert")\n')
    with subprocess.Popen(
            [sys.executable, '-c', program],
            env={**os.environ, 'XDG_CACHE_HOME': str(tmp_path / 'cache')}) as process:
        wait_until(number.exists)
        process.kill()
    child = Path('/proc', number.read_text(), 'cmdline')
    wait_until(lambda: not child.exists() or not child.read_bytes())


def test_what_the_engine_refuses_is_told_as_ever(
        model: Path, children: List[Any]) -> None:
    model.write_bytes(model.read_bytes()[:100])
    with pytest.raises(ModelError, match='is no usable TensorFlow Lite model'):
        load(model)
    assert len(children) == 1


def test_a_cache_that_cannot_be_written(
        model: Path, children: List[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', '/dev/null')
    for _ in range(2):
        try_model(model, 'litert')
    assert len(children) == 1


# What is no model


@pytest.mark.parametrize('name, content, sentence', [
    ('m.onnx', b'version https://git-lfs.github.com/spec/v1\n', 'is a Git LFS pointer; fetch the'),
    ('m.bin', b'version https://git-lfs.github.com/spec/v1\n', 'is a Git LFS pointer'),
    ('m.tflite', b'\n<!DOCTYPE html>\n<html>', 'is a web page; download the file itself'),
    ('m.tflite', b'<html lang="en">', 'is a web page'), ('m.pt', b'x', 'holds PyTorch weights'),
    ('m.pth', b'PK\x03\x04', 'is a ZIP archive, as of PyTorch weights'),
    ('m.onnx', b'PK\x03\x04', 'is a ZIP archive'), ('m.h5', b'\x89HDF', 'is a Keras model'),
    ('m.keras', b'x', 'is a Keras model; convert it to .tflite first'),
    ('m.pb', b'x', 'is a TensorFlow graph'), ('m.hbm', b'x', 'is a model for S100 or S600')])
def test_other_files_are_recognised(
        tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        open_backend(path)
    assert str(caught.value).startswith(f"model '{path}' {sentence}")
    assert str(caught.value).endswith('expected a .bin, .tflite or .onnx file')


def test_a_saved_model_is_recognised(tmp_path: Path) -> None:
    (tmp_path / 'saved_model.pb').touch()
    with pytest.raises(ModelError, match='is a SavedModel folder; convert it to .tflite first'):
        open_backend(tmp_path)
