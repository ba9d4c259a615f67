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

"""The program classify_image: what it prints, what it writes, and what it does with bad files."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
import shutil
import struct
from typing import Any, Callable, Dict, List
import zlib

import cv2
from emulated_libdnn import Emulator, MODEL, write_model
from mobilenetv2_ros.image.overlay import draw_classes
from mobilenetv2_ros.tools.classify_image import main, plan_targets
from mobilenetv2_ros.tools.sources import read_image, SourceError
import numpy as np
import pytest
from support.engines import needs_litert, needs_onnx
from support.fixture_types import StartPython

Output = pytest.CaptureFixture[str]


def run_json(capsys: Output, *arguments: object, code: int = 0) -> Dict[str, Any]:
    assert main([*map(str, arguments), '--json']) == code
    result: Dict[str, Any] = json.loads(capsys.readouterr().out)
    assert set(result) == {'model', 'backend', 'resize_mode', 'summary', 'images'}
    return result


def write_oversized_png(path: Path) -> Path:
    """Write a small file that says it is an image of 60000x60000."""
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack('>I', len(content)) + kind + content + struct.pack(
            '>I', zlib.crc32(kind + content))

    path.write_bytes(
        b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 60000, 60000, 8, 2, 0, 0, 0))
        + chunk(b'IDAT', zlib.compress(bytes(100))) + chunk(b'IEND', b''))
    return path


def test_a_photo_that_claims_too_much_is_refused_where_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match='60000x60000 is larger than'):
        read_image(write_oversized_png(tmp_path / 'large.png'))


@needs_litert
def test_table(photos: Path, capsys: Output) -> None:
    assert main([str(photos / 'coffee.png'), str(photos / 'dam.jpg'), '--top-k', '2']) == 0
    model, *lines = capsys.readouterr().out.splitlines()
    assert model.startswith('model ') and model.endswith('scores: probabilities [graph]')
    blank, title, head, first, second = lines[:5]
    assert (blank, head.split()) == ('', ['rank', 'score', 'index', 'class'])
    assert title.startswith(f'{photos}/coffee.png  600x400, ') and title.endswith(' ms')
    rank, score, index, name = first.split(maxsplit=3)
    assert (rank, index, name) == ('1', '967', 'espresso') and 0.5 < float(score) <= 1
    assert second.split()[0] == '2' and len(lines) == 10
    assert lines[8].split(maxsplit=3)[2:] == ['525', 'dam']


@needs_litert
@pytest.mark.parametrize('mode', ['stretch', 'crop', 'letterbox'])
def test_json(photos: Path, capsys: Output, mode: str) -> None:
    result = run_json(capsys, photos / 'goldfish.jpg', photos / 'dam.jpg', '--top-k', '3',
                      '--resize-mode', mode)
    assert (result['backend'], result['resize_mode']) == ('litert', mode)
    goldfish, dam = result['images']
    assert (goldfish['file'], goldfish['width'], goldfish['height']) == (
        str(photos / 'goldfish.jpg'), 320, 272)
    assert goldfish['ms'] > 0
    assert [one['rank'] for one in goldfish['classes']] == [1, 2, 3]
    scores = [one['score'] for one in goldfish['classes']]
    assert scores == sorted(scores, reverse=True) and 0 < scores[-1]
    assert (goldfish['classes'][0]['name'], goldfish['classes'][0]['index']) == ('goldfish', 1)
    assert dam['classes'][0]['name'] == 'dam'


@needs_litert
def test_resize_modes_differ(photos: Path, capsys: Output) -> None:
    scores = {
        run_json(capsys, photos / 'coffee.png', '--resize-mode', mode)
        ['images'][0]['classes'][0]['score'] for mode in ('stretch', 'crop', 'letterbox')}
    assert len(scores) == 3


@pytest.mark.parametrize('model', [
    pytest.param('mobilenet_v2_1.0_224_quant.tflite', marks=needs_litert),
    pytest.param('mobilenet_v2_quant.onnx', marks=needs_onnx)])
def test_official_models_know_the_deerhound(
        shared_file: Callable[[str], Path], capsys: Output, model: str) -> None:
    result = run_json(capsys, shared_file('images/Scottish_deerhound.JPEG'), '--model',
                      shared_file(f'models/{model}'))
    assert result['images'][0]['classes'][0]['name'] == 'Scottish deerhound'


@needs_litert
def test_labels_of_the_user(shared_file: Callable[[str], Path], photos: Path,
                            capsys: Output) -> None:
    result = run_json(capsys, photos / 'goldfish.jpg', '--labels',
                      shared_file('models/ImageNet_1k.json'))
    assert result['images'][0]['classes'][0]['name'] == 'goldfish'


@needs_litert
def test_bad_images_are_told_and_the_others_classified(
        photos: Path, tmp_path: Path, capsys: Output) -> None:
    text = tmp_path / 'text.jpg'
    text.write_text('no image', 'utf-8')
    huge = write_oversized_png(tmp_path / 'huge.png')
    (tmp_path / 'empty.png').touch()
    bad = [text, huge, tmp_path / 'missing.jpg', tmp_path, tmp_path / 'empty.png']
    assert main([*map(str, bad), str(photos / 'dam.jpg'), '--json']) == 1
    printed = capsys.readouterr()
    *failed, dam = json.loads(printed.out)['images']
    assert dam['classes'][0]['name'] == 'dam' and 'error' not in dam
    complaints = [line for line in printed.err.splitlines() if line.startswith('classify_image: ')]
    assert len(complaints) == len(failed) == len(bad) and 'Traceback' not in printed.err
    for path, result, complaint in zip(bad, failed, complaints):
        assert set(result) == {'file', 'error'} and result['file'] == str(path)
        assert complaint == f"classify_image: {result['error']}" and f"'{path}'" in complaint


@needs_litert
def test_annotated_images_in_a_new_folder(
        photos: Path, tmp_path: Path, capsys: Output) -> None:
    folder = tmp_path / 'new' / 'folder'
    assert main([str(photos / 'coffee.png'), str(photos / 'dam.jpg'), '--output',
                 str(folder)]) == 0
    assert {path.name for path in folder.iterdir()} == {
        'coffee_classified.png', 'dam_classified.jpg'}
    original = read_image(photos / 'coffee.png')
    changed = (read_image(folder / 'coffee_classified.png') != original).any(axis=2)
    assert changed[:60, :60].any() and not changed[200:].any() and not changed[:, 400:].any()


@needs_litert
def test_annotated_image_in_a_file(photos: Path, tmp_path: Path, capsys: Output) -> None:
    target = tmp_path / 'result.png'
    assert main([str(photos / 'dam.jpg'), '--output', str(target)]) == 0
    assert read_image(target).shape == read_image(photos / 'dam.jpg').shape


@needs_litert
def test_a_suffix_that_cannot_be_written_becomes_jpeg(
        photos: Path, tmp_path: Path, capsys: Output) -> None:
    for name in ('coffee', 'coffee.photo'):
        shutil.copy(photos / 'coffee.png', tmp_path / name)
        assert main([str(tmp_path / name), '--output', str(tmp_path / 'out')]) == 0
        read_image(tmp_path / 'out' / 'coffee_classified.jpg')
        (tmp_path / 'out' / 'coffee_classified.jpg').unlink()


@pytest.mark.parametrize('name, annotated', [
    ('l\udce4.png', 'l\udce4_classified.png'), ('l.\udce4', 'l_classified.jpg'),
    ('l.\xe4', 'l_classified.jpg')])
def test_names_that_are_not_ascii_do_not_crash_opencv(
        photos: Path, tmp_path: Path, start_python: StartPython, name: str,
        annotated: str) -> None:
    shutil.copy(photos / 'coffee.png', tmp_path / name)
    process = start_python('-m', 'mobilenetv2_ros.tools.classify_image', '--model', MODEL,
                           tmp_path / name, '--json', '--output', tmp_path / 'out')
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, '')
    read_image(tmp_path / 'out' / annotated)


PRINTING = [
    ['classify_image', '--model', str(MODEL), 'photos/dam.jpg'],
    ['evaluate', '--model', str(MODEL), 'photos'],
    ['benchmark', 'backend', '--model', str(MODEL), '--threads', '1', '--seconds', '0.1']]


@pytest.mark.parametrize('program, arguments', [(name, rest) for name, *rest in PRINTING])
def test_output_that_nobody_reads_ends_a_program_quietly(
        start_python: StartPython, program: str, arguments: List[str]) -> None:
    process = start_python('-m', f'mobilenetv2_ros.tools.{program}', *arguments)
    assert process.stdout is not None
    process.stdout.close()
    assert process.communicate(timeout=60)[1] == ''
    assert process.returncode == 1


@pytest.mark.parametrize('program, arguments', [(name, rest) for name, *rest in PRINTING])
def test_what_libdnn_prints_does_not_break_the_json(
        start_python: StartPython, program: str, arguments: List[str]) -> None:
    process = start_python(
        '-m', f'mobilenetv2_ros.tools.{program}', *arguments, '--json', EMULATED_LIBDNN='log=1')
    output, errors = process.communicate(timeout=60)
    assert isinstance(json.loads(output), dict)
    assert errors.startswith('[DNN] Runtime version = ')


@pytest.mark.parametrize('program, arguments', [(name, rest) for name, *rest in PRINTING])
def test_output_to_a_full_disk_is_told(
        start_python: StartPython, program: str, arguments: List[str]) -> None:
    process = start_python(
        '-c', 'import os, runpy, sys; os.dup2(os.open("/dev/full", os.O_WRONLY), 1); '
        'del sys.argv[0]; runpy.run_module(sys.argv[0], run_name="__main__")',
        f'mobilenetv2_ros.tools.{program}', *arguments)
    assert process.communicate(timeout=60) == (
        '', f'{program}: stdout cannot be written: No space left on device\n')
    assert process.returncode == 1


def test_a_name_that_cannot_be_printed_is_escaped(
        photos: Path, tmp_path: Path, start_python: StartPython) -> None:
    shutil.copy(photos / 'dam.jpg', tmp_path / 'l\udce4.jpg')
    process = start_python(
        '-m', 'mobilenetv2_ros.tools.classify_image', '--model', MODEL, tmp_path / 'l\udce4.jpg',
        PYTHONIOENCODING='utf-8:strict')
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, '')
    assert '/l\\udce4.jpg  320x235' in output


@needs_litert
def test_a_full_disk_leaves_what_was_there(
        photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    def write_a_part(path: Path, content: bytes) -> None:
        with path.open('wb') as file:
            file.write(content[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / 'old.png').write_bytes(b'old')
    monkeypatch.setattr(Path, 'write_bytes', write_a_part)
    for name in ('old.png', 'new.png'):
        assert main([str(photos / 'dam.jpg'), '--output', str(tmp_path / name)]) == 1
        assert capsys.readouterr().err.endswith(
            f"'{tmp_path / name}' cannot be written: No space left on device\n")
    assert [path.name for path in tmp_path.iterdir()] == ['old.png']
    assert (tmp_path / 'old.png').read_bytes() == b'old'


def check_refused(capsys: Output, arguments: List[object], words: str) -> None:
    """Check that all is refused, in a sentence, before anything is classified."""
    assert main([*map(str, arguments)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ''
    assert printed.err.startswith('classify_image: ') and printed.err.count('\n') == 1
    assert words in printed.err


def test_outputs_that_would_destroy_something_are_refused(
        photos: Path, tmp_path: Path, capsys: Output) -> None:
    image = tmp_path / 'a.png'
    shutil.copy(photos / 'coffee.png', image)
    (tmp_path / 'sub').mkdir()
    twin = tmp_path / 'sub' / 'a.png'
    shutil.copy(photos / 'coffee.png', twin)
    content = image.read_bytes()
    check_refused(capsys, [image, '--output', image], 'would overwrite the image itself')
    check_refused(capsys, [image, '--output', tmp_path / 'sub' / '..' / 'a.png'],
                  'would overwrite the image itself')
    check_refused(capsys, [image, twin, '--output', tmp_path / 'out'],
                  'two images would both be written to')
    check_refused(capsys, [image, twin, '--output', tmp_path / 'b.png'],
                  'names one file for 2 images')
    assert image.read_bytes() == content


@needs_litert
@pytest.mark.parametrize('output, words', [
    ('result.doc', 'OpenCV has no such format'), ('file', 'OpenCV has no such format'),
    ('file/result.png', "/file' cannot be written: File exists"),
    (f"{'x' * 300}.png", 'cannot be written: File name too long'),
    (f"{'x' * 300}", 'cannot be written: File name too long')])
def test_outputs_that_cannot_be_written_are_told(
        photos: Path, tmp_path: Path, capsys: Output, output: str, words: str) -> None:
    (tmp_path / 'file').touch()
    result = run_json(
        capsys, photos / 'dam.jpg', '--output', tmp_path / output, code=1)['images'][0]
    assert words in result['error'] and str(tmp_path) in result['error']
    assert result['classes'][0]['name'] == 'dam'


def test_outputs_that_this_user_may_not_reach_are_told(
        photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    look = os.stat

    def refuse(path: Any, *arguments: Any, **options: Any) -> Any:
        if str(path).startswith(str(tmp_path / 'closed')):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return look(path, *arguments, **options)

    monkeypatch.setattr(os, 'stat', refuse)
    assert plan_targets([photos / 'dam.jpg'], str(tmp_path / 'closed')) == {
        photos / 'dam.jpg': tmp_path / 'closed' / 'dam_classified.jpg'}


@pytest.mark.parametrize('word, folder', [
    ('~/x', '{home}/x'), ('~/x.d/', '{home}/x.d'), ('run.1/', 'run.1'), ('run.1/.', 'run.1'),
    ('..', '..'), ('', '.')])
def test_a_slash_at_the_end_is_a_folder_and_a_tilde_the_home(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, folder: str) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    expected = Path(folder.format(home=tmp_path))
    assert plan_targets([Path('a.jpg'), Path('b.png')], word) == {
        Path('a.jpg'): expected / 'a_classified.jpg', Path('b.png'): expected / 'b_classified.png'}


def test_the_home_of_an_unknown_user_is_refused(photos: Path, capsys: Output) -> None:
    check_refused(capsys, [photos / 'dam.jpg', '--output', '~nosuchuser/x'],
                  "'~nosuchuser/x' names the home of an unknown user")


@needs_litert
def test_a_image_named_twice_is_one(photos: Path, tmp_path: Path, capsys: Output) -> None:
    dam = photos / 'dam.jpg'
    assert len(run_json(capsys, dam, dam, '--output', tmp_path / 'out')['images']) == 1


@pytest.mark.parametrize('arguments, words', [
    (['--model', '/nowhere/m.tflite'], "model file '/nowhere/m.tflite' does not exist"),
    (['--backend', 'onnx'], "backend 'onnx' opens .onnx files"),
    pytest.param(['--labels', '/nowhere/l.txt'], "label file '/nowhere/l.txt' cannot be read",
                 marks=needs_litert)])
def test_models_that_cannot_be_used_are_told(
        photos: Path, capsys: Output, arguments: List[object], words: str) -> None:
    check_refused(capsys, [photos / 'dam.jpg', *arguments], words)


@pytest.mark.parametrize('arguments', [
    [], ['a.jpg', '--top-k', '0'], ['a.jpg', '--top-k', '1001'], ['a.jpg', '--top-k', 'x'],
    ['a.jpg', '--resize-mode', 'fill'], ['a.jpg', '--backend', 'gpu']])
def test_wrong_arguments(capsys: Output, arguments: List[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith('usage: classify_image')


def test_on_a_bpu(photos: Path, start_python: StartPython) -> None:
    process = start_python('-m', 'mobilenetv2_ros.tools.classify_image', '--model', MODEL,
                           photos / 'coffee.png', '--json')
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, '')
    assert json.loads(output)['backend'] == 'libdnn'


def test_a_image_that_the_engine_fails_on_does_not_stop_the_others(
        photos: Path, tmp_path: Path, emulator: Emulator, capsys: Output) -> None:
    # The first runs are those on probe images, to try the model.
    best = iter([0.5] * 7 + [float('nan'), 0.75])
    emulator.set_network(lambda nv12: [next(best), 0.25, *[0.0] * 998])
    model = write_model(tmp_path / 'model.bin', network='callback')
    result = run_json(
        capsys, photos / 'coffee.png', photos / 'dam.jpg', '--model', model, code=1)
    failed, dam = result['images']
    assert failed['error'].startswith(f"'{photos}/coffee.png': the network gave scores from nan")
    assert dam['classes'][0] == {'rank': 1, 'name': 'tench', 'index': 0, 'score': 0.75}


@pytest.mark.parametrize('size', [
    (1, 1), (2, 9000), (9000, 2), (1, 500_000), (31, 47), (480, 640), (1080, 1920)])
def test_classes_are_drawn_on_any_size(size: Any) -> None:
    lines = ['Scottish deerhound 82.9 %', 'cup 3.0 %']
    grey = np.full((*size, 3), 100, np.uint8)
    drawn = draw_classes(grey, lines)
    assert (grey == 100).all()
    assert drawn.dtype == np.uint8 and (drawn != 100).any()
    # A message of one column must not become an image that fills the memory.
    assert drawn.size <= max(grey.size, 3.3e6)
    assert draw_classes(grey, []).shape == drawn.shape


def test_drawn_text_is_bright_on_dark_and_as_wide_as_it_is_long() -> None:
    white = np.full((480, 640, 3), 255, np.uint8)
    short, long = (draw_classes(white, [line]) for line in ('cup', 'Scottish deerhound'))
    widths = [int(cv2.countNonZero((one[3] != 255).any(axis=1).astype(np.uint8)))
              for one in (short, long)]
    assert 30 < widths[0] < widths[1] < 400
    panel = long[:20, :widths[1]]
    assert panel.max() > 200 and np.median(panel) < 100


def test_no_image_is_overwritten_before_its_turn(
        photos: Path, tmp_path: Path, capsys: Output) -> None:
    shutil.copy(photos / 'coffee.png', tmp_path / 'a.png')
    shutil.copy(photos / 'tripod.png', tmp_path / 'a_classified.png')
    check_refused(
        capsys, [tmp_path / 'a.png', tmp_path / 'a_classified.png', '--output', tmp_path],
        "a_classified.png', which is to be classified too")


@needs_litert
def test_formats_that_cannot_hold_the_image(
        photos: Path, tmp_path: Path, capsys: Output) -> None:
    grey, wide = tmp_path / 'grey.pgm', tmp_path / 'wide.png'
    cv2.imwrite(str(grey), read_image(photos / 'dam.jpg')[:, :, 1])
    cv2.imwrite(str(wide), np.zeros((2, 70_000, 3), np.uint8))
    run_json(capsys, grey, '--output', f'{tmp_path}/out/')
    read_image(tmp_path / 'out' / 'grey_classified.jpg')
    result, = run_json(capsys, wide, '--output', tmp_path / 'wide.jpg', code=1)['images']
    assert "wide.jpg' cannot be written" in result['error']


def test_a_pipe_is_no_photo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe.jpg')
    with pytest.raises(SourceError, match="pipe.jpg' is no file"):
        read_image(tmp_path / 'pipe.jpg')
