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

"""The benchmarks on the emulated BPU: their JSON, their tables, their errors."""

from __future__ import annotations

from contextlib import closing, suppress
import json
from pathlib import Path
import signal
import subprocess
import threading
import time
from typing import Any, Dict, List, Optional, Tuple

from emulated_libdnn import Emulator, MODEL
from mobilenetv2_ros.inference.backends.registry import open_backend
from mobilenetv2_ros.tools.benchmark.__main__ import parse_arguments
from mobilenetv2_ros.tools.benchmark.backend import _Worker, measure
import psutil
import pytest
from support.checkout import CHECKOUT
from support.engines import needs_litert
from support.fixture_types import StartPython
from support.node_process import holds_signals, STOP_SIGNALS, wait_until

KEYS = {'backend', 'threads', 'frames', 'fps', 'latency_ms', 'cpu_us_per_frame',
        'process_cpu_us_per_frame', 'wrong'}


COMPARE = CHECKOUT / 'dev/comparison/compare.py'


def run(start_python: StartPython, *options: str, **environment: str) -> Tuple[int, str, str]:
    process = start_python(
        '-m', 'mobilenetv2_ros.tools.benchmark', 'backend', *options, **environment)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


def run_well(start_python: StartPython, *options: str) -> str:
    code, output, errors = run(
        start_python, '--model', str(MODEL), '--seconds', '0.3', *options)
    assert (code, errors) == (0, '')
    return output


def check_result(result: Dict[str, Any], backend: str, threads: int) -> None:
    assert set(result) == KEYS
    assert (result['backend'], result['threads'], result['wrong']) == (backend, threads, 0)
    assert isinstance(result['frames'], int) and result['frames'] > threads
    assert 0 < result['fps']
    # Each run lasts a little longer than 0.3 s.
    assert result['frames'] / result['fps'] >= 0.3
    latency = result['latency_ms']
    assert set(latency) == {'p50', 'p99', 'mean'}
    assert 1.4 < latency['p50'] <= latency['p99']
    assert 0 < result['cpu_us_per_frame'] < result['process_cpu_us_per_frame']


@pytest.mark.parametrize('threads', [1, 4])
def test_one_run_is_one_json_object(start_python: StartPython, threads: int) -> None:
    output = run_well(start_python, '--threads', str(threads), '--json')
    check_result(json.loads(output), 'libdnn', threads)


def test_several_runs_are_a_list(start_python: StartPython) -> None:
    output = run_well(start_python, '--threads', '1,2', '--json', '--busy')
    results = json.loads(output)['results']
    assert len(results) == 2
    for threads, result in zip((1, 2), results):
        check_result(result, 'libdnn', threads)


def test_holding_the_lock_is_compared(start_python: StartPython) -> None:
    output, errors = start_python(
        COMPARE, 'backend', '--model', MODEL, '--seconds', '0.3', '--threads', '2', '--json'
        ).communicate(timeout=60)
    assert errors == ''
    ours, theirs = json.loads(output)['results']
    check_result(ours, 'libdnn', 2)
    check_result(theirs, 'libdnn, GIL held', 2)


@pytest.mark.parametrize('model, figures', [
    (MODEL, ('1.42', '1152')),
    (MODEL.with_name('mobilenetv2_100_bayese_224x224_nv12.bin'), ('1.039', '1347'))])
def test_the_table_has_a_row_for_each_run_beside_the_published_figures(
        start_python: StartPython, model: Path, figures: Tuple[str, str]) -> None:
    first, head, *rows, published = run_well(
        start_python, '--threads', '1,2,4', '--model', str(model)).splitlines()
    assert first == f'model {model}'
    for column in ('backend', 'threads', 'frames/s', 'p50 ms', 'p99 ms', 'CPU us/frame',
                   'of process', 'wrong'):
        assert column in head
    assert [row.split()[:2] for row in rows] == [['libdnn', count] for count in '124']
    assert all(row.split()[-1] == '0' for row in rows)
    assert all(f' {figure} ' in published for figure in figures)


@needs_litert
def test_a_cpu_model_is_measured_too(start_python: StartPython) -> None:
    code, output, _ = run(
        start_python, '--model', 'models/efficientnet_lite0_int8.tflite', '--threads', '1',
        '--seconds', '0.5', '--json')
    result = json.loads(output)
    assert (code, result['backend'], result['wrong']) == (0, 'litert', 0)
    assert result['frames'] > 0


def test_results_of_other_frames_are_counted_as_wrong(
        start_python: StartPython) -> None:
    """Scores that are NaN have their maximum in class 0, which is not what the images are."""
    code, output, _ = run(
        start_python, '--model', str(MODEL), '--threads', '1', '--seconds', '0.3', '--json',
        EMULATED_LIBDNN='nan=0.5')
    result = json.loads(output)
    assert code == 0 and 0 < result['wrong'] <= result['frames']


@pytest.mark.parametrize('environment, options, expected', [
    ({}, ['--model', '/nowhere/model.bin'], "model file '/nowhere/model.bin' does not exist"),
    ({}, ['--model', str(MODEL), '--backend', 'onnx'], "backend 'onnx' opens .onnx files"),
    ({'EMULATED_LIBDNN': 'fail.hbDNNInfer=-6000012'}, ['--model', str(MODEL)],
     'hbDNNInfer failed with -6000012')])
def test_an_error_is_one_sentence(
        start_python: StartPython, environment: Dict[str, str], options: Any,
        expected: str) -> None:
    check_error(run(start_python, '--seconds', '0.3', *options, **environment), expected)


def test_a_missing_library_is_one_sentence(start_python: StartPython) -> None:
    process = start_python('-c', '\n'.join([
        'import sys',
        'from mobilenetv2_ros.inference.backends import libdnn_abi',
        'from mobilenetv2_ros.tools.benchmark.__main__ import main',
        'libdnn_abi.LIBRARIES = "/nowhere/libdnn.so",',
        'sys.exit(main(sys.argv[1:]))']), 'backend', '--model', MODEL)
    output, errors = process.communicate(timeout=60)
    check_error((process.returncode, output, errors), 'libdnn.so cannot be loaded')


def check_error(result: Tuple[int, str, str], expected: str) -> None:
    code, output, errors = result
    assert (code, output) == (1, '')
    assert errors.startswith('benchmark: ') and expected in errors
    assert errors.count('\n') == 1


def test_a_run_that_starts_too_late_has_a_frame_of_each_thread(emulator: Emulator) -> None:
    with closing(open_backend(MODEL).backend) as backend:
        result = measure(backend, 2, 0.0, threading.Event()).to_json()
    assert (result['frames'], result['wrong']) == (2, 0)


def test_sessions_are_closed_after_the_last_run_when_a_signal_comes(
        emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    joined: List[threading.Thread] = []
    stopping = threading.Event()

    def join(worker: threading.Thread, timeout: Optional[float] = None) -> None:
        joined.append(worker)
        stopping.set()
        threading.Thread.join(worker, timeout)

    monkeypatch.setattr(_Worker, 'join', join)
    with closing(open_backend(MODEL).backend) as backend, pytest.raises(KeyboardInterrupt):
        measure(backend, 2, 1000.0, stopping)
    assert len(set(joined)) == 2 and not any(worker.is_alive() for worker in joined)


@pytest.mark.parametrize('option, words, expected', [
    ('backend --threads', ['0', '33', 'many', '1,', '1.5', '²', '9' * 5000], '1 to 32'),
    ('backend --seconds', ['x', '0', 'nan', 'inf', '86401'], '0.1 to 86400 seconds'),
    ('node --seconds', ['x', '0', '-1', 'nan', 'inf'], '0.1 to 86400 seconds'),
    ('node --rate', ['0', '-1', 'nan', 'inf', 'x', ''],
     '0.1 to 1000000 images per second, or flood'),
    ('node --threads', ['-1', '17', 'x'], '0 to 16'),
    ('node --cameras', ['0', '9'], '1 to 8'),
    ('node --size', ['x', '0x5', '5x', '²x²', '10000x5001'],
     'WIDTHxHEIGHT such as 640x480, of at most 50000000 pixels')])
def test_wrong_arguments_are_refused_in_a_sentence(
        capsys: pytest.CaptureFixture[str], option: str, words: List[str],
        expected: str) -> None:
    command, name = option.split()
    for word in words:
        with pytest.raises(SystemExit) as caught:
            parse_arguments([command, f'{name}={word}'])
        assert caught.value.code == 2
        last = capsys.readouterr().err.splitlines()[-1]
        refused = '' if word == '1,' else word
        what = 'size ' if name == '--size' else ''
        assert last.endswith(
            f"error: argument {name}: {what}'{refused}' is not usable; expected {expected}")


def test_the_largest_arguments_are_taken() -> None:
    options = parse_arguments([
        'node', '--rate', 'flood', '--size', '10000x5000', '--threads', '16'])
    assert (options.rate, options.size, options.threads) == (0.0, (10000, 5000), 16)


def test_the_node_takes_turns_with_a_usual_and_a_bare_one(start_python: StartPython) -> None:
    pytest.importorskip('rclpy', reason='ROS is not installed')
    process = start_python(
        COMPARE, 'node', '--model', str(MODEL), '--threads', '2', '--encoding', 'bgr8',
        '--size', '64x48', '--rate', '50', '--seconds', '1', '--rounds', '1', '--json')
    try:
        output, _ = process.communicate(timeout=180)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # it has nodes to stop
        raise
    figures = json.loads(output)
    assert set(figures) == {'node', 'usual node', 'bare node'}
    for one in figures.values():
        assert one['fps'] > 0 and one['out_of_order'] == 0
        assert 0 < one['latency_p50'] <= one['latency_p99'] <= one['latency_max']
        assert one['cpu_us_per_frame'] > 0 and one['rss_mb'] > 10
    for name in ('node', 'usual node'):
        assert figures[name]['latency_p50'] > 1.42  # what the emulated BPU takes for an image
    assert figures['node']['failed'] == 0


def test_cameras_in_a_process_each_and_in_one_are_side_by_side(start_python: StartPython) -> None:
    pytest.importorskip('rclpy', reason='ROS is not installed')
    process = start_python(
        '-m', 'mobilenetv2_ros.tools.benchmark', 'node', '--model', MODEL, '--cameras', '2',
        '--one-process', '--rate', '20', '--seconds', '1', '--json')
    try:
        output, errors = process.communicate(timeout=180)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        raise
    assert 'Traceback' not in errors
    figures = json.loads(output)
    assert set(figures) == {'node', 'one process'}
    for one in figures.values():
        assert one['fps'] > 0 and one['out_of_order'] == one['failed'] == 0
        assert one['cpu_us_per_frame'] > 0
        assert 10 < one['pss_mb'] < one['rss_mb']
        assert one['results'] <= one['published'] <= 20  # a second of 20 Hz
        assert abs(one['received'] + one.get('lost in transport', 0) - one['published']) <= 2
    assert figures['one process']['rss_mb'] < figures['node']['rss_mb']


@needs_litert
def test_a_node_that_does_not_start_ends_it_at_once(
        start_python: StartPython, tmp_path: Path) -> None:
    pytest.importorskip('rclpy', reason='ROS is not installed')
    torn = tmp_path / 'torn.tflite'
    torn.write_bytes(b'no model')
    process = start_python(
        '-m', 'mobilenetv2_ros.tools.benchmark', 'node', '--model', str(torn), '--seconds', '1000')
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (1, '')
    assert "torn.tflite' is no usable TensorFlow Lite model" in errors
    assert 'benchmark: the node ended with code 1; see its message above' in errors
    assert 'Traceback' not in errors


def test_the_conversion_is_compared(start_python: StartPython) -> None:
    process = start_python(COMPARE, 'convert', '--encoding', 'nv12', '--json')
    output, errors = process.communicate(timeout=120)
    assert errors == ''
    results = json.loads(output)['results']
    assert [one['size'] for one in results] == ['224x224', '640x480', '1920x1080']
    for one in results:
        assert one['encoding'] == 'nv12' and one['us'] > 0 and one['usual_us'] > 0
        assert one['y_max'] <= 4


def test_the_conversion_is_a_table(start_python: StartPython) -> None:
    process = start_python(
        '-m', 'mobilenetv2_ros.tools.benchmark', 'convert', '--encoding', 'nv12')
    output, errors = process.communicate(timeout=120)
    assert errors == ''
    head, *rows = output.splitlines()
    assert head.split() == ['encoding', 'size', 'us']
    assert [row.split()[:2] for row in rows] == [
        ['nv12', size] for size in ('224x224', '640x480', '1920x1080')]


@pytest.mark.parametrize('delay', [0.0, 0.3, 0.6, 0.9])
@pytest.mark.parametrize('reason', STOP_SIGNALS)
@pytest.mark.parametrize('command', [
    ['backend', '--model', str(MODEL), '--seconds', '1000', '--threads', '4'], ['convert']])
def test_a_signal_ends_it_without_a_traceback(
        start_python: StartPython, command: List[str], reason: signal.Signals,
        delay: float) -> None:
    """Wherever in its start it is."""
    process = start_python('-m', 'mobilenetv2_ros.tools.benchmark', *command)
    wait_until(lambda: holds_signals(process.pid))
    time.sleep(delay)
    process.send_signal(reason)
    assert process.communicate(timeout=60) == ('', '')
    assert process.returncode == 130


@pytest.mark.parametrize('reason', STOP_SIGNALS)
def test_a_signal_ends_the_processes_of_a_measurement_too(
        start_python: StartPython, reason: signal.Signals) -> None:
    pytest.importorskip('rclpy', reason='ROS is not installed')
    process = start_python(
        '-m', 'mobilenetv2_ros.tools.benchmark', 'node', '--model', str(MODEL),
        '--seconds', '1000')
    benchmark = psutil.Process(process.pid)
    wait_until(lambda: len(benchmark.children()) == 2 or process.poll() is not None)
    children = benchmark.children()
    try:
        process.send_signal(reason)
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output) == (130, '')
        assert 'Traceback' not in errors
        assert len(children) == 2 and not any(child.is_running() for child in children)
    finally:
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
