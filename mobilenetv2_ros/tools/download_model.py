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
The program ``download_model``: a model to where the node finds it by itself.

Only a file whose checksum is right gets its final name. For a file whose checksum nobody has
published, the first download is trusted and its checksum kept in ``NAME.sha256`` beside it.
"""

from __future__ import annotations

import argparse
from contextlib import contextmanager
import fcntl
import gzip
import os
from pathlib import Path
import re
import sys
import tarfile
from typing import Dict, Iterator, List, NamedTuple, Optional
import zlib

from mobilenetv2_ros.resources import download_folder, VENDOR_MODEL
from mobilenetv2_ros.tools.download import (
    download, DownloadError, sha256_of, UnreachableError)

_DESCRIPTION = 'Download a model to where the node finds it by itself.'

_HELP = """\
models:
  board  MobileNetV2 for the BPU of an RDK X5, from D-Robotics (.bin)
  cpu    MobileNetV2 for the CPU, from TensorFlow (.tflite)

The node takes them when model_path is empty. A download that was cut is resumed by the same
command. A file whose checksum is known must have it; of another one the checksum is remembered,
and a different file is refused the next time.

For a machine without network copy the file by hand to ~/.local/share/mobilenetv2_ros/ (with
XDG_DATA_HOME set: to $XDG_DATA_HOME/mobilenetv2_ros/). The one for the CPU comes in a .tgz, out of
which it has to be taken. A download that fails names the address and the file.

exit code: 0 the model is there, 1 it is not, 2 wrong arguments
"""

_GZIP_MAGIC = b'\x1f\x8b'
_TFLITE_MAGIC = b'TFL3'
"""Of its first bytes, and of its bytes from the fifth on."""

_MAX_DOWNLOAD = 256_000_000
_MAX_MODEL = 64_000_000
_MAX_UNPACKED = 1_000_000_000
"""Bytes of a download, of a model, and of all that is unpacked to find a model."""

_MIN_MODEL = 100_000
"""Bytes; less is an error message or nothing at all."""


class Model(NamedTuple):
    """
    A model to download.

    :param file_name: by which :func:`mobilenetv2_ros.resources.find_model` looks for it.
    :param url: of the file itself or of a tar.gz archive with it.
    :param sha256: of the file itself, empty where it is not known.
    """

    file_name: str
    url: str
    sha256: str


MODELS: Dict[str, Model] = {
    'board': Model(
        VENDOR_MODEL.name,
        'https://archive.d-robotics.cc/downloads/rdk_model_zoo/rdk_x5/'
        'mobilenetv2_224x224_nv12.bin',
        ''),
    'cpu': Model(
        'mobilenet_v2_1.0_224_quant.tflite',
        'https://storage.googleapis.com/download.tensorflow.org/models/tflite_11_05_08/'
        'mobilenet_v2_1.0_224_quant.tgz',
        'f08d447cde49b4e0446428aa921aff0a14ea589fa9c5817b31f83128e9a43c1d'),
}


def main(arguments: Optional[List[str]] = None) -> int:
    """
    Download what the command line says.

    :param arguments: by default those of the process.
    :returns: exit code.
    """
    options = _parse_arguments(arguments)
    model = MODELS[options.model]
    target = download_folder() / model.file_name
    try:
        with _only_one_at_a_time(target.parent):
            _run(model, target, options)
    except DownloadError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"'{error.filename or target}' cannot be written: {error.strerror}")
    except KeyboardInterrupt:
        _fail('stopped; the same command resumes')
        return 130
    return 0


def _parse_arguments(arguments: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='download_model', description=_DESCRIPTION, epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', choices=MODELS)
    parser.add_argument(
        '--url', metavar='URL', help='a mirror: the model itself or a tar.gz archive with it')
    parser.add_argument(
        '--sha256', type=_parse_sha256, metavar='SUM',
        help='the checksum that the model must have, instead of the known or remembered one')
    parser.add_argument(
        '--accept-new', action='store_true',
        help='download again and take what comes, whatever its checksum, and remember this one')
    options = parser.parse_args(arguments)
    if options.sha256 and options.accept_new:
        parser.error('--sha256 and --accept-new contradict each other')
    return options


def _parse_sha256(word: str) -> str:
    if not re.fullmatch('[0-9a-fA-F]{64}', word):
        raise argparse.ArgumentTypeError(f"'{word}' is no SHA-256; expected 64 digits 0-9, a-f")
    return word.lower()


@contextmanager
def _only_one_at_a_time(folder: Path) -> Iterator[None]:
    """
    Keep a second process out: two would write the same file.

    :raises DownloadError: one is at work already, or this user has no such folder.
    """
    if not folder.is_absolute():
        raise DownloadError(
            f"the model would go to '{folder}', which is not absolute; set HOME or XDG_DATA_HOME")
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise DownloadError(f"another download to '{folder}' is under way") from None
    finally:
        os.close(handle)


def _run(model: Model, target: Path, options: argparse.Namespace) -> None:
    pin = _Pin(target)
    expected = options.sha256 or pin.read() or model.sha256
    if target.is_file() and not options.accept_new and not _find_fault(target):
        found = sha256_of(target)
        if not expected or found == expected:
            print(f'{target}\nis there already, SHA-256 {found}')
            pin.write(found)
            return
    arrived = target.with_name(target.name + '.part')
    url = options.url or model.url
    try:
        download(url, arrived, _MAX_DOWNLOAD)
    except UnreachableError as error:
        raise DownloadError(f'{error}. By hand: {_describe_copying(url, target)}') from None
    fresh = target.with_name(target.name + '.new')
    with _removed_afterwards(arrived, fresh):
        _unpack(arrived, target.name, fresh)
        _check_kind(fresh, url, target)
        found = sha256_of(fresh)
        _check_sha256(found, '' if options.accept_new else expected)
        pin.write(found)
        fresh.replace(target)
    print(f'{target}\nSHA-256 {found}, {_explain(found, expected)}\n'
          'The node takes this model when model_path is empty.')


class _Pin:
    """The checksum of a model, beside it, in the form that ``sha256sum --check`` reads."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._path = target.with_name(target.name + '.sha256')

    def read(self) -> str:
        """
        Return the checksum, empty if there is none.

        :raises DownloadError: the file is damaged.
        """
        if not self._path.exists():
            return ''
        match = re.match('[0-9a-f]{64}', self._path.read_text(encoding='utf-8', errors='replace'))
        if not match:
            raise DownloadError(
                f"'{self._path}' holds no SHA-256; delete it to trust the next download")
        return match[0]

    def write(self, sha256: str) -> None:
        """Remember a checksum."""
        self._path.write_text(f'{sha256}  {self._target.name}\n', encoding='utf-8')


@contextmanager
def _removed_afterwards(*paths: Path) -> Iterator[None]:
    try:
        yield
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def _describe_copying(url: str, target: Path) -> str:
    archive = f"'{target.name}' out of this archive" if url.endswith('gz') else 'this file'
    return f"put {archive} to '{target}'"


def _check_kind(fresh: Path, url: str, target: Path) -> None:
    """Refuse what cannot be the model: its checksum would be remembered."""
    if fault := _find_fault(fresh, target.suffix):
        raise DownloadError(
            f"{url} gives no model for '{target.name}': {fault}; is this the right address?")


def _find_fault(path: Path, suffix: str = '') -> str:
    """
    Look at the beginning of a model file.

    :param suffix: of the model's name, by default that of the path.
    :returns: what is wrong with it, empty if nothing is.
    """
    with path.open('rb') as file:
        head = file.read(64)
    is_tflite = head[4:8] == _TFLITE_MAGIC
    size = path.stat().st_size
    if size < _MIN_MODEL:
        return f'it has {size} bytes; expected at least {_MIN_MODEL}'
    if re.match(rb'\s*<[!?a-z]', head, re.IGNORECASE):
        return 'it is a web page'
    if head.startswith(_GZIP_MAGIC):
        return 'it is a packed file'
    if (suffix or path.suffix) == '.tflite':
        return '' if is_tflite else 'it is no TensorFlow Lite model'
    return 'it is a TensorFlow Lite model' if is_tflite else ''


def _check_sha256(found: str, expected: str) -> None:
    if expected and found != expected:
        raise DownloadError(
            f'the file has the SHA-256 {found}; expected {expected}. It was damaged or changed '
            'on the server, and is not taken. If it is what you want: --accept-new, or --sha256 '
            'with the checksum its publisher names')


def _explain(found: str, expected: str) -> str:
    if found == expected:
        return 'as expected'
    return 'remembered: a different file will be refused the next time'


def _unpack(arrived: Path, file_name: str, fresh: Path) -> None:
    """
    Take the model out of an archive, or what arrived as it is, if it is none.

    :raises DownloadError: the archive has no such file, is damaged or too large.
    """
    with arrived.open('rb') as file:
        is_archive = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    if is_archive:
        try:
            _extract(arrived, file_name, fresh)
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DownloadError(f'the archive is damaged: {error}') from None
    elif arrived.stat().st_size > _MAX_MODEL:
        raise _too_large(_MAX_MODEL)
    else:
        arrived.replace(fresh)


def _extract(arrived: Path, file_name: str, fresh: Path) -> None:
    """Copy one member's bytes; the archive's paths, links and modes are never acted on."""
    with _LimitedGzipFile(arrived) as unzipped, tarfile.open(
            fileobj=unzipped, mode='r|') as archive:
        for member in archive:
            if member.name in (file_name, f'./{file_name}') and member.isreg():
                if member.size > _MAX_MODEL:
                    raise _too_large(_MAX_MODEL)
                content = archive.extractfile(member)
                assert content is not None  # it is a regular file
                _write_durably(fresh, content.read())
                return
    raise DownloadError(f"the archive has no file '{file_name}'")


def _write_durably(path: Path, content: bytes) -> None:
    with path.open('wb') as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


class _LimitedGzipFile(gzip.GzipFile):
    """A file that refuses to become endless when it is unpacked."""

    _left = _MAX_UNPACKED

    def read(self, size: Optional[int] = -1) -> bytes:
        content = super().read(size)
        self._left -= len(content)
        if self._left < 0:
            raise _too_large(_MAX_UNPACKED)
        return content


def _too_large(limit: int) -> DownloadError:
    return DownloadError(
        f'what was downloaded unpacks to more than {limit / 1e6:.0f} MB; expected a model')


def _fail(sentence: str) -> int:
    print(f'download_model: {sentence}', file=sys.stderr)
    return 1


if __name__ == '__main__':
    sys.exit(main())
