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

What has arrived is kept in ``NAME.part``, and the next attempt asks for the rest (RFC 9110,
Range). Nothing that a server says is trusted: only a file with the known checksum gets its name.
"""

from __future__ import annotations

import argparse
from contextlib import contextmanager
import fcntl
from functools import partial
from http.client import HTTPException, HTTPMessage
import os
from pathlib import Path
import signal
import sys
import time
from typing import Any, BinaryIO, IO, Iterator, List, Optional
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import build_opener, HTTPRedirectHandler, Request

from mobilenetv2_ros.inference.known_models import KNOWN_MODELS, KnownModel, sha256_of
from mobilenetv2_ros.resources import download_folder, find_model
from mobilenetv2_ros.tools.printing import run_printing
from tqdm import tqdm

_HELP = """\
models:
  board      MobileNetV2 for the BPU of an RDK X5
  board-100  D-Robotics' newer build of it, faster and more accurate
  board-140  the same with 1.4 times the channels, slower and still more accurate
  cpu        MobileNetV2 for the CPU

The node uses board or cpu when model_path is empty. Resumes interrupted downloads and verifies
the checksum. Without a network connection, copy the file to ~/.local/share/mobilenetv2_ros/ by
hand (to $XDG_DATA_HOME/mobilenetv2_ros/ if XDG_DATA_HOME is set).

exit code: 0 the model is there, 1 it is not, 2 wrong arguments
"""

_STEP = 1 << 16
_STEP_SECONDS = 30.0
"""Bytes that must arrive in this time, which is also all that a server has to answer."""

_BACK_OFF_SECONDS = (1.0, 2.0, 4.0, 8.0)
"""Waits between attempts; after the last one it is given up."""


class DownloadError(Exception):
    """A model cannot be had; the text says why and what to do."""


def main(arguments: Optional[List[str]] = None) -> int:
    """Download what the command line says, by default that of the process; returns exit code."""
    parser = argparse.ArgumentParser(
        prog='download_model', epilog=_HELP,
        description='Download a model to the folder where the node looks for it.',
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', choices=KNOWN_MODELS)
    parser.add_argument('--url', help='download the same file from this address instead')
    options = parser.parse_args(arguments)
    model = KNOWN_MODELS[options.model]
    return run_printing('download_model', partial(_run, model, options.url or model.url))


def _run(model: KnownModel, url: str) -> int:
    target = download_folder() / model.file_name
    try:
        with _only_one_at_a_time(target.parent):
            if not target.is_file() or sha256_of(target) != model.sha256:
                _download(model, url, target)
    except DownloadError as error:
        _tell(str(error))
        return 1
    except OSError as error:
        _tell(f"'{error.filename}' cannot be written: {error.strerror}")
        return 1
    is_default = find_model('', has_bpu=target.suffix == '.bin') == target
    print(f'{target}\nThe node takes it when model_path is {"empty" if is_default else target}')
    return 0


@contextmanager
def _only_one_at_a_time(folder: Path) -> Iterator[None]:
    if not folder.is_absolute():
        raise DownloadError(f"'{folder}' is not absolute; set HOME or XDG_DATA_HOME")
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise DownloadError(f"another download to '{folder}' is under way") from None
    finally:
        os.close(handle)


def _download(model: KnownModel, url: str, target: Path) -> None:
    _check_url(url)
    part = target.with_name(target.name + '.part')
    if part.is_file() and sha256_of(part) == model.sha256:  # ended before it got its name
        part.replace(target)
        return
    for seconds in (*_BACK_OFF_SECONDS, None):
        try:
            with part.open('ab') as file:
                _receive(url, file, model.max_bytes)
            break
        except (ConnectionError, TimeoutError) as interruption:
            if seconds is None:
                raise DownloadError(
                    f'{url} cannot be had: {interruption}. Is this machine online, its clock '
                    'right? The same command resumes, --url names a mirror, and a file copied by '
                    f"hand goes to '{target}'") from None
            _tell(f'{interruption}; next attempt in {seconds:g} s')
            time.sleep(seconds)
        except DownloadError:
            part.unlink()
            raise
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(part)) from None
    if (found := sha256_of(part)) != model.sha256:
        part.unlink()
        raise DownloadError(
            f'{url} gave a file with the SHA-256 {found}; expected {model.sha256}. It was '
            'damaged, is another model or a page that asks for a login, and is deleted. Try '
            'again, or name a mirror with --url')
    part.replace(target)


def _receive(url: str, file: BinaryIO, max_bytes: int) -> None:
    """Append what is missing, or as much as comes and raise ConnectionError."""
    offset = file.tell()
    request = Request(url, headers={'Range': f'bytes={offset}-'} if offset else {})
    with _limited_step(url):
        response = build_opener(_CheckedRedirects()).open(request)
    with response, tqdm(unit='B', unit_scale=True, disable=None, desc=Path(url).name) as bar:
        if offset and response.status != 206:
            offset = file.truncate(0)
        if response.length is None or (total := offset + response.length) > max_bytes:
            raise DownloadError(
                f'{url} gives no file of at most {max_bytes} bytes; is this the right address?')
        bar.total, chunk = total, b'-'
        while chunk:
            bar.update(offset - bar.n)
            with _limited_step(url):
                chunk = response.read(_STEP)
            offset += file.write(chunk)
    if offset < total:
        raise ConnectionError(f'the connection ended after {offset} of {total} bytes')


@contextmanager
def _limited_step(url: str) -> Iterator[None]:
    """Let an alarm end it: a time limit of the socket would start anew with each byte."""
    def end(*_: object) -> None:
        raise TimeoutError(f'fewer than {_STEP} bytes and no end in {_STEP_SECONDS:g} s')

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, _STEP_SECONDS)
    try:
        yield
    except HTTPError as error:
        answer = f'the server answers {error.code} {str(error.reason)[:60]}'
        if error.code < 500 and error.code not in (408, 429):
            raise DownloadError(f'{url} cannot be had: {answer}; --url names a mirror') from None
        raise ConnectionError(answer) from None
    except (HTTPException, OSError, ValueError) as error:
        reason: Any = getattr(error, 'reason', error)
        words = getattr(reason, 'verify_message', '') or getattr(reason, 'strerror', '') or reason
        raise ConnectionError(f'the connection failed: {str(words)[:200]}') from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class _CheckedRedirects(HTTPRedirectHandler):
    """Follow redirections, but only to where the first address could have been."""

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str,
                         headers: HTTPMessage, newurl: str) -> Optional[Request]:
        fp.close()  # it would be read to its end, which may never come
        _check_url(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_url(url: str) -> None:
    """Refuse what others on the way could change: all but https, and http from this machine."""
    try:
        scheme, host = urlsplit(url).scheme, urlsplit(url).hostname
    except ValueError:
        host = None
    if not host or scheme != 'https' and (
            scheme != 'http' or host not in ('localhost', '127.0.0.1', '::1')):
        raise DownloadError(
            f"'{url[:200]}' is not taken; expected https://..., or http://localhost for a server "
            'on this machine')


def _tell(sentence: str) -> None:
    # What a server says may hold commands for the terminal.
    shown = ''.join(letter if letter.isprintable() else '?' for letter in sentence)
    print(f'download_model: {shown}', file=sys.stderr)


if __name__ == '__main__':
    sys.exit(main())
