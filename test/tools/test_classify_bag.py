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

"""The program classify_bag on recordings of both kinds, with images of both kinds."""

from __future__ import annotations

import csv
from importlib.util import find_spec
import json
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import cv2
from emulated_libdnn import Emulator, MODEL, write_model
from mobilenetv2_ros.image.image_message import Header
from mobilenetv2_ros.inference.image_classifier import ImageClassifier
from mobilenetv2_ros.tools.classify_bag import main
import numpy as np
import pytest
from support.fixture_types import StartPython

rosbag2 = pytest.importorskip('rosbags.rosbag2', reason='rosbags is not installed')
typesys = pytest.importorskip('rosbags.typesys')

RAW, JPEG = '/camera/image_raw', '/camera/image_raw/compressed'
SECOND = 10 ** 9
STAMP = 1_700_000_000
Output = pytest.CaptureFixture[str]
Recording = List[Tuple[str, int, Any]]

TYPES = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE)
for name, text in (
        ('vision_msgs/msg/ObjectHypothesis', 'string class_id\nfloat64 score\n'),
        ('vision_msgs/msg/Classification',
         'std_msgs/Header header\nvision_msgs/ObjectHypothesis[] results\n')):
    TYPES.register(typesys.get_types_from_msg(text, name))


def make_pixels(seed: int) -> Any:
    """Make an image of 32x24: uint8, shape (24, 32, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)


def make_header(seed: int) -> Any:
    """Make the header that the image of this number has."""
    time = TYPES.types['builtin_interfaces/msg/Time'](sec=STAMP + seed, nanosec=seed)
    return TYPES.types['std_msgs/msg/Header'](stamp=time, frame_id=f'camera {seed}')


def make_image(seed: int) -> Any:
    """Make a raw image."""
    return TYPES.types['sensor_msgs/msg/Image'](
        header=make_header(seed), height=24, width=32, encoding='bgr8', is_bigendian=0, step=96,
        data=make_pixels(seed).reshape(-1))


def make_compressed(seed: int) -> Any:
    """Make the same as PNG, which loses nothing."""
    _, data = cv2.imencode('.png', make_pixels(seed))
    return TYPES.types['sensor_msgs/msg/CompressedImage'](
        header=make_header(seed), format='png', data=data.reshape(-1))


def record(path: Path, messages: Recording, plugin: str = 'SQLITE3',
           compression: str = 'NONE') -> Path:
    """Write messages, each a topic, a time in seconds and a message."""
    writer = rosbag2.Writer(path, version=8, storage_plugin=rosbag2.StoragePlugin[plugin])
    writer.set_compression(rosbag2.CompressionMode[compression], rosbag2.CompressionFormat.ZSTD)
    connections: Dict[str, Any] = {}
    with writer:
        for topic, second, message in messages:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=TYPES)
            writer.write(connections[topic], (STAMP + second) * SECOND,
                         TYPES.serialize_cdr(message, kind))
    return path


def make_text(text: str) -> Any:
    return TYPES.types['std_msgs/msg/String'](data=text)


def make_recording(count: int) -> Recording:
    """Alternate raw and compressed images, with something else between."""
    return [one for seed in range(count) for one in (
        ('/chatter', seed, make_text(str(seed))),
        (JPEG, seed, make_compressed(seed)) if seed % 2 else (RAW, seed, make_image(seed)))]


def classify(seeds: Sequence[int]) -> List[List[str]]:
    """Return the names that the engine alone finds for the images of these numbers."""
    with ImageClassifier(MODEL, top_k=3) as classifier:
        return [[one.name for one in classifier.classify(make_pixels(seed))] for seed in seeds]


def read_results(path: Path) -> List[Tuple[str, int, Any]]:
    with rosbag2.Reader(path) as reader:
        return [(connection.topic, time, TYPES.deserialize_cdr(data, connection.msgtype))
                for connection, time, data in reader.messages()]


def check_refused(output: Output, *words: str) -> None:
    errors = output.readouterr().err
    last = errors.splitlines()[-1]
    assert last.startswith('classify_bag: ') and 'Traceback' not in errors
    for word in words:
        assert word in last


@pytest.mark.parametrize('plugin', ['SQLITE3', 'MCAP'])
@pytest.mark.parametrize('compression', ['NONE', 'FILE', 'MESSAGE'])
def test_every_image_becomes_a_result_with_its_header_and_time(
        tmp_path: Path, emulator: Emulator, plugin: str, compression: str) -> None:
    if (plugin, compression) == ('MCAP', 'MESSAGE'):
        pytest.skip('rosbag2 has no such recordings')
    count = 25
    bag = record(tmp_path / 'bag', make_recording(count), plugin, compression)
    output = tmp_path / 'results'
    assert main([str(bag), '--model', str(MODEL), '--top-k', '3', '--output', str(output)]) == 0
    results = read_results(output)
    assert [topic for topic, _, _ in results] == [
        f'{JPEG if seed % 2 else RAW}/classification' for seed in range(count)]
    assert [time for _, time, _ in results] == [
        (STAMP + seed) * SECOND for seed in range(count)]
    assert [message.header for _, _, message in results] == list(map(make_header, range(count)))
    assert [[one.class_id for one in message.results] for _, _, message in results] == classify(
        range(count))
    assert {file.suffix for file in output.iterdir()} == {
        '.yaml', '.mcap' if plugin == 'MCAP' else '.db3'}


def test_topics_are_chosen_by_name(tmp_path: Path, emulator: Emulator) -> None:
    bag = record(tmp_path / 'bag', make_recording(6))
    assert main([str(bag), '--model', str(MODEL), '--topic', JPEG,
                 '--output', str(tmp_path / 'results')]) == 0
    assert [topic for topic, _, _ in read_results(tmp_path / 'results')] == [
        f'{JPEG}/classification'] * 3


def test_csv_and_json(tmp_path: Path, emulator: Emulator, capsys: Output) -> None:
    bag = record(tmp_path / 'bag', make_recording(3))
    table, array = tmp_path / 'a.csv', tmp_path / 'a.JSON'
    assert main([str(bag), '--model', str(MODEL), '--top-k', '3', '--output', str(table),
                 '--output', str(array)]) == 0
    assert '3 of 3 images classified' in capsys.readouterr().out
    rows = list(csv.DictReader(table.read_text(encoding='utf-8').splitlines()))
    images = json.loads(array.read_text(encoding='utf-8'))
    expected = classify(range(3))
    assert [row['name'] for row in rows] == [name for names in expected for name in names]
    assert [[one['name'] for one in image['classes']] for image in images] == expected
    assert [row['rank'] for row in rows] == ['1', '2', '3'] * 3
    for seed, image in enumerate(images):
        header = Header(STAMP + seed, seed, f'camera {seed}')
        assert (image['sec'], image['nanosec'], image['frame_id']) == header
        row = rows[3 * seed]
        assert (row['sec'], row['nanosec'], row['frame_id']) == tuple(map(str, header))


def test_without_output_csv_is_printed(
        tmp_path: Path, emulator: Emulator, capsys: Output) -> None:
    bag = record(tmp_path / 'bag', make_recording(2))
    assert main([str(bag), '--model', str(MODEL), '--top-k', '1']) == 0
    printed = capsys.readouterr()
    assert len(list(csv.DictReader(printed.out.splitlines()))) == 2
    assert '2 of 2 images classified' in printed.err


def test_a_damaged_image_is_named_and_the_others_are_classified(
        tmp_path: Path, emulator: Emulator, capsys: Output) -> None:
    messages = make_recording(3)
    damaged = make_compressed(1)
    damaged.data = damaged.data[:40]
    messages[3] = (JPEG, 1, damaged)
    bag = record(tmp_path / 'bag', messages)
    array = tmp_path / 'a.json'
    assert main([str(bag), '--model', str(MODEL), '--output', str(array)]) == 1
    check_refused(capsys, f"an image on '{JPEG}' at {STAMP + 1}.000000000: ")
    images = json.loads(array.read_text(encoding='utf-8'))
    assert ['error' in image for image in images] == [False, True, False]


def make_deep(seed: int, bits: int, compressed: bool = False) -> Any:
    """Make a grey image of which so many bits of 16 are in use, raw or as PNG."""
    samples = make_pixels(seed)[:, :, 0].astype(np.uint16) << (bits - 8)
    if compressed:
        _, data = cv2.imencode('.png', samples)
        return TYPES.types['sensor_msgs/msg/CompressedImage'](
            header=make_header(seed), format='mono16; png compressed ', data=data.reshape(-1))
    return TYPES.types['sensor_msgs/msg/Image'](
        header=make_header(seed), height=24, width=32, encoding='mono16', is_bigendian=0, step=64,
        data=samples.reshape(-1).view(np.uint8))


@pytest.mark.parametrize('is_compressed', [False, True])
def test_each_camera_has_its_own_depth(
        tmp_path: Path, emulator: Emulator, is_compressed: bool) -> None:
    def classify_bag(name: str, messages: Recording) -> List[Any]:
        bag, array = record(tmp_path / name, messages), tmp_path / f'{name}.json'
        assert main([str(bag), '--model', str(MODEL), '--top-k', '1', '--threads', '1',
                     '--output', str(array)]) == 0
        return [image['classes'] for image in json.loads(array.read_text(encoding='utf-8'))
                if image['topic'] == RAW]

    grey = [(RAW, 2 * seed, make_deep(seed, 10, is_compressed)) for seed in range(3)]
    depth = [('/depth', 2 * seed + 1, make_deep(seed, 16)) for seed in range(3)]
    alone = classify_bag('alone', grey)
    assert classify_bag('both', sorted([*grey, *depth], key=lambda one: one[1])) == alone


def test_scores_that_cannot_be_what_the_user_says(
        tmp_path: Path, emulator: Emulator, capsys: Output) -> None:
    bag = record(tmp_path / 'bag', make_recording(3))
    model = write_model(tmp_path / 'model.bin', network='callback')
    # The first runs are those on probe images, to try the model.
    best = iter([1] * 7 + [7] * 3)
    emulator.set_network(lambda nv12: [next(best)] + [0] * 999)
    assert main([str(bag), '--model', str(model), '--score-type', 'probabilities']) == 1
    check_refused(capsys, 'cannot be the probabilities')


def test_a_recording_without_images_is_told(
        tmp_path: Path, emulator: Emulator, capsys: Output) -> None:
    bag = record(tmp_path / 'bag', [('/chatter', 0, make_text('x'))])
    assert main([str(bag), '--model', str(MODEL)]) == 1
    check_refused(capsys, 'has no images; it has std_msgs/msg/String')


def test_a_recording_of_no_message_at_all(tmp_path: Path, emulator: Emulator) -> None:
    bag = tmp_path / 'bag'
    with rosbag2.Writer(bag, version=8) as writer:
        writer.add_connection(RAW, 'sensor_msgs/msg/Image', typestore=TYPES)
    array = tmp_path / 'a.json'
    assert main([str(bag), '--model', str(MODEL), '--output', str(array)]) == 0
    assert json.loads(array.read_text(encoding='utf-8')) == []


@pytest.mark.parametrize('options, words', [
    (['--topic', '/other'], f"has no images on '/other'; expected one of {RAW}"),
    (['--output', '{folder}/bag'], 'exists already'),
    (['--output', '{folder}/a.mcap'], "a.mcap' cannot be written: a recording is a folder"),
    (['--model', 'missing.bin'], 'set --model to a model file')])
def test_mistakes_are_told(tmp_path: Path, emulator: Emulator, capsys: Output,
                           options: List[str], words: str) -> None:
    bag = record(tmp_path / 'bag', make_recording(1))
    assert main([str(bag), '--model', str(MODEL),
                 *(option.format(folder=tmp_path) for option in options)]) == 1
    check_refused(capsys, words)


def test_what_is_no_recording_is_told(tmp_path: Path, capsys: Output) -> None:
    (tmp_path / 'bag').mkdir()
    assert main([str(tmp_path / 'missing')]) == 1
    check_refused(capsys, "missing' cannot be read: ")
    assert main([str(tmp_path / 'bag')]) == 1
    check_refused(capsys, 'has no metadata.yaml', f"ros2 bag reindex '{tmp_path / 'bag'}'")
    (tmp_path / 'torn').mkdir()
    (tmp_path / 'torn' / 'metadata.yaml').write_text('a: [')
    assert main([str(tmp_path / 'torn')]) == 1
    check_refused(capsys, "torn' cannot be read: ")


@pytest.mark.parametrize('plugin', ['SQLITE3', 'MCAP'])
def test_a_cut_recording_is_told(
        tmp_path: Path, emulator: Emulator, capsys: Output, plugin: str) -> None:
    bag = record(tmp_path / 'bag', make_recording(40), plugin)
    file, = (path for path in bag.iterdir() if path.suffix != '.yaml')
    file.write_bytes(file.read_bytes()[:file.stat().st_size // 2])
    assert main([str(bag), '--model', str(MODEL), '--output', str(tmp_path / 'a.csv')]) == 1
    check_refused(capsys, f"bag '{bag}' cannot be read: ")


def test_without_the_library_what_to_install_is_told(
        tmp_path: Path, start_python: StartPython) -> None:
    process = start_python(
        '-c', 'import sys; sys.modules["rosbags"] = None; sys.argv[0] = "classify_bag"\n'
        'from mobilenetv2_ros.tools.classify_bag import main; sys.exit(main())', tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == (
        'classify_bag: recordings need the Python package rosbags; install it with: python3 -m '
        'pip install rosbags\n')


@pytest.mark.skipif(find_spec('rosbag2_py') is None, reason='rosbag2_py is not installed')
@pytest.mark.parametrize('plugin', ['SQLITE3', 'MCAP'])
def test_rosbag2_itself_reads_the_results(
        tmp_path: Path, emulator: Emulator, plugin: str) -> None:
    import rosbag2_py

    bag = record(tmp_path / 'bag', make_recording(4), plugin)
    output = tmp_path / 'results'
    assert main([str(bag), '--model', str(MODEL), '--output', str(output)]) == 0
    reader = rosbag2_py.SequentialReader()
    reader.open(rosbag2_py.StorageOptions(uri=str(output), storage_id=plugin.lower()),
                rosbag2_py.ConverterOptions('cdr', 'cdr'))
    assert {one.type for one in reader.get_all_topics_and_types()} == {
        'vision_msgs/msg/Classification'}
    times = []
    while reader.has_next():
        times.append(reader.read_next()[2])
    assert times == [(STAMP + seed) * SECOND for seed in range(4)]
