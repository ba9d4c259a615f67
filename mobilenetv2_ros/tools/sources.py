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

"""Images one after the other, from files, a folder, a video, a stream or a camera, by OpenCV."""

from __future__ import annotations

from functools import lru_cache
import os
from pathlib import Path
import re
import stat
from typing import Any, Callable, Iterator, List, Optional, Sequence, Set, Tuple, TypeVar, Union

import cv2
from mobilenetv2_ros.image.alpha import decode_on_white
from mobilenetv2_ros.image.compressed_image import decode_file
from mobilenetv2_ros.image.image_message import DEFAULT_MAX_PIXELS, ImageMessageError
from mobilenetv2_ros.image.nv12 import Pixels
from mobilenetv2_ros.resources import expand_user
import numpy as np
Prepared = TypeVar('Prepared')

_PHOTO_SUFFIXES = (
    '.avif', '.bmp', '.gif', '.jp2', '.jpe', '.jpeg', '.jpg', '.pbm', '.pgm', '.png', '.ppm',
    '.tif', '.tiff', '.webp')
"""Of which an older OpenCV cannot read all."""

_CAMERA = re.compile(r'(/dev/video)?\d+')
_STREAM = re.compile(r'[A-Za-z][A-Za-z0-9+.-]*://.+')
_CREDENTIALS = re.compile('//[^/@]*@')
_MAX_PIXELS = 1 << 30
"""More than that OpenCV refuses by itself."""

_KEPT_PHOTOS = 8
"""As many are decoded once and not each time that a loop comes to them."""


class SourceError(ValueError):
    """There are no images to be had; the text says why."""


class Source:
    """What a source holds: photos, a video, a camera or a stream. Exactly one of them is set."""

    def __init__(self, source: str) -> None:
        """
        Look at the source without reading images.

        :param source: a photo, several separated by commas, a folder of photos, a video file, a
            camera's number or its device, the URL of a stream.
        :raises SourceError: something of it does not exist.
        """
        self.photos: List[Path] = []
        self.video: Optional[Path] = None
        self.camera: Optional[str] = None
        self.stream: Optional[str] = None
        if _STREAM.fullmatch(source):
            self.stream = source
            return
        device = os.path.realpath(source)  # of names such as those in /dev/v4l/by-id
        for name in (source, device):
            if _CAMERA.fullmatch(name):
                self.camera = name
                return
        paths = _existing_paths(source)
        if len(paths) == 1 and _is_video(paths[0]):
            self.video = paths[0]
        else:
            self.photos = [photo for path in paths for photo in _photos_of(path)]

    def __str__(self) -> str:
        """Tell what it is, for a log."""
        if self.stream:
            return f"stream '{_hide_credentials(self.stream)}'"
        if self.camera:
            return f"camera '{self.camera}'"
        if self.video:
            return f"video '{self.video}'"
        return f'{len(self.photos)} photo(s)' if len(self.photos) > 1 else f"'{self.photos[0]}'"

    def read(self, prepare: Callable[[Pixels], Prepared], loop: bool,
             warn: Callable[[str], object]) -> Iterator[Prepared]:
        """
        Read one image after the other; a camera and a stream never end.

        :param prepare: makes of an image (uint8, shape (height, width, 3), BGR) what is wanted;
            its result for a photo may come again. What it cannot use is a ValueError.
        :param loop: start again after the last one.
        :param warn: told of a photo among several that is left out, once.
        :raises SourceError: no image can be read.
        """
        if self.camera:
            return map(prepare, _read_live(
                int(self.camera) if self.camera.isdecimal() else self.camera, str(self),
                "is it plugged in, used by another program, or not allowed (group 'video')"))
        if self.stream:
            return map(prepare, _read_live(
                self.stream, str(self), 'is the address right, and can this OpenCV read it'))
        if self.video:
            return map(prepare, _read_video(self.video, loop))

        def prepare_photo(photo: Path) -> Prepared:
            bgr = read_image(photo)
            try:
                return prepare(bgr)
            except ValueError as error:
                raise SourceError(f"'{photo}' cannot be used: {error}") from None

        return _read_photos(self.photos, lru_cache(_KEPT_PHOTOS)(prepare_photo), loop, warn)


def read_image(path: Path) -> Pixels:
    """
    Read an image file.

    :returns: uint8, shape (height, width, 3), BGR.
    :raises SourceError: it is missing, no image, or too large.
    """
    content = _read_content(path)
    try:
        # As the node decodes it, if it is one of those that the node takes.
        bgr: Any = decode_file(content, _MAX_PIXELS)
        if bgr is None and content.size:
            bgr = decode_on_white(content)
    except ImageMessageError as error:
        raise SourceError(f"'{path}': {error}") from None
    except cv2.error as error:
        raise SourceError(f"'{path}' cannot be decoded: {error.err}") from None
    if bgr is None:
        raise SourceError(f"'{path}' is not an image that OpenCV can read, or is damaged")
    return bgr


def _read_content(path: Path) -> Pixels:
    """Read a file; a pipe or a device may never end."""
    try:
        if stat.S_ISREG(path.stat().st_mode) or path.is_dir():  # which NumPy tells of
            return np.fromfile(path, np.uint8)
    except OSError as error:
        raise _unreadable(path, error) from None
    except ValueError:  # a zero byte, from a list of files
        raise SourceError(f'{str(path)!r} cannot be the name of a file') from None
    raise SourceError(f"'{path}' is no file")


def parse_size(size: str) -> Tuple[int, int]:
    """
    Parse a size such as ``640x480``.

    :returns: width and height.
    :raises SourceError: it is no size of an image that the node takes.
    """
    match = re.fullmatch('([0-9]{1,9})x([0-9]{1,9})', size)
    width, height = map(int, match.groups()) if match else (0, 0)
    if not 1 <= width * height <= DEFAULT_MAX_PIXELS:
        raise SourceError(
            f"size '{size}' is not usable; expected WIDTHxHEIGHT such as 640x480, of at most "
            f'{DEFAULT_MAX_PIXELS} pixels')
    return width, height


def resize(bgr: Pixels, size: Optional[Tuple[int, int]]) -> Pixels:
    """
    Bring an image to a size.

    :param size: width and height, None to leave it as it is.
    """
    if size is None or bgr.shape[1::-1] == size:
        return bgr
    shrinks = size[0] < bgr.shape[1] and size[1] < bgr.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(bgr, size, interpolation=method), np.uint8)


def _hide_credentials(url: str) -> str:
    return _CREDENTIALS.sub('//...@', url)


def _existing_paths(source: str) -> List[Path]:
    whole = expand_user(source)
    # Unlike Path.exists() this does not raise for what this user may not enter.
    paths = [whole] if os.path.exists(whole) else [
        expand_user(part.strip()) for part in source.split(',')]
    for path in paths:
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise SourceError(
                f"source '{path}' does not exist; expected photos, a folder, a video file or a "
                'camera such as 0 or /dev/video0') from None
        except OSError as error:
            raise _unreadable(path, error) from None
    return paths


def _unreadable(path: Path, error: OSError) -> SourceError:
    return SourceError(f"'{path}' cannot be read: {error.strerror}")


def _is_video(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() not in _PHOTO_SUFFIXES


def _photos_of(path: Path) -> List[Path]:
    if not path.is_dir():
        return [path]
    try:
        photos = sorted(file for file in path.iterdir() if file.suffix.lower() in _PHOTO_SUFFIXES)
    except OSError as error:
        raise _unreadable(path, error) from None
    if not photos:
        raise SourceError(
            f"folder '{path}' has no photos; expected files ending in {' '.join(_PHOTO_SUFFIXES)}")
    return photos


def _read_photos(photos: Sequence[Path], read: Callable[[Path], Prepared], loop: bool,
                 warn: Callable[[str], object]) -> Iterator[Prepared]:
    told: Set[Path] = set()
    while True:
        failures: List[SourceError] = []
        for photo in photos:
            try:
                yield read(photo)
            except SourceError as error:
                failures.append(error)
                if photo not in told and len(photos) > 1:
                    told.add(photo)
                    warn(f'{error}; it is left out')
        if len(failures) == len(photos):
            raise failures[0] if len(photos) == 1 else SourceError(
                f'none of the {len(photos)} photos can be used, the last because {failures[-1]}')
        if not loop:
            return


def _read_video(path: Path, loop: bool) -> Iterator[Pixels]:
    while True:
        count = 0
        # FFmpeg takes what stands in front of a colon, as in 12:30.mp4, for a protocol.
        for bgr in _frames(cv2.VideoCapture(os.path.abspath(path))):
            yield bgr
            count += 1
        if not count:
            raise SourceError(f"'{path}' is neither an image nor a video that OpenCV can read")
        if not loop:
            return


def _read_live(place: Union[int, str], name: str, question: str) -> Iterator[Pixels]:
    capture = cv2.VideoCapture(place)
    if not capture.isOpened():
        raise SourceError(f'{name} cannot be opened; {question}?')
    # Of what is live only the newest image counts.
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    yield from _frames(capture)
    raise SourceError(f'{name} has stopped giving images; is it still there?')


def _frames(capture: cv2.VideoCapture) -> Iterator[Pixels]:
    try:
        while True:
            there_is_one, bgr = capture.read()
            if not there_is_one:
                return
            yield np.asarray(bgr, np.uint8)
    finally:
        capture.release()
