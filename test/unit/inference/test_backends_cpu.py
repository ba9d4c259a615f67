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

"""Models for the CPU see the right tensors; what is no such model is refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
import sys
import threading
from typing import Any, Callable, Dict, List, Sequence, Tuple
import zipfile

from mobilenetv2_ros.inference.backends.base import BackendMissingError, ModelError, Session
from mobilenetv2_ros.inference.backends.registry import BACKENDS, open_backend
from mobilenetv2_ros.inference.backends.rgb_input import (
    count_engine_threads, find_layout, TensorLayout)
from mobilenetv2_ros.inference.loaded_model import LoadedModel
from mobilenetv2_ros.inference.score_meaning import ScoreType
from mobilenetv2_ros.resources import find_model
import numpy as np
from numpy.typing import NDArray
import pytest
from support.engines import needs_onnx
from support.tiny_models import (
    make_metadata, write_colour_onnx, write_colour_tflite, write_onnx, write_tflite)

ENGINES = {'litert': 'ai_edge_litert', 'onnx': 'onnxruntime'}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HEIGHT, WIDTH = 4, 6

Rgb = Tuple[int, int, int]
RED, LIGHT_BLUE = (200, 60, 30), (90, 150, 220)


@pytest.fixture(autouse=True)
def engines_are_installed(request: pytest.FixtureRequest) -> None:
    for name, module in ENGINES.items():
        if name in request.node.name or 'real' in request.node.name:
            pytest.importorskip(module, reason=f'{module} is not installed')


def write_model(kind: str, folder: Path, shape: Sequence[Any], dtype: str = 'float32',
                **options: Any) -> Path:
    if kind == 'onnx':
        return write_onnx(folder / 'tiny.onnx', shape, dtype, **options)
    return write_tflite(folder / 'tiny.tflite', shape, dtype, **options)


def open_session(path: Path, kind: str = 'auto') -> Session:
    return open_backend(path, kind).backend.open_session()


def paint(session: Session, left: Rgb, right: Rgb) -> NDArray[np.float64]:
    """
    Paint both halves of the input.

    :returns: RGB as NV12 can express it, shape (height, width, 3).
    """
    matrix = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0],
                       [112.0, -93.786, -18.214]]) / 255
    shown: List[NDArray[np.float64]] = []
    middle = WIDTH // 2 + 1
    for part, colour in ((slice(middle), left), (slice(middle, None), right)):
        y, u, v = np.round(matrix @ colour + (16, 128, 128))
        session.input.y[:, part] = y
        session.input.uv[:, part.start and part.start // 2:part.stop and part.stop // 2] = u, v
        shown.append(np.linalg.inv(matrix) @ (y - 16, u - 128, v - 128))
    image = np.empty((HEIGHT, WIDTH, 3))
    image[:, :middle], image[:, middle:] = shown
    return image


def expect(image: NDArray[np.float64], channels_first: bool) -> NDArray[np.float64]:
    return (image.transpose(2, 0, 1) if channels_first else image).reshape(-1)


LAYOUTS = [(True, [1, 3, HEIGHT, WIDTH]), (False, [1, HEIGHT, WIDTH, 3])]


# Tensors


@pytest.mark.parametrize(('channels_first', 'shape'), LAYOUTS)
@pytest.mark.parametrize(('kind', 'dtype'), [
    ('litert', 'float32'), ('onnx', 'float32'), ('onnx', 'float16')])
def test_float_models_get_normalised_rgb(
        tmp_path: Path, kind: str, dtype: str, channels_first: bool, shape: List[int]) -> None:
    backend, count = open_backend(write_model(kind, tmp_path, shape, dtype))
    assert (backend.kind, count) == (kind, 1)
    assert backend.info == ('tiny', HEIGHT, WIDTH, 3 * HEIGHT * WIDTH)
    session = backend.open_session()
    normalised = (paint(session, RED, LIGHT_BLUE) / 255 - MEAN) / STD
    scores = session.run(1.0)
    assert scores.dtype == np.float32 and scores.shape == (72,)
    # One level of 8 bits is 1 / 255 / 0.224 = 0.018.
    assert np.abs(scores - expect(normalised, channels_first)).max() < 0.03


@pytest.mark.parametrize(('channels_first', 'shape'), LAYOUTS)
@pytest.mark.parametrize(('kind', 'dtype', 'shift'), [
    ('litert', 'uint8', 0), ('litert', 'int8', -128),
    ('onnx', 'uint8', 0), ('onnx', 'int8', -128)])
def test_models_of_integers_get_pixels(tmp_path: Path, kind: str, dtype: str, shift: int,
                                       channels_first: bool, shape: List[int]) -> None:
    session = open_session(write_model(kind, tmp_path, shape, dtype))
    image = paint(session, RED, LIGHT_BLUE)
    assert np.abs(session.run(1.0) - expect(image + shift, channels_first)).max() <= 1


@pytest.mark.parametrize(('dtype', 'zero_point'), [('uint8', 100), ('int8', -28)])
def test_litert_scores_are_dequantised(tmp_path: Path, dtype: str, zero_point: int) -> None:
    path = write_model('litert', tmp_path, LAYOUTS[1][1], dtype, quantisation=(0.25, zero_point))
    session = open_session(path)
    image = paint(session, RED, LIGHT_BLUE)
    stored = image if dtype == 'uint8' else image - 128
    assert np.abs(session.run(1.0) - expect(stored - zero_point, False) * 0.25).max() <= 0.25


@needs_onnx
def test_runs_follow_the_input(tmp_path: Path) -> None:
    session = open_session(write_model('onnx', tmp_path, LAYOUTS[0][1], 'uint8'))
    for left, right in ((RED, LIGHT_BLUE), (LIGHT_BLUE, RED), (RED, RED)):
        image = paint(session, left, right)
        assert np.abs(session.run(1.0) - expect(image, True)).max() <= 1


@pytest.mark.parametrize('kind', ENGINES)
def test_sessions_have_memory_of_their_own(tmp_path: Path, kind: str) -> None:
    backend, count = open_backend(
        write_model(kind, tmp_path, LAYOUTS[1][1], 'uint8'), kind, session_count=3)
    assert count == 3
    sessions = [backend.open_session() for _ in range(count)]
    images = [paint(session, (60 * number, 90, 90), RED)
              for number, session in enumerate(sessions)]
    results: Dict[int, NDArray[np.float32]] = {}

    def run(number: int) -> None:
        for _ in range(20):
            results[number] = sessions[number].run(1.0).copy()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for number, image in enumerate(images):
        assert np.abs(results[number] - expect(image, False)).max() <= 1
    for session in sessions:
        session.close()
    backend.close()


@pytest.mark.parametrize('name', ['batch', 'N'])
def test_onnx_batch_may_be_left_open(tmp_path: Path, name: str) -> None:
    path = write_onnx(tmp_path / 'a.onnx', (name, 3, HEIGHT, WIDTH), 'uint8', [(name, 72)])
    backend = open_backend(path).backend
    assert backend.info.score_count == 72
    session = backend.open_session()
    image = paint(session, RED, LIGHT_BLUE)
    assert np.abs(session.run(1.0) - expect(image, True)).max() <= 1


def test_layouts() -> None:
    assert find_layout(Path('m'), [1, 224, 192, 3]) == TensorLayout(224, 192, False)
    assert find_layout(Path('m'), ['N', 3, 160, 128]) == TensorLayout(160, 128, True)
    assert find_layout(Path('m'), [None, 3, 'h', 'w']) == TensorLayout(224, 224, True)
    assert find_layout(Path('m'), [-1, -1, -1, 3]) == TensorLayout(224, 224, False)
    assert find_layout(Path('m'), ['batch_size', 'num_channels', 'height', 'width']) == (
        TensorLayout(224, 224, True))
    assert find_layout(Path('m'), ['N', 'h', 'w', 'Channels']) == TensorLayout(224, 224, False)


def test_threads_are_divided() -> None:
    alone = count_engine_threads(1)
    assert alone >= 1
    assert count_engine_threads(1000) == 1
    assert count_engine_threads(alone) == 1


# The file beside a model


@pytest.mark.parametrize('kind', ENGINES)
def test_normalisation_of_a_float_model(tmp_path: Path, kind: str) -> None:
    path = write_model(kind, tmp_path, LAYOUTS[1][1])
    mean, std = [0.5, 0.25, 0.125], [0.5, 0.25, 1]
    Path(f'{path}.json').write_text(json.dumps({'mean': mean, 'std': std}))
    session = open_session(path)
    normalised = (paint(session, RED, LIGHT_BLUE) / 255 - mean) / std
    assert np.abs(session.run(1.0) - expect(normalised, False)).max() < 0.03


@pytest.mark.parametrize(('dtype', 'zero_point'), [('uint8', 128), ('int8', 0)])
def test_litert_normalisation_of_a_quantised_model(
        tmp_path: Path, dtype: str, zero_point: int) -> None:
    path = write_model('litert', tmp_path, LAYOUTS[1][1], dtype, quantisation=(0.02, zero_point))
    Path(f'{path}.json').write_text(json.dumps({'mean': MEAN, 'std': STD}))
    session = open_session(path)
    normalised = (paint(session, RED, LIGHT_BLUE) / 255 - MEAN) / STD
    # The tensor clips at 127 steps of 0.02.
    wanted = expect(normalised, False).clip(-2.56, 2.54)
    assert np.abs(session.run(1.0) - wanted).max() < 0.03 + 0.01


@pytest.mark.parametrize('kind', ENGINES)
@pytest.mark.parametrize('content, expected', [
    ({'range': [-1, 1]}, lambda rgb: rgb / 127.5 - 1),  # Keras
    ({'range': [0, 255]}, lambda rgb: rgb),
    ({'range': [0, 1]}, lambda rgb: rgb / 255),
    ({'range': [0, 255], 'mean': [103.9, 116.8, 123.7], 'colour_order': 'bgr'},  # Caffe
     lambda rgb: rgb[:, :, ::-1] - (103.9, 116.8, 123.7)),
    ({'colour_order': 'bgr'}, lambda rgb: ((rgb / 255 - MEAN) / STD)[:, :, ::-1])])
def test_other_values_of_a_float_model(
        tmp_path: Path, kind: str, content: Any, expected: Any) -> None:
    path = write_model(kind, tmp_path, LAYOUTS[1][1])
    Path(f'{path}.json').write_text(json.dumps(content))
    session = open_session(path)
    wanted = expected(paint(session, RED, LIGHT_BLUE))
    # Of one level of 8 bits.
    step = (wanted.max() - wanted.min()) / 100
    assert np.abs(session.run(1.0) - expect(wanted, False)).max() < step


@pytest.mark.parametrize('kind', ENGINES)
def test_the_summary_tells_what_is_default(tmp_path: Path, kind: str) -> None:
    path = write_model(kind, tmp_path, LAYOUTS[1][1])
    assert open_backend(path).backend.input_text == (
        '6x4 RGB [default], float32 NHWC, values 0 to 1, mean 0.485 0.456 0.406, '
        "std 0.229 0.224 0.225 [default: ImageNet's]")
    Path(f'{path}.json').write_text('{"range": [-1, 1], "colour_order": "bgr"}')
    assert open_backend(path).backend.input_text == (
        '6x4 BGR [sidecar], float32 NHWC, values -1 to 1 [sidecar]')
    Path(f'{path}.json').unlink()
    path = write_model(kind, tmp_path, LAYOUTS[0][1], 'int8')
    assert open_backend(path).backend.input_text == (
        '6x4 RGB [default], int8 NCHW, values -128 to 127 [default]')


def test_litert_metadata(tmp_path: Path) -> None:
    path = write_colour_tflite(
        tmp_path / 'm.tflite', np.eye(3), [0, 0, 0],
        metadata=make_metadata([127.5], [127.5], 'labels.txt'))
    with zipfile.ZipFile(path, 'a') as archive:
        archive.writestr('labels.txt', 'red\ngreen\nblue\n')
    backend = open_backend(path).backend
    assert backend.input_text.endswith('mean 127.5 127.5 127.5, std 127.5 127.5 127.5 [metadata]')
    assert backend.packed_labels == 'red\ngreen\nblue\n'
    session = backend.open_session()
    session.input.y[:], session.input.uv[:] = 235, 128
    assert np.abs(session.run(1.0) - 1).max() < 0.01
    model = LoadedModel(str(path))
    assert model.labels.names == ['red', 'green', 'blue'] and model.labels_path == path
    model.close()
    Path(f'{path}.json').write_text('{"range": [0, 1]}')
    assert open_backend(path).backend.input_text.endswith('values 0 to 1 [sidecar]')


@pytest.mark.parametrize('damage', ['latin-1', 'deflate'])
def test_litert_labels_that_are_damaged_leave_the_rest(tmp_path: Path, damage: str) -> None:
    path = write_colour_tflite(
        tmp_path / 'm.tflite', np.eye(3), [0, 0, 0], 'SOFTMAX',
        metadata=make_metadata([127.5], [127.5], 'labels.txt'))
    with zipfile.ZipFile(path, 'a', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('labels.txt', 'müde\n'.encode('latin-1') * 100)
    if damage == 'deflate':
        content = bytearray(path.read_bytes())
        at = content.index(b'labels.txt', content.rindex(b'PK\3\4')) + len('labels.txt')
        content[at:at + 4] = b'\xff' * 4
        path.write_bytes(content)
    backend = open_backend(path).backend
    assert backend.input_text.endswith('std 127.5 127.5 127.5 [metadata]')
    assert (backend.score_type, backend.packed_labels) == (ScoreType.PROBABILITIES, '')


@pytest.mark.parametrize('content', [b'', b'\0', b'\xff' * 64, bytes(64)])
def test_litert_metadata_that_is_damaged_is_passed_over(tmp_path: Path, content: bytes) -> None:
    path = write_colour_tflite(
        tmp_path / 'm.tflite', np.eye(3), [0, 0, 0], metadata=content)
    assert "[default: ImageNet's]" in open_backend(path).backend.input_text


# What is no model


@pytest.mark.parametrize('kind', ENGINES)
def test_empty_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / {'onnx': 'm.onnx', 'litert': 'm.tflite'}[kind]
    path.touch()
    with pytest.raises(ModelError, match='is empty; copy or download it again'):
        open_backend(path)


@pytest.mark.parametrize('kind', ENGINES)
@pytest.mark.parametrize('content', [
    b'\0', b'this is no model', b'\x89PNG\r\n\x1a\n' + bytes(1000), bytes(range(256)) * 50])
def test_foreign_files(tmp_path: Path, kind: str, content: bytes) -> None:
    path = tmp_path / {'onnx': 'm.onnx', 'litert': 'm.tflite'}[kind]
    path.write_bytes(content)
    with pytest.raises(ModelError, match='is no usable .* model') as caught:
        open_session(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize('kind', ENGINES)
def test_every_truncation_of_a_tiny_model(tmp_path: Path, kind: str) -> None:
    path = write_model(kind, tmp_path, LAYOUTS[1][1], 'uint8')
    content = path.read_bytes()
    refused = 0
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        try:
            open_session(path).run(1.0)
        except ModelError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 10


@pytest.mark.parametrize('part', [0.001, 0.1, 0.5, 0.99])
def test_real_model_cut_off(tmp_path: Path, part: float) -> None:
    content = find_model('', has_bpu=False).read_bytes()
    path = tmp_path / 'cut.tflite'
    path.write_bytes(content[:int(len(content) * part)])
    with pytest.raises(ModelError, match='is no usable TensorFlow Lite model'):
        open_session(path)


def test_model_of_the_other_engine(tmp_path: Path) -> None:
    for kind, suffix in (('onnx', '.tflite'), ('litert', '.onnx')):
        pytest.importorskip(ENGINES[kind], reason=f'{ENGINES[kind]} is not installed')
        path = write_model(kind, tmp_path, LAYOUTS[1][1]).rename(tmp_path / f'renamed{suffix}')
        with pytest.raises(ModelError, match='is no usable'):
            open_session(path)


@pytest.mark.parametrize('kind', ENGINES)
@pytest.mark.parametrize(('shape', 'dtype', 'options', 'sentence'), [
    ([1, 4, 6, 1], 'float32', {}, 'expected one RGB image'),
    ([1, 4, 6, 4], 'float32', {}, 'expected one RGB image'),
    ([2, 4, 6, 3], 'float32', {}, 'expected one RGB image'),
    ([4, 6, 3], 'float32', {}, 'expected one RGB image'),
    ([1, 1, 4, 6, 3], 'float32', {}, 'expected one RGB image'),
    ([72], 'float32', {}, 'expected one RGB image'),
    ([1, 4, 6, 3], 'int32', {}, 'has inputs of type'),
    ([1, 4, 6, 3], 'float32', {'inputs': 2}, 'has inputs of type'),
    ([1, 4, 6, 3], 'float32', {'outputs': [(1, 72), (1, 72)]}, 'has 2 outputs'),
    ([1, 4, 6, 3], 'float32', {'outputs': [(2, 36)]}, 'expected one list of class scores'),
    ([1, 4, 6, 3], 'float32', {'outputs': [(1, 8, 9)]}, 'expected one list of class scores')])
def test_other_shapes(tmp_path: Path, kind: str, shape: List[int], dtype: str,
                      options: Dict[str, Any], sentence: str) -> None:
    path = write_model(kind, tmp_path, shape, dtype, **options)
    with pytest.raises(ModelError) as caught:
        open_session(path)
    assert sentence in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize('kind', ENGINES)
@pytest.mark.parametrize('output', [(72,), (1, 72, 1, 1), (1, 1, 1, 72)])
def test_scores_may_have_more_axes(tmp_path: Path, kind: str, output: Tuple[int, ...]) -> None:
    path = write_model(kind, tmp_path, LAYOUTS[1][1], 'uint8', outputs=[output])
    assert open_backend(path).backend.info.score_count == 72
    assert open_session(path).run(1.0).shape == (72,)


@pytest.mark.parametrize('kind', ENGINES)
@pytest.mark.parametrize('height, width', [(5, 6), (4, 7), (5, 7)])
def test_odd_sides(tmp_path: Path, kind: str, height: int, width: int) -> None:
    """Through NV12 of the next even size, then resized exactly."""
    path = write_model(kind, tmp_path, [1, height, width, 3], 'uint8')
    backend = open_backend(path).backend
    assert (backend.info.height, backend.info.width) == (height + height % 2, width + width % 2)
    session = backend.open_session()
    session.input.y[:] = np.linspace(16, 235, backend.info.width)
    session.input.uv[:] = 128
    found = session.run(1.0).reshape(height, width, 3)
    assert (found[0, 0] < 16).all() and (found[-1, -1] > 239).all()
    assert (np.diff(found, axis=1) > 0).all()


@pytest.mark.parametrize('shape', [('N', 3, 'h', 'w'), (1, 3, 'h', 16), ('N', 3, 16, 16)])
def test_onnx_sides_left_open(tmp_path: Path, shape: Sequence[Any]) -> None:
    path = write_colour_onnx(tmp_path / 'm.onnx', np.eye(3), [0, 0, 0], shape=shape)
    backend = open_backend(path).backend
    assert (backend.info.height, backend.info.width) == tuple(
        one if isinstance(one, int) else 224 for one in shape[2:])
    assert backend.open_session().run(1.0).shape == (3,)


@pytest.mark.parametrize('signature', [(-1, -1, -1, 3), (1, -1, -1, 3), (-1, 1, 1, 3)])
def test_litert_sides_left_open(tmp_path: Path, signature: Sequence[int]) -> None:
    path = write_colour_tflite(
        tmp_path / 'm.tflite', np.eye(3), [0, 0, 0], shape=(1, 1, 1, 3), signature=signature)
    backend = open_backend(path).backend
    expected = 224 if signature[1] == -1 else 2
    assert (backend.info.height, backend.info.width) == (expected, expected)
    session = backend.open_session()
    session.input.y[:], session.input.uv[:] = 235, 128
    assert np.abs(session.run(1.0) - (1 - np.array(MEAN)) / STD).max() < 0.02


@pytest.mark.parametrize('wanted, count', [('scores', 2), ('0', None), (0, 2), ('Flatten', 3),
                                           (1, 3), (2, None), (-1, None), ('none', None)])
def test_onnx_one_of_several_outputs(tmp_path: Path, wanted: Any, count: Any) -> None:
    path = write_colour_onnx(tmp_path / 'm.onnx', np.eye(3)[:2], [0, 0], ['Softmax'],
                             more_outputs=['Flatten'])
    Path(f'{path}.json').write_text(json.dumps({'output': wanted}))
    if count is None:
        with pytest.raises(ModelError, match=r"has no output .*; it has 'scores' tensor\(float\)"):
            open_session(path)
        return
    backend = open_backend(path).backend
    assert backend.info.score_count == count == backend.open_session().run(1.0).size
    assert backend.score_type == (ScoreType.PROBABILITIES if count == 2 else None)


@pytest.mark.parametrize('wanted', ['out1', 1])
def test_litert_one_of_several_outputs(tmp_path: Path, wanted: Any) -> None:
    path = write_model('litert', tmp_path, LAYOUTS[1][1], outputs=[(8, 9), (1, 72)])
    with pytest.raises(ModelError, match=(
            r"has 2 outputs: 'out0' float32 \[8, 9\], 'out1' float32 \[1, 72\]; expected one "
            r'list of class scores, or "output" in ')):
        open_session(path)
    Path(f'{path}.json').write_text(json.dumps({'output': wanted}))
    assert open_session(path).run(1.0).size == 72


def test_litert_names_that_are_no_text(tmp_path: Path) -> None:
    path = write_colour_tflite(tmp_path / 'm.tflite', np.eye(3), [0, 0, 0], name=b'\xff')
    with pytest.raises(ModelError, match="m.tflite' cannot be opened: UnicodeDecodeError"):
        open_session(path)


def test_onnx_without_outputs(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / 'm.onnx', (1, 4, 6, 3))
    content = path.read_bytes()
    with pytest.raises(ModelError, match="m.onnx' "):
        path.write_bytes(content.replace(b'out0', b'out1', 1))
        open_session(path)


# Choosing


@pytest.mark.parametrize(('kind', 'module'), ENGINES.items())
def test_missing_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str,
                        module: str) -> None:
    path = write_model(kind, tmp_path, LAYOUTS[1][1])
    for name in [name for name in sys.modules if name.partition('.')[0] == module]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BackendMissingError, match=rf'{path.suffix} models need .* pip install'):
        open_session(path)


def test_weights_in_a_file_beside_the_model(tmp_path: Path) -> None:
    """Found there, whatever the working directory is."""
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    path = write_onnx(tmp_path / 'm.onnx', (1, 8, 8, 3), 'uint8', offset=tmp_path / 'm.data')
    session = open_session(path)
    session.input.y[:], session.input.uv[:] = 16, 128  # black
    assert session.run(1.0).tolist() == [0.5] * 192


def test_missing_file(tmp_path: Path) -> None:
    for path in (tmp_path / 'missing.tflite', tmp_path / 'missing.onnx'):
        with pytest.raises(ModelError, match=f"'{path}' does not exist; set model_path"):
            open_backend(path)


def test_folder_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / 'folder.tflite'
    path.mkdir()
    with pytest.raises(ModelError, match="folder.tflite' is no file; set model_path"):
        open_backend(path)


@pytest.mark.parametrize('name', ['x' * 300, 'a\0b'])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"tflite' cannot be read \(.+\); set model_path"):
        open_backend(tmp_path / f'{name}.tflite')


@pytest.mark.parametrize('name', ['model.foo', 'model', 'model.tflite.gz'])
def test_unknown_type(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(ModelError, match='is of no known type; expected one of .bin, .onnx, .tfl'):
        open_backend(tmp_path / name)


def test_engine_that_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="'onnx' opens .onnx files, not '.*m.tflite'; use"):
        open_backend(tmp_path / 'm.tflite', 'onnx')
    with pytest.raises(ModelError, match="backend 'gpu' is unknown; expected one of auto, "):
        open_backend(tmp_path / 'm.tflite', 'gpu')
    assert set(ENGINES) < set(BACKENDS)


def test_suffix_in_capitals_is_litert_too(tmp_path: Path) -> None:
    path = write_model('litert', tmp_path, LAYOUTS[1][1]).rename(tmp_path / 'M.TFLITE')
    assert open_backend(path).backend.kind == 'litert'


@pytest.mark.parametrize(('name', 'score_count'), [
    ('models/mobilenet_v2_1.0_224_quant.tflite', 1001), ('models/mobilenet_v2_quant.onnx', 1000)])
def test_real_models(shared_file: Callable[[str], Path], name: str, score_count: int) -> None:
    path = shared_file(name)
    assert open_backend(path).backend.info == (path.stem, 224, 224, score_count)
