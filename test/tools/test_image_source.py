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

"""Image sources: what is encoded, what is read, and the program image_source over real DDS."""

from __future__ import annotations

from contextlib import contextmanager
import errno
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any, Callable, Iterator, List, Tuple, Type

import cv2
from mobilenetv2_ros.image.image_message import ImageView
from mobilenetv2_ros.image.nv12 import ENCODINGS, Pixels, to_bgr
from mobilenetv2_ros.tools import sources
from mobilenetv2_ros.tools.encode import encode, EncodedImage, EncodeError, ENCODERS
from mobilenetv2_ros.tools.image_source_parameters import SOURCE_PARAMETERS
from mobilenetv2_ros.tools.sources import parse_size, read_image, resize, Source, SourceError
import numpy as np
import pytest
from rcl_interfaces.msg import Log
from rcl_interfaces.srv import GetParameters
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from support import sample_images

PATIENCE_SECONDS = 30.0
GREY = ('mono8', 'mono16', '8UC1', '16UC1')


# encode


def as_view(encoded: EncodedImage, encoding: str) -> ImageView:
    return ImageView(
        sample_images.HEADER, encoded.height, encoded.width, encoding, encoded.is_bigendian,
        encoded.step, np.frombuffer(encoded.data, np.uint8))


def test_every_encoding_that_the_node_reads_can_be_made() -> None:
    assert set(ENCODERS) == set(ENCODINGS)


@pytest.mark.parametrize('encoding', ENCODERS)
def test_encode_follows_the_equations(encoding: str) -> None:
    rgb = sample_images.make_sample(38, 26)
    encoded = encode(rgb[:, :, ::-1], encoding)
    expected = sample_images.encode(rgb, encoding, is_bigendian=encoded.is_bigendian)
    assert encoded[:3] == (expected.height, expected.width, expected.step)
    difference = np.abs(np.frombuffer(encoded.data, np.uint8).astype(int) - expected.data)
    if encoding.endswith('16') or encoding == '16UC1':
        # The lower byte is noise in the reference.
        difference = difference[int(not encoded.is_bigendian)::2]
    if encoding in ('rgba8', 'bgra8', '8UC4', 'rgba16', 'bgra16'):
        difference = difference.reshape(-1, 4)[:, :3]  # and so is alpha
    assert difference.max() <= 1


@pytest.mark.parametrize('encoding', ENCODERS)
def test_encoded_images_come_back_through_nv12(encoding: str) -> None:
    bgr = np.asarray(
        cv2.GaussianBlur(sample_images.make_sample(640, 480), (0, 0), 5), np.uint8)
    expected: Any = bgr
    if encoding in GREY:
        expected = cv2.cvtColor(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    difference = np.abs(to_bgr(as_view(encode(bgr, encoding), encoding)).astype(int) - expected)
    # Limited range and shared chroma cost some levels; measured: 7 at most, 0.95 on average.
    assert difference.max() <= 8
    assert difference.mean() < 1.2


@pytest.mark.parametrize('encoding, size', [
    ('bgr8', (5, 7)), ('bayer_rggb8', (5, 7)), ('nv24', (5, 7)), ('nv12', (4, 6)),
    ('nv21', (4, 6)), ('uyvy', (5, 6)), ('yuyv', (5, 6))])
def test_odd_sizes_are_cropped_where_pixels_share_chroma(
        encoding: str, size: Tuple[int, int]) -> None:
    bgr = sample_images.make_sample(7, 5)
    encoded = encode(bgr, encoding)
    assert (encoded.height, encoded.width) == size
    assert encoded.data == encode(bgr[:size[0], :size[1]], encoding).data


def test_white_of_16_bits_is_full_range() -> None:
    encoded = encode(np.full((1, 2, 3), 255, np.uint8), 'mono16')
    assert (encoded.step, encoded.data) == (4, b'\xff' * 4)


@pytest.mark.parametrize('encoding, words', [
    ('rgb12', "encoding 'rgb12' is unknown; expected one of bgr8"),
    ('nv12', 'an image of 1x1 is too small for nv12; expected at least 2x2')])
def test_what_cannot_be_encoded_is_told(encoding: str, words: str) -> None:
    with pytest.raises(EncodeError, match=words):
        encode(np.zeros((1, 1, 3), np.uint8), encoding)


# Reading


def means(source: str, loop: bool, most: int) -> List[int]:
    """Read up to ``most`` images; what is returned is the mean of each, rounded."""
    warnings: List[str] = []
    found = read(source, loop, most, warnings)
    assert not warnings
    return found


def read(source: str, loop: bool, most: int, warnings: List[str]) -> List[int]:
    """Read up to ``most`` images and collect what is told of others."""
    coming = Source(source).read(
        lambda bgr: round(float(bgr.mean())), loop, warnings.append)
    return [mean for _, mean in zip(range(most), coming)]


@pytest.fixture
def grey_photos(tmp_path: Path) -> Path:
    """Make a folder of three photos, of which the means tell the order, and other files."""
    for name, level in (('b.png', 20), ('a.PNG', 10), ('c.bmp', 30)):
        cv2.imwrite(str(tmp_path / name), np.full((4, 6, 3), level, np.uint8))
    (tmp_path / 'notes.txt').write_text('no photo')
    return tmp_path


def test_a_folder_is_read_in_order_of_names_again_and_again(grey_photos: Path) -> None:
    assert means(str(grey_photos), True, 5) == [10, 20, 30, 10, 20]
    assert means(str(grey_photos), False, 5) == [10, 20, 30]


def test_several_photos_are_read_as_listed(grey_photos: Path) -> None:
    assert means(f"{grey_photos / 'c.bmp'}, {grey_photos / 'b.png'}", True, 3) == [30, 20, 30]


def test_a_comma_may_be_part_of_a_name(grey_photos: Path) -> None:
    (grey_photos / 'b.png').rename(grey_photos / 'b,c.png')
    assert means(str(grey_photos / 'b,c.png'), False, 5) == [20]


def test_a_video_is_read_to_its_end_and_again(tmp_path: Path) -> None:
    path = tmp_path / 'video.avi'
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 10, (64, 48))
    if not video.isOpened():
        pytest.skip('this OpenCV cannot write videos')
    for level in (40, 80, 120):
        video.write(np.full((48, 64, 3), level, np.uint8))
    video.release()
    assert means(str(path), False, 9) == pytest.approx([40, 80, 120], abs=3)
    assert means(str(path), True, 5) == pytest.approx([40, 80, 120, 40, 80], abs=3)


@pytest.mark.parametrize('make, words', [
    (lambda folder: folder / 'missing.png', "missing.png' does not exist; expected photos"),
    (lambda folder: f"{folder / 'a.PNG'},{folder / 'x.png'}", "x.png' does not exist"),
    (lambda folder: folder / 'notes.txt', 'neither an image nor a video'),
    (lambda folder: folder / 'empty.png', 'is not an image that OpenCV can read'),
    (lambda folder: folder / 'torn.jpg', "torn.jpg': a JPEG image ends before its pixels"),
    (lambda folder: folder / 'folder', 'has no photos; expected files ending in .avif .bmp'),
    (lambda folder: folder / ('x' * 300), "x' cannot be read: File name too long"),
    (lambda folder: '~nosuchuser/x.jpg', "'~nosuchuser/x.jpg' does not exist")])
def test_what_cannot_be_read_is_told(
        grey_photos: Path, make: Callable[[Path], Any], words: str) -> None:
    (grey_photos / 'empty.png').touch()
    (grey_photos / 'torn.jpg').write_bytes(b'\xff\xd8\xff\xe0 torn')
    (grey_photos / 'folder').mkdir()
    with pytest.raises(SourceError, match=words):
        means(str(make(grey_photos)), False, 1)


@pytest.mark.parametrize('name', ['0.png', 'b2.png', 'z.png'])
def test_a_damaged_photo_among_others_is_left_out_and_told_once(
        grey_photos: Path, name: str) -> None:
    (grey_photos / name).write_bytes(b'\x89PNG torn')
    warnings: List[str] = []
    assert read(str(grey_photos), True, 7, warnings) == [10, 20, 30, 10, 20, 30, 10]
    assert warnings == [
        f"'{grey_photos / name}' is not an image that OpenCV can read, or is damaged; it is left "
        'out']


def test_without_a_photo_that_can_be_used_it_is_an_error(grey_photos: Path) -> None:
    for path in grey_photos.iterdir():
        path.write_bytes(b'torn')
    warnings: List[str] = []
    with pytest.raises(SourceError, match='none of the 3 photos can be used, the last because '
                                          "'.*c.bmp' is not an image that OpenCV can read"):
        read(str(grey_photos), True, 1, warnings)
    assert len(warnings) == 3


def test_a_folder_that_this_user_may_not_read_is_told(
        grey_photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> List[Path]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    monkeypatch.setattr(Path, 'iterdir', refuse)
    with pytest.raises(SourceError, match=f"'{grey_photos}' cannot be read: Permission denied"):
        Source(str(grey_photos))


def test_a_name_with_a_zero_byte_is_told() -> None:
    with pytest.raises(SourceError, match=r"'a\\x00.jpg' cannot be the name of a file"):
        read_image(Path('a\0.jpg'))


@pytest.mark.parametrize('size', [
    '', '640', 'x', '0x5', '5x0', '-3x4', '3x4x5', '99999x999', '3 x 4', '²x²'])
def test_sizes_that_are_none_are_refused(size: str) -> None:
    with pytest.raises(SourceError, match='expected WIDTHxHEIGHT such as 640x480'):
        parse_size(size)


def test_a_size() -> None:
    assert parse_size('3x4') == (3, 4)


@pytest.mark.parametrize('url', [
    'rtsp://10.0.0.2:554/a,b', 'http://camera//mjpg?x=1,2', 'rtsp://user:secret@10.0.0.2/a'])
def test_a_stream_is_opened_by_its_whole_address(
        monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    opened: List[str] = []
    closed = cv2.VideoCapture()

    def open_stream(place: str) -> cv2.VideoCapture:
        opened.append(place)
        return closed

    source = Source(url)
    monkeypatch.setattr(sources.cv2, 'VideoCapture', open_stream)
    with pytest.raises(SourceError, match="stream '.*' cannot be opened; is the address") as told:
        next(source.read(np.copy, True, print))
    assert opened == [url]
    assert 'secret' not in str(told.value)


@pytest.mark.parametrize('name', ['a.gif', 'a.AVIF'])
def test_an_image_format_that_opencv_cannot_read_is_no_video(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b'GIF89a no gif')
    with pytest.raises(SourceError, match="' is not an image that OpenCV can read"):
        means(str(tmp_path / name), False, 1)


def test_transparent_parts_of_an_image_are_white(tmp_path: Path) -> None:
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[0, :, 3] = (0, 255, 51)
    cv2.imwrite(str(tmp_path / 'a.png'), pixels)
    expected = np.array([[255, 0, 204], [255, 255, 255]])
    assert (read_image(tmp_path / 'a.png') == expected[:, :, np.newaxis]).all()


# The program over DDS


class Hearing:
    """A ROS context of its own, in which messages can be waited for."""

    def __init__(self, context: Context) -> None:
        self.node = Node('hearing', context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)

    def wait_for(self, message_type: Type[Any], topic: str) -> Any:
        messages: List[Any] = []
        # Of both kinds of publishers.
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        subscription = self.node.create_subscription(message_type, topic, messages.append, qos)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not messages:
            assert time.monotonic() < deadline, f'nothing on {topic}'
            self._executor.spin_once(timeout_sec=0.2)
        self.node.destroy_subscription(subscription)
        return messages[0]

    def wait_until_served(self, name: str) -> None:
        """Wait for an answer of a node: its executor is at work then."""
        client: Any = self.node.create_client(GetParameters, f'/{name}/get_parameters')
        assert client.wait_for_service(PATIENCE_SECONDS), f'no node {name}'
        answer = client.call_async(GetParameters.Request(names=['rate']))
        self._executor.spin_until_future_complete(answer, PATIENCE_SECONDS)
        assert answer.done(), f'no answer of {name}'

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()


@pytest.fixture
def hearing(own_domain: None) -> Iterator[Hearing]:
    """Listen in a domain of this test's own; programs started by the test share it."""
    context = Context()
    rclpy.init(context=context)
    listener = Hearing(context)
    yield listener
    listener.close()
    context.try_shutdown()


def command(*arguments: str) -> List[str]:
    return [sys.executable, '-m', 'mobilenetv2_ros.tools.image_source', *arguments]


def parameters(**values: Any) -> List[str]:
    words = [word for name, value in values.items() for word in ('-p', f'{name}:={value}')]
    return ['--ros-args', *words]


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
            command(*arguments), stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=PATIENCE_SECONDS)


def small(photos: Path) -> Pixels:
    return resize(read_image(photos / 'dam.jpg'), (160, 121))


@pytest.mark.parametrize('encoding', ['bgr8', 'mono16', 'nv12', 'bayer_grbg8'])
def test_images_arrive_as_encoded(hearing: Hearing, photos: Path, encoding: str) -> None:
    before = hearing.node.get_clock().now().nanoseconds
    with running(*parameters(source=photos / 'dam.jpg', size='160x121', rate=20.0,
                             encoding=encoding, frame_id='front')):
        image = hearing.wait_for(Image, 'image_raw')
        after = hearing.node.get_clock().now().nanoseconds
    expected = encode(small(photos), encoding)
    assert (image.height, image.width, image.step, image.data.tobytes()) == expected[:4]
    assert (image.encoding, image.is_bigendian) == (encoding, expected.is_bigendian)
    assert image.header.frame_id == 'front'
    stamp = image.header.stamp
    assert before <= stamp.sec * 10 ** 9 + stamp.nanosec <= after


@pytest.mark.parametrize('form, tolerance', [('png', 0), ('jpeg', 8)])
def test_compressed_images_follow_the_remapped_topic(
        hearing: Hearing, photos: Path, form: str, tolerance: int) -> None:
    arguments = parameters(
        source=photos / 'dam.jpg', size='160x121', rate=20.0, image_transport='compressed',
        compressed_format=form)
    with running(*arguments, '-r', 'image_raw:=front/image'):
        message = hearing.wait_for(CompressedImage, 'front/image/compressed')
    assert message.format == form
    bgr = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    assert np.abs(bgr.astype(int) - small(photos)).mean() <= tolerance


def test_without_parameters_it_publishes_the_photos_of_the_package(
        hearing: Hearing, photos: Path) -> None:
    with running():
        image = hearing.wait_for(Image, 'image_raw')
    sizes = {read_image(path).shape[:2] for path in photos.iterdir()
             if path.suffix in ('.jpg', '.png')}
    assert image.encoding == 'bgr8'
    assert (image.height, image.width) in sizes


@pytest.mark.parametrize('override, expected', [
    ({}, ReliabilityPolicy.BEST_EFFORT),
    ({'qos_overrides./image_raw.publisher.reliability': 'reliable'}, ReliabilityPolicy.RELIABLE)])
def test_quality_of_service_can_be_overridden(
        hearing: Hearing, override: Any, expected: ReliabilityPolicy) -> None:
    with running(*parameters(rate=20.0, size='8x8', **override)):
        hearing.wait_for(Image, 'image_raw')
        publisher, = hearing.node.get_publishers_info_by_topic('image_raw')
    assert publisher.qos_profile.reliability == expected


@pytest.mark.parametrize('reason', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it_cleanly(hearing: Hearing, reason: signal.Signals) -> None:
    with running(*parameters(rate=20.0, size='8x8')) as process:
        hearing.wait_for(Image, 'image_raw')
        process.send_signal(reason)
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert 'Traceback' not in errors


def test_it_ends_at_once_with_its_next_image_far_away(hearing: Hearing) -> None:
    with running(*parameters(rate=0.01)) as process:
        hearing.wait_until_served('image_source')
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0


@pytest.mark.usefixtures('hearing')
def test_without_loop_it_ends_after_the_last_image() -> None:
    done = run(*parameters(loop='false', rate=100.0))
    assert (done.returncode, done.stdout) == (0, '')


def test_a_whole_number_is_a_rate(hearing: Hearing, photos: Path) -> None:
    with running(*parameters(source=photos, rate=5)):
        hearing.wait_for(Image, 'image_raw')


def test_a_damaged_photo_is_told_and_the_others_are_published(
        hearing: Hearing, grey_photos: Path) -> None:
    (grey_photos / 'a.PNG').write_bytes(b'torn')
    with running(*parameters(source=grey_photos, rate=50.0)) as process:
        images = [hearing.wait_for(Image, 'image_raw') for _ in range(2)]
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert {image.data[0] for image in images} <= {20, 30}
    assert errors.count("a.PNG' is not an image that OpenCV can read") == 1
    assert process.returncode == 0


@pytest.mark.usefixtures('hearing')
@pytest.mark.parametrize('arguments, words', [
    (parameters(source='/missing.png'), "source '/missing.png' does not exist"),
    (parameters(source=__file__, rate=100.0), 'neither an image nor a video'),
    (parameters(source=98765), "camera '98765' cannot be opened"),
    (parameters(encoding='rgb12'), "encoding 'rgb12' is unknown; expected one of bgr8, rgb8"),
    (parameters(size='8x8x8'), "size '8x8x8' is not usable; expected WIDTHxHEIGHT"),
    (parameters(size='1x1', encoding='nv12', rate=100.0), '1x1 is too small for nv12'),
    (parameters(rate=0.0), 'rate 0.0 is out of range; expected 0.01 to 1000.0'),
    (parameters(rate=0), 'rate 0.0 is out of range; expected 0.01 to 1000.0'),
    (parameters(rate=-1), 'rate -1.0 is out of range'),
    (parameters(rate='1e9'), 'rate 1000000000.0 is out of range'),
    (parameters(rate='.nan'), 'rate nan is out of range'),
    (parameters(rate='fast'), "'rate'"),
    (parameters(image_transport='theora'), "image_transport 'theora' is unknown"),
    (parameters(compressed_format='gif'), "compressed_format 'gif' is unknown"),
    (parameters(source='/' + 'x' * 300), 'cannot be read: File name too long'),
    (parameters(source='~nosuchuser/x.jpg'), "source '~nosuchuser/x.jpg' does not exist"),
    (parameters(source='l\udce4.jpg'), 'check the ROS arguments'),
    (['--ros-args', '-p', 'rate'], 'check the ROS arguments')])
def test_a_mistake_ends_it_with_one_sentence(arguments: List[str], words: str) -> None:
    done = run(*arguments)
    assert done.returncode == 1
    own = [line for line in done.stderr.splitlines()
           if line.startswith('image_source: ') or '[FATAL]' in line]
    assert len(own) == 1
    assert words in own[0]
    assert 'Traceback' not in done.stderr


def test_a_late_mistake_reaches_rosout(hearing: Hearing) -> None:
    with running(*parameters(size='1x1', encoding='nv12', rate=0.3)) as process:
        line = hearing.wait_for(Log, '/rosout')
        assert process.wait(PATIENCE_SECONDS) == 1
        assert process.stderr is not None and 'too small for nv12' in process.stderr.read()
    assert 'too small for nv12' in line.msg


def test_help_names_every_parameter() -> None:
    done = run('--help')
    assert done.returncode == 0
    for row in SOURCE_PARAMETERS:
        assert f'\n  {row.name}: ' in done.stdout
    assert 'From 0.01 to 1000.0.' in done.stdout and 'One of jpeg, png.' in done.stdout


@pytest.mark.usefixtures('hearing')
def test_nothing_is_said_to_be_published_before_there_is_something() -> None:
    done = run(*parameters(source=98765))
    assert done.returncode == 1
    assert 'publishing' not in done.stderr


def test_what_is_published_is_told(hearing: Hearing, photos: Path) -> None:
    with running(*parameters(source=photos / 'dam.jpg', rate=20.0)) as process:
        hearing.wait_for(Image, 'image_raw')
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert errors.count(f"publishing '{photos / 'dam.jpg'}' as bgr8 on '/image_raw'") == 1


def test_an_unknown_option_is_refused() -> None:
    done = run('--rate', '5')
    assert done.returncode == 2
    assert 'unrecognized arguments: --rate 5' in done.stderr


def test_a_video_may_be_named_by_its_time(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    video = cv2.VideoWriter('video.mp4', cv2.VideoWriter.fourcc(*'mp4v'), 10, (64, 48))
    if not video.isOpened():
        pytest.skip('this OpenCV cannot write such videos')
    video.write(np.full((48, 64, 3), 80, np.uint8))
    video.release()
    Path('video.mp4').rename('2026-05-01T12:30:00.mp4')
    assert means('2026-05-01T12:30:00.mp4', False, 9) == pytest.approx([80], abs=3)


def test_a_camera_may_have_another_name(tmp_path: Path) -> None:
    (tmp_path / 'front').symlink_to('/dev/video97')
    assert Source(str(tmp_path / 'front')).camera == '/dev/video97'


def test_what_the_encoder_refuses_is_told(photos: Path) -> None:
    done = run(*parameters(source=photos / 'coffee.png', image_transport='compressed',
                           size='70000x2', loop='false'))
    assert done.returncode == 1
    assert 'an image of 70000x2 cannot be written as jpeg' in done.stderr
    assert 'Traceback' not in done.stderr
