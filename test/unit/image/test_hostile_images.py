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

"""
Whatever bytes arrive become an NV12 image or one ImageMessageError.

Messages lie in front of memory that nobody may touch, and so does the NV12 image: a read or a
write that goes too far ends the test run.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tracemalloc
from typing import Any, Dict, Iterator, List, Optional
import zlib

import cv2
from hypothesis import given, settings, strategies
from mobilenetv2_ros.image import png
from mobilenetv2_ros.image.compressed_image import decode_compressed
from mobilenetv2_ros.image.image_message import (
    CompressedView, ImageMessageError, ImageView, parse_compressed_image, parse_image)
from mobilenetv2_ros.image.nv12 import ENCODINGS, Nv12, Nv12Converter, RESIZE_MODES
import numpy as np
import pytest
from support import sample_images
from support.guarded_memory import GuardedMemory
from support.hostile_images import (
    compress, jpeg_segment, lie_about_length, make_bombs, make_png, png_chunk, repeat_scans,
    surplus_png)
from support.serialized import compressed, image

SIDE = 224
MAX_PIXELS = 1 << 16
MESSAGE = GuardedMemory(1 << 20)
NV12 = Nv12.over(
    GuardedMemory(SIDE * SIDE * 3 // 2).take(SIDE * SIDE * 3 // 2).reshape(-1, SIDE), SIDE, SIDE)
CONVERTER = Nv12Converter()

BOMBS = make_bombs()
MODES = strategies.sampled_from(RESIZE_MODES)


@pytest.fixture(autouse=True)
def _no_cv_bridge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a real cv_bridge out: what it does with encodings of its own is not ours to test."""
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)


def convert_raw(message: bytes, mode: str = 'stretch') -> Optional[str]:
    """Go the whole way of an Image; returns what was said of it, None if it is an image."""
    return _attempt(lambda: parse_image(MESSAGE.put(message), MAX_PIXELS), mode)


def convert_compressed(message: bytes, mode: str = 'stretch') -> Optional[str]:
    """Go the whole way of a CompressedImage, like :func:`convert_raw`."""
    return _attempt(lambda: decode_compressed(
        parse_compressed_image(MESSAGE.put(message)), SIDE, SIDE, mode, MAX_PIXELS), mode)


def convert_file(data: bytes) -> Optional[str]:
    """Go the whole way of a compressed image."""
    return convert_compressed(compressed(data=data))


def _attempt(read: Any, mode: str) -> Optional[str]:
    try:
        CONVERTER.convert(read(), mode, NV12)
    except ImageMessageError as error:
        sentence = str(error)
        assert sentence.isprintable() and len(sentence) < 400
        return sentence
    return None


# Messages with fields that lie

_SIZES = strategies.one_of(strategies.integers(0, 40), strategies.sampled_from(
    [255, 65535, 65536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]))
_TEXTS = strategies.one_of(
    strategies.sampled_from([*ENCODINGS, '', 'RGB8', '32FC1', '8UC512', 'rgb8\0mono8']),
    strategies.sampled_from([b'\xff\xfe', b'\xc0\xaf', b'\xed\xa0\x80', b'x' * 1023, b'x' * 10240,
                             b'a\n[ERROR] forged\x1b[31m']),
    strategies.binary(max_size=40))
_WORDS = strategies.sampled_from([0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1])


def _mutate(message: bytes, place: int, new: bytes, cut: int) -> bytes:
    mutated = bytearray(message)
    place %= len(message) + 1
    mutated[place:place + len(new)] = new
    return bytes(mutated[:len(mutated) - cut])


@settings(max_examples=1500, deadline=None)
@given(mode=MODES, fields=strategies.fixed_dictionaries({
    'order': strategies.sampled_from('<>'), 'sec': _WORDS, 'nanosec': _WORDS, 'frame_id': _TEXTS,
    'height': _SIZES, 'width': _SIZES, 'encoding': _TEXTS, 'step': _SIZES,
    'is_bigendian': strategies.integers(0, 255), 'data': strategies.binary(max_size=400)}))
def test_fields_of_any_value(mode: str, fields: Dict[str, Any]) -> None:
    convert_raw(image(**fields), mode)


@settings(max_examples=1500, deadline=None)
@given(mode=MODES, encoding=strategies.sampled_from(list(ENCODINGS)),
       width=strategies.integers(1, 9), height=strategies.integers(1, 9),
       padding=strategies.integers(0, 3), is_bigendian=strategies.booleans(),
       changes=strategies.dictionaries(
           strategies.sampled_from(['width', 'height', 'step']),
           strategies.integers(-3, 3), max_size=2),
       missing=strategies.integers(0, 30))
def test_images_that_are_a_little_wrong(
        mode: str, encoding: str, width: int, height: int, padding: int, is_bigendian: bool,
        changes: Dict[str, int], missing: int) -> None:
    """A row, a column or a few bytes too many or too few, at the very end of a message."""
    view = sample_images.encode(
        sample_images.make_sample(width, height), encoding, padding, is_bigendian)
    fields = {name: max(0, getattr(view, name) + changes.get(name, 0))
              for name in ('width', 'height', 'step')}
    data = view.data.tobytes()[:max(0, view.data.size - missing)]
    said = convert_raw(image(encoding=encoding, is_bigendian=int(is_bigendian), data=data,
                             **fields), mode)
    if not changes and not missing:
        assert said is None


@settings(max_examples=500, deadline=None)
@given(noise=strategies.binary(max_size=200), start=strategies.sampled_from(
    [b'', b'\0\0\0\0', b'\0\1\0\0', image()[:40], image('>')[:40], compressed()[:24]]))
def test_noise(noise: bytes, start: bytes) -> None:
    convert_raw(start + noise)
    convert_compressed(start + noise)


@settings(max_examples=500, deadline=None)
@given(place=strategies.integers(0, 2 ** 16), new=strategies.one_of(
    strategies.binary(max_size=4), _WORDS.map(lambda word: word.to_bytes(4, 'little'))),
    cut=strategies.integers(0, 60), order=strategies.sampled_from('<>'), mode=MODES)
def test_bytes_that_flipped_or_are_missing(
        place: int, new: bytes, cut: int, order: str, mode: str) -> None:
    convert_raw(_mutate(image(order), place, new, cut), mode)
    convert_compressed(
        _mutate(compressed(order, data=IMAGES['png']), place, new, cut), mode)


@settings(max_examples=300, deadline=None)
@given(encoding=strategies.sampled_from(list(ENCODINGS)), width=strategies.integers(1, 30),
       height=strategies.integers(1, 30), padding=strategies.integers(0, 5), mode=MODES)
def test_both_byte_orders_are_the_same_image(
        encoding: str, width: int, height: int, padding: int, mode: str) -> None:
    view = sample_images.encode(sample_images.make_sample(width, height), encoding, padding)
    found = []
    for order in '<>':
        message = image(order, -1, 2, 'käm', height, width, encoding, 0, view.step,
                        view.data.tobytes())
        parsed = parse_image(message)
        assert convert_raw(message, mode) is None
        found.append((parsed[:6], parsed[7:], parsed.data.tobytes(), NV12.y.tobytes(),
                      NV12.uv.tobytes()))
    assert found[0] == found[1]


@pytest.mark.parametrize('text', ['evil\n[ERROR] [node]: forged', '\x1b[2J', 'x' * 1000])
def test_what_is_told_is_one_short_line(text: str) -> None:
    """Whoever sends images must not write lines of their own into the log."""
    for message in (image(encoding=text, step=30), image(encoding=text, step=1)):
        said = convert_raw(message)
        assert said and text not in said
    for data in (b'', b'GIF', make_png()[:33] + make_png()[-12:]):
        said = convert_compressed(compressed(format_name=text, data=data))
        assert said and text not in said


@pytest.mark.parametrize('encoding', ENCODINGS)
@pytest.mark.parametrize('width, height', [(MAX_PIXELS, 1), (1, MAX_PIXELS), (256, 256)])
def test_memory_is_in_proportion_to_the_largest_image(
        encoding: str, width: int, height: int) -> None:
    """Arrays of numpy and OpenCV in Python are counted; both sides make room for planes."""
    step = (8 if encoding.endswith('16') else 4) * width
    view = ImageView(sample_images.HEADER, height, width, encoding, False, step,
                     np.zeros(12 * MAX_PIXELS, np.uint8))
    converter = Nv12Converter()
    tracemalloc.start()
    try:
        converter.convert(view, 'stretch', NV12)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # What the model's input takes is the same for every image.
    assert peak < 20 * MAX_PIXELS + 10 * SIDE * SIDE


@pytest.mark.parametrize('width, height', [(1, 2 ** 16 + 1), (2 ** 17, 2)])
def test_a_bayer_image_may_not_be_thin_and_long(width: int, height: int) -> None:
    view = ImageView(sample_images.HEADER, height, width, 'bayer_rggb8', False, width,
                     np.zeros(width * height, np.uint8))
    with pytest.raises(ImageMessageError, match=f'{width}x{height} bayer_rggb8 .* is too thin'):
        Nv12Converter().convert(view, 'stretch', NV12)


# Files that lie

_BGR = sample_images.make_sample(40, 30)
IMAGES = {
    'jpeg': compress(_BGR, 'jpeg'),
    'progressive': compress(_BGR, 'jpeg', cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    'restarts': compress(_BGR, 'jpeg', cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    'grey': compress(_BGR[:, :, 0], 'jpeg'),
    'png': compress(_BGR, 'png'),
    'png of 16 bits': compress(_BGR.astype(np.uint16) * 257, 'png'),
    'png with alpha': compress(np.dstack([_BGR, _BGR[:, :, 0]]), 'png')}


@pytest.mark.parametrize('name', IMAGES)
def test_good_files(name: str) -> None:
    assert convert_file(IMAGES[name]) is None


@pytest.mark.parametrize('words', BOMBS)
def test_bombs_are_refused(words: str) -> None:
    said = convert_file(BOMBS[words])
    assert said is not None and words in said


def test_bombs_take_no_memory() -> None:
    """In a process of its own, whose memory has a limit."""
    program = '\n'.join([
        'import resource, sys',
        f'sys.path[:0] = {sys.path!r}',
        'import test_hostile_images as hostile',
        'def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss',
        'hostile.convert_file(hostile.IMAGES["png"])',
        'resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))',
        'before = peak()',
        'assert all(hostile.convert_file(bomb) for bomb in hostile.BOMBS.values())',
        'print(peak() - before)'])
    done = subprocess.run([sys.executable, '-c', program], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, encoding='utf-8', timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16 << 10, 'KiB'


def list_handed_on(monkeypatch: pytest.MonkeyPatch, data: bytes) -> bytes:
    """Return what OpenCV gets to decode of a good image."""
    seen: List[Any] = []
    monkeypatch.setattr(cv2, 'imdecode', lambda buffer, flag: seen.append(buffer.tobytes()))
    with pytest.raises(ImageMessageError, match='cannot be decoded'):
        decode_compressed(CompressedView(sample_images.HEADER, '', np.frombuffer(data, np.uint8)),
                          SIDE, SIDE, 'stretch', MAX_PIXELS)
    return bytes(seen[0])


@pytest.mark.parametrize('kind', [b'zTXt', b'iTXt', b'iCCP', b'acTL', b'fcTL', b'fdAT', b'oops'])
def test_of_a_png_only_the_image_is_decoded(
        monkeypatch: pytest.MonkeyPatch, kind: bytes) -> None:
    """Texts and profiles unpack to a thousand times their size, frames of animations too."""
    data = make_png(png_chunk(kind, b'rubbish')) + b'behind'
    assert list_handed_on(monkeypatch, data) == list_handed_on(monkeypatch, make_png())


def test_an_orientation_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    orientation = png_chunk(b'eXIf', b'rubbish')
    assert orientation in list_handed_on(monkeypatch, make_png(orientation))


class CountingInflater:
    """An inflater of zlib that counts what it gives."""

    count = 0

    def __init__(self) -> None:
        self._inflater = real_inflater()

    def decompress(self, data: Any, max_length: int) -> bytes:
        inflated = self._inflater.decompress(data, max_length)
        CountingInflater.count += len(inflated)
        return inflated

    @property
    def eof(self) -> bool:
        return self._inflater.eof


real_inflater = zlib.decompressobj


@pytest.mark.parametrize('chunks', [1, 20])
def test_of_a_png_no_more_is_inflated_than_its_rows_need(
        monkeypatch: pytest.MonkeyPatch, chunks: int) -> None:
    """64 KB of zeros that were deflated are 64 MB, which libpng would inflate and throw away."""
    monkeypatch.setattr(png.zlib, 'decompressobj', CountingInflater)
    monkeypatch.setattr(CountingInflater, 'count', 0)
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('it is decoded'))
    said = convert_file(surplus_png(64 << 20, chunks))
    assert said == 'a PNG image is damaged: its data goes on behind the 200 bytes of its rows'
    assert CountingInflater.count <= 201


def test_rubbish_behind_the_rows_is_neither_read_nor_kept() -> None:
    rows = zlib.compress(bytes(200))
    assert convert_file(make_png(rows=rows + b'rubbish' * 100_000)) is None


@pytest.mark.parametrize('rows, words', [
    (zlib.compress(bytes(199)), 'its rows have 200 bytes, but its data ends before'),
    (zlib.compress(bytes(200))[:-1], 'its rows have 200 bytes, but its data ends before'),
    (zlib.compress(bytes(200))[:-1] + b'?', 'is damaged: .*incorrect data check'),
    (b'rubbish', 'is damaged: .*incorrect header check'),
    (b'', 'its rows have 200 bytes, but its data ends before')])
def test_rows_that_are_damaged(rows: bytes, words: str) -> None:
    said = convert_file(make_png(rows=rows))
    assert said and re.search(words, said)


def test_progressive_images_have_as_many_scans_as_encoders_make() -> None:
    assert IMAGES['progressive'].count(b'\xff\xda') == 10
    assert convert_file(repeat_scans(22)) is None
    assert 'more than 32 scans' in str(convert_file(repeat_scans(23)))


def test_scans_of_one_component_each_are_counted_too() -> None:
    """A sequential image may come in several scans as well, and then as often as one likes."""
    data = IMAGES['jpeg']
    scan = data.index(b'\xff\xda')
    one = jpeg_segment(0xda, b'\1\1\0\0\x3f\0')
    assert 'more than 32 scans' in str(convert_file(data[:scan] + one * 65 + b'\xff\xd9'))


def test_files_of_very_many_parts_are_refused() -> None:
    many = 100_000
    assert 'cut off' in str(convert_file(make_png(png_chunk(b'oops') * many)[:1_000_000]))
    assert convert_file(b'\xff\xd8' + jpeg_segment(0xfe) * many + IMAGES['jpeg'][2:]) is not None
    assert convert_file(b'\xff\xd8' + b'\xff' * 500_000 + IMAGES['jpeg'][2:]) is None


_CHUNKS = strategies.builds(
    png_chunk, strategies.sampled_from(
        [b'IHDR', b'PLTE', b'tRNS', b'eXIf', b'IDAT', b'IEND', b'acTL', b'fcTL', b'zTXt', b'gAMA',
         b'sBIT', b'\0\0\0\0']),
    strategies.binary(max_size=40))
_LIES = strategies.builds(
    lambda kind, length: lie_about_length(kind, length)[33:41],
    strategies.sampled_from([b'IDAT', b'tEXt', b'IEND', b'IHDR']), _WORDS)


@settings(max_examples=400, deadline=None)
@given(name=strategies.sampled_from(['png', 'png of 16 bits', 'png with alpha']),
       new=strategies.one_of(_CHUNKS, _LIES), is_after_header=strategies.booleans())
def test_png_with_any_further_chunk(name: str, new: bytes, is_after_header: bool) -> None:
    place = 33 if is_after_header else 8
    convert_file(IMAGES[name][:place] + new + IMAGES[name][place:])


def list_segments(data: bytes) -> Iterator[int]:
    """Yield where each segment of a JPEG starts, up to its first scan."""
    place = 2
    while data[place + 1] != 0xda:
        yield place
        place += 2 + int.from_bytes(data[place + 2:place + 4], 'big')


@settings(max_examples=800, deadline=None)
@given(name=strategies.sampled_from(['jpeg', 'progressive', 'restarts', 'grey']),
       marker=strategies.integers(0, 255), content=strategies.binary(max_size=30),
       length=strategies.one_of(strategies.none(), strategies.integers(0, 65535)),
       number=strategies.integers(0, 20))
def test_jpeg_with_any_further_segment(
        name: str, marker: int, content: bytes, length: Optional[int], number: int) -> None:
    data = IMAGES[name]
    places = list(list_segments(data))
    place = places[number % len(places)]
    segment = jpeg_segment(marker, content)
    if length is not None:
        segment = segment[:2] + length.to_bytes(2, 'big') + content
    convert_file(data[:place] + segment + data[place:])


@settings(max_examples=800, deadline=None)
@given(name=strategies.sampled_from(list(IMAGES)), mode=MODES, changes=strategies.lists(
    strategies.tuples(strategies.integers(0, 2 ** 16), strategies.integers(0, 255)),
    min_size=1, max_size=8))
def test_files_with_any_damage(name: str, mode: str, changes: Any) -> None:
    data = bytearray(IMAGES[name])
    for place, value in changes:
        data[place % len(data)] = value
    convert_compressed(compressed(data=bytes(data)), mode)


def test_the_guard_is_there() -> None:
    """The check of the check: one byte behind a message ends a process."""
    done = subprocess.run([sys.executable, '-c', '\n'.join([
        f'import sys; sys.path[:0] = {sys.path!r}',
        'from support.guarded_memory import GuardedMemory',
        'import ctypes',
        'place = GuardedMemory(100).take(7)',
        'ctypes.string_at(place.ctypes.data, 7)',
        'print("so far", flush=True)',
        'ctypes.string_at(place.ctypes.data, 8)'])],
        stdout=subprocess.PIPE, timeout=60, check=False)
    assert done.stdout == b'so far\n' and done.returncode == -11
