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
Files over HTTP that survive a bad connection.

What has arrived is kept in a file ``NAME.part``, and the next attempt asks for the rest (RFC 9110,
Range). ``NAME.part.from`` remembers where it came from and which version it was: with If-Range the
server sends the rest of the same version, or all of another one.
"""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage, HTTPResponse
import json
import os
from pathlib import Path
import re
import ssl
import sys
import time
from typing import Any, IO, Optional
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import build_opener, HTTPRedirectHandler, Request

from tqdm import tqdm

BACK_OFF_SECONDS = (1.0, 2.0, 4.0)
"""Waits between attempts that brought nothing; after the last one it is given up."""

_SOCKET_TIMEOUT = 30.0
_CHUNK = 1 << 16
_THIS_MACHINE = ('localhost', '127.0.0.1', '::1')
_WORTH_ANOTHER_ATTEMPT = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


class DownloadError(RuntimeError):
    """A file cannot be had; the text says why and what to do."""


class UnreachableError(DownloadError):
    """A server does not give the file; somebody may bring it another way."""


class _InterruptedError(Exception):
    """The connection failed; another attempt may succeed."""


def check_url(url: str) -> None:
    """
    Refuse what others on the way could change: only https, or http from this machine.

    :raises DownloadError: it is another address or none.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ''
    except ValueError:
        raise DownloadError(f"'{url}' is no web address; expected https://...") from None
    if host and (parts.scheme == 'https' or parts.scheme == 'http' and host in _THIS_MACHINE):
        return
    raise DownloadError(
        f"'{url}' is not taken; expected https://..., or http://localhost for a server on this "
        'machine')


def download(url: str, target: Path, max_bytes: int) -> None:
    """
    Download a file, from where an earlier attempt ended if that goes.

    :param target: written while it comes; stays as it is after an error, to be resumed.
    :param max_bytes: a larger file is refused.
    :raises DownloadError: it cannot be had.
    :raises OSError: it cannot be written.
    """
    check_url(url)
    transfer = _Transfer(url, target, max_bytes)
    failures, most = 0, transfer.size
    while True:
        try:
            transfer.attempt()
            transfer.forget()
            return
        except _InterruptedError as interruption:
            failures = 0 if transfer.size > most else failures + 1
            most = max(most, transfer.size)
            if failures > len(BACK_OFF_SECONDS):
                raise UnreachableError(
                    f'{url} cannot be had: {interruption}. Is this machine online? The same '
                    'command resumes; --url names a mirror') from None
            delay = BACK_OFF_SECONDS[max(0, failures - 1)]
            print(f'{interruption}; next attempt in {delay:g} s', file=sys.stderr)
            time.sleep(delay)


def sha256_of(path: Path) -> str:
    """
    Compute a file's checksum.

    :raises OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class _CheckedRedirects(HTTPRedirectHandler):
    """Follow redirections, but only to where the first address could have been."""

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str,
                         headers: HTTPMessage, newurl: str) -> Optional[Request]:
        check_url(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Transfer:
    """One file on its way, over as many connections as it takes."""

    def __init__(self, url: str, target: Path, max_bytes: int) -> None:
        self._url = url
        self._target = target
        self._max_bytes = max_bytes
        self._origin = target.with_name(target.name + '.from')
        self._open = build_opener(_CheckedRedirects()).open

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return self._target.stat().st_size if self._target.exists() else 0

    def attempt(self) -> None:
        """Get all that is missing, or as much as comes; raise _InterruptedError then."""
        with self._request() as response:
            self._check(response)
            offset = self._find_offset(response)
            length = response.headers.get('Content-Length', '')
            expected = offset + int(length) if length.isdecimal() else None
            self._check_size(expected or 0)
            self._keep(offset)
            self._remember(response)
            self._receive(response, offset, expected)

    def forget(self) -> None:
        """Remove what was only needed to resume."""
        self._origin.unlink(missing_ok=True)

    def _request(self) -> HTTPResponse:
        request = Request(self._url, headers={'User-Agent': 'mobilenetv2_ros'})
        version = self._read_version()
        if self.size and version:
            request.add_header('Range', f'bytes={self.size}-')
            request.add_header('If-Range', version)
        try:
            response: HTTPResponse = self._open(request, timeout=_SOCKET_TIMEOUT)
            return response
        except HTTPError as error:
            with error:
                raise self._judge_refusal(error) from None
        except (HTTPException, OSError) as error:
            raise self._judge_failure(error) from None

    def _judge_refusal(self, error: HTTPError) -> Exception:
        """Tell whether another attempt is worth it when the server refuses."""
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            # What is here is not the beginning of what is there.
            self._target.unlink(missing_ok=True)
            self.forget()
        elif error.code < 500 and error.code not in _WORTH_ANOTHER_ATTEMPT:
            return UnreachableError(
                f'{self._url} cannot be had: the server answers {error.code} {error.reason}; '
                '--url names a mirror')
        return _InterruptedError(f'the server answers {error.code} {error.reason}')

    def _judge_failure(self, error: Exception) -> Exception:
        """Tell whether another attempt is worth it when there is no answer."""
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError):
            return UnreachableError(
                f'{self._url} cannot be had: the server cannot prove who it is: '
                f'{reason.verify_message}; is the clock of this machine right?')
        words = reason.strerror if isinstance(reason, OSError) and reason.strerror else reason
        return _InterruptedError(f'no connection: {words}')

    def _check(self, response: HTTPResponse) -> None:
        if response.headers.get_content_type() == 'text/html':
            raise DownloadError(
                f'{self._url} gives a web page instead of a model; does this network ask for a '
                'login first?')

    def _find_offset(self, response: HTTPResponse) -> int:
        """Find where the answer belongs: after what is here, or at the start."""
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            return 0
        content_range = response.headers.get('Content-Range', '')
        match = re.match(r'bytes (\d+)-', content_range)
        if not match or int(match[1]) != self.size:
            raise DownloadError(
                f'{self._url} was asked for what follows byte {self.size} and gives '
                f"'{content_range}'; delete '{self._target}' and try again")
        return self.size

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            self._target.unlink(missing_ok=True)
            self.forget()
            raise DownloadError(
                f'{self._url} is larger than {self._max_bytes / 1e6:.0f} MB; expected a model '
                'for this node')

    def _keep(self, size: int) -> None:
        """Drop what the answer will bring again, before its version is remembered."""
        with self._target.open('ab') as file:
            file.truncate(size)

    def _receive(
            self, response: HTTPResponse, offset: int, expected: Optional[int]) -> None:
        with self._target.open('ab') as file, tqdm(
                total=expected, initial=offset, unit='B', unit_scale=True, unit_divisor=1024,
                disable=None, desc=self._target.stem) as bar:
            while chunk := _read(response):
                offset += len(chunk)
                self._check_size(offset)
                file.write(chunk)
                bar.update(len(chunk))
            file.flush()
            os.fsync(file.fileno())
        if expected is not None and offset < expected:
            raise _InterruptedError(f'the connection ended after {offset} of {expected} bytes')

    def _remember(self, response: HTTPResponse) -> None:
        """Keep what If-Range needs: a strong ETag or, without one, the date of the file."""
        tag = response.headers.get('ETag', '')
        strong = '' if tag.startswith('W/') else tag
        version = strong or response.headers.get('Last-Modified', '')
        self._origin.write_text(
            json.dumps({'url': self._url, 'version': version}), encoding='utf-8')

    def _read_version(self) -> str:
        """Return the version of what is here, empty if it cannot be resumed."""
        try:
            origin: Any = json.loads(self._origin.read_text(encoding='utf-8'))
            return str(origin['version']) if origin['url'] == self._url else ''
        except (OSError, ValueError, KeyError, TypeError):
            return ''


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK)
    except (HTTPException, OSError) as error:
        raise _InterruptedError(f'the connection broke: {error}') from None
