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

"""The program download_model against a server on this machine that does what servers do."""

from __future__ import annotations

import gzip
import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import io
import os
from pathlib import Path
import socket
import tarfile
import threading
from typing import Any, Callable, Dict, Iterator, List, Tuple

from conftest import StartPython
from mobilenetv2_ros.resources import find_model
from mobilenetv2_ros.tools import download, download_model
from mobilenetv2_ros.tools.download_model import main, MODELS
import pytest

BOARD, CPU = MODELS['board'].file_name, MODELS['cpu'].file_name
CONTENT = b'BIN ' + os.urandom(300_000 - 4)
OTHER_CONTENT = b'BIN ' + os.urandom(300_000 - 4)
TFLITE = b'\x1c\0\0\0TFL3' + os.urandom(300_000)
Output = pytest.CaptureFixture[str]


class Server(ThreadingHTTPServer):
    """
    Serves one file, whatever the path.

    Each answer takes the next of ``cuts`` (bytes after which the connection ends) and of
    ``statuses``, as long as there are some.
    """

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), _Handler)
        self.content = CONTENT
        self.headers: Dict[str, str] = {'ETag': '"1"'}
        self.takes_ranges = True
        self.cuts: List[int] = []
        self.statuses: List[int] = []
        self.tells_length = True
        self.wrong_range = False
        self.requests: List[Dict[str, str]] = []

    @property
    def url(self) -> str:
        return f'http://127.0.0.1:{self.server_port}/model'

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Be silent: tests cut connections on purpose."""


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:  # noqa: N802, the name that http.server calls
        server = self.server
        server.requests.append(dict(self.headers.items()))
        status = server.statuses.pop(0) if server.statuses else 200
        body = server.content if status == 200 else b'no'
        start = self._wanted_start() if status == 200 else 0
        if start > len(body):
            status, start, body = 416, 0, b'no'
        self.send_response(206 if start else status)
        if start:
            told = start + server.wrong_range
            self.send_header('Content-Range', f'bytes {told}-{len(body) - 1}/{len(body)}')
        for name, text in server.headers.items():
            self.send_header(name, text)
        if server.tells_length:
            self.send_header('Content-Length', str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start:][:server.cuts.pop(0) if server.cuts else None])

    def _wanted_start(self) -> int:
        wanted = self.headers.get('Range')
        known = self.headers.get('If-Range') in (
            self.server.headers.get('ETag'), self.server.headers.get('Last-Modified'))
        if not self.server.takes_ranges or not wanted or not known:
            return 0
        return int(wanted[len('bytes='):-1])

    def log_message(self, *arguments: Any) -> None:
        """Be silent."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={'poll_interval': 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the download folder, of a machine where nothing else is and waits are short."""
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path))
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    monkeypatch.setattr(download, 'BACK_OFF_SECONDS', (0.0, 0.0, 0.0))
    return tmp_path / 'mobilenetv2_ros'


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def check_arrived(folder: Path, content: bytes = CONTENT, name: str = BOARD) -> None:
    """Check that the model is there, its checksum beside it, and nothing else."""
    assert (folder / name).read_bytes() == content
    assert (folder / f'{name}.sha256').read_text() == f'{sha256(content)}  {name}\n'
    assert {path.name for path in folder.iterdir()} == {name, f'{name}.sha256'}


def check_refused(output: Output, *words: str) -> None:
    """Check that the last line is a sentence of ours and no traceback came with it."""
    errors = output.readouterr().err
    last = errors.splitlines()[-1]
    assert last.startswith('download_model: ') and 'Traceback' not in errors
    for word in words:
        assert word in last


def test_first_download_is_found_by_the_node_and_remembered(
        server: Server, folder: Path, capsys: Output) -> None:
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder)
    assert find_model('', has_bpu=True) == folder / BOARD
    printed = capsys.readouterr().out
    assert str(folder / BOARD) in printed and sha256(CONTENT) in printed
    assert 'remembered' in printed


def test_a_model_that_is_there_is_not_downloaded_again(
        server: Server, folder: Path, capsys: Output) -> None:
    assert main(['board', '--url', server.url]) == 0
    assert main(['board', '--url', server.url]) == 0
    assert len(server.requests) == 1
    assert 'is there already' in capsys.readouterr().out
    check_arrived(folder)


def test_a_damaged_model_is_downloaded_again(server: Server, folder: Path) -> None:
    assert main(['board', '--url', server.url]) == 0
    (folder / BOARD).write_bytes(b'x')
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder)


@pytest.mark.parametrize('version', [
    {'ETag': '"1"'}, {'Last-Modified': 'Mon, 01 Jan 2024 00:00:00 GMT'},
    {'ETag': 'W/"1"', 'Last-Modified': 'Mon, 01 Jan 2024 00:00:00 GMT'}])
def test_a_cut_download_is_resumed(
        server: Server, folder: Path, version: Dict[str, str]) -> None:
    server.headers = version
    server.cuts = [100_000, 50_000]
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder)
    assert [request.get('Range') for request in server.requests] == [
        None, 'bytes=100000-', 'bytes=150000-']
    expected = version.get('Last-Modified', '"1"')
    assert [request.get('If-Range') for request in server.requests[1:]] == [expected] * 2


def test_another_process_resumes(server: Server, folder: Path, capsys: Output) -> None:
    server.cuts = [100_000, 0, 0, 0, 0]
    assert main(['board', '--url', server.url]) == 1
    check_refused(capsys, f'{server.url} cannot be had', '100000 of 300000 bytes',
                  'resumes')
    assert not (folder / BOARD).exists()
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder)
    assert server.requests[-1]['Range'] == 'bytes=100000-'


def test_progress_renews_patience(server: Server, folder: Path) -> None:
    server.cuts = [30_000] * 9
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder)
    assert len(server.requests) == 10


def test_a_server_that_ignores_ranges_starts_again(server: Server, folder: Path) -> None:
    server.takes_ranges = False
    server.cuts = [100_000]
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder)
    assert server.requests[1]['Range'] == 'bytes=100000-'


def test_a_server_that_ignores_ranges_and_always_cuts_is_given_up(
        server: Server, folder: Path, capsys: Output) -> None:
    server.takes_ranges = False
    server.cuts = [100_000] * 100
    assert main(['board', '--url', server.url]) == 1
    assert len(server.requests) == 5
    check_refused(capsys, 'cannot be had')


@pytest.mark.parametrize('version', [{}, {'ETag': 'W/"1"'}])
def test_without_a_version_nothing_is_resumed(
        server: Server, folder: Path, version: Dict[str, str]) -> None:
    server.headers = version
    server.cuts = [100_000]
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder)
    assert 'Range' not in server.requests[1]


def test_a_file_that_changes_between_attempts_is_not_mixed(
        server: Server, folder: Path) -> None:
    server.cuts = [100_000, 0, 0, 0, 0]
    assert main(['board', '--url', server.url]) == 1
    server.content, server.headers = OTHER_CONTENT, {'ETag': '"2"'}
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder, OTHER_CONTENT)


def test_what_came_from_elsewhere_is_not_resumed(server: Server, folder: Path) -> None:
    server.cuts = [100_000, 0, 0, 0, 0]
    assert main(['board', '--url', server.url]) == 1
    server.content = OTHER_CONTENT
    assert main(['board', '--url', server.url + '2']) == 0
    check_arrived(folder, OTHER_CONTENT)


def test_a_part_longer_than_the_file_starts_again(server: Server, folder: Path) -> None:
    server.cuts = [200_000, 0, 0, 0, 0]
    assert main(['board', '--url', server.url]) == 1
    server.content = CONTENT[:100_000]
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder, CONTENT[:100_000])


def test_an_answer_to_another_range_is_refused(
        server: Server, folder: Path, capsys: Output) -> None:
    server.cuts = [100_000]
    server.wrong_range = True
    assert main(['board', '--url', server.url]) == 1
    check_refused(capsys, 'what follows byte 100000', 'bytes 100001-')


def test_an_unknown_length_is_read_to_the_end(server: Server, folder: Path) -> None:
    server.tells_length = False
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder)


@pytest.mark.parametrize('status', [500, 503, 429, 408])
def test_a_busy_server_is_asked_again(server: Server, folder: Path, status: int) -> None:
    server.statuses = [status] * 3
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder)


@pytest.mark.parametrize('status, words', [
    (404, '404 Not Found'), (403, '403 Forbidden'), (410, '410 Gone')])
def test_a_missing_file_is_told_at_once(
        server: Server, folder: Path, capsys: Output, status: int, words: str) -> None:
    server.statuses = [status]
    assert main(['board', '--url', server.url]) == 1
    assert len(server.requests) == 1
    check_refused(capsys, server.url, words, '--url names a mirror')
    assert not any(folder.iterdir())


def test_a_web_page_is_no_model(server: Server, folder: Path, capsys: Output) -> None:
    server.headers = {'Content-Type': 'text/html; charset=utf-8'}
    assert main(['board', '--url', server.url]) == 1
    check_refused(capsys, 'web page', 'login')
    assert not any(folder.iterdir())


@pytest.mark.parametrize('model, content, words', [
    ('board', b'', 'it has 0 bytes; expected at least 100000'),
    ('board', CONTENT[:99_999], 'it has 99999 bytes'),
    ('board', b'\n<!DOCTYPE html>' + CONTENT, 'it is a web page'),
    ('board', b'<HTML>' + CONTENT, 'it is a web page'),
    ('board', TFLITE, 'it is a TensorFlow Lite model'),
    ('cpu', CONTENT, 'it is no TensorFlow Lite model')])
def test_what_cannot_be_the_model_is_not_remembered(
        server: Server, folder: Path, capsys: Output, model: str, content: bytes,
        words: str) -> None:
    server.content = content
    assert main([model, '--url', server.url, '--accept-new']) == 1
    check_refused(capsys, server.url, MODELS[model].file_name, words)
    assert not any(folder.iterdir())


def test_a_packed_model_in_an_archive_is_refused(
        server: Server, folder: Path, capsys: Output) -> None:
    server.content = pack(regular(BOARD, gzip.compress(CONTENT)))
    assert main(['board', '--url', server.url]) == 1
    check_refused(capsys, 'it is a packed file')


def test_what_was_put_there_and_cannot_be_the_model_is_downloaded(
        server: Server, folder: Path) -> None:
    folder.mkdir()
    (folder / BOARD).touch()
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize('model, file_name, copying', [
    ('board', 'model.bin', "put this file to '{}'"),
    ('cpu', 'model.tgz', f"put '{CPU}' out of this archive to '{{}}'")])
def test_offline(
        folder: Path, capsys: Output, model: str, file_name: str, copying: str) -> None:
    url = f'http://127.0.0.1:{closed_port()}/{file_name}'
    assert main([model, '--url', url]) == 1
    check_refused(capsys, url, 'Connection refused', 'Is this machine online?', 'a mirror',
                  copying.format(folder / MODELS[model].file_name))
    assert not any(folder.iterdir())


@pytest.mark.parametrize('url', [
    'http://example.org/model.bin', 'ftp://127.0.0.1/model.bin', 'file:///etc/passwd',
    'https://', 'model.bin', ' ', 'http://[::1/model.bin'])
def test_unsafe_addresses_are_refused(folder: Path, capsys: Output, url: str) -> None:
    assert main(['board', '--url', url]) == 1
    check_refused(capsys, f"'{url}'", 'expected https://')


def test_a_redirection_may_not_leave_for_an_unsafe_address(
        server: Server, folder: Path, capsys: Output) -> None:
    server.statuses = [302]
    server.headers = {'Location': 'http://example.org/model.bin'}
    assert main(['board', '--url', server.url]) == 1
    check_refused(capsys, "'http://example.org/model.bin' is not taken")


def test_a_redirection_to_a_safe_address_is_followed(server: Server, folder: Path) -> None:
    server.statuses = [302]
    server.headers = {'Location': server.url + '2'}
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder)


def test_a_wrong_checksum_is_refused(server: Server, folder: Path, capsys: Output) -> None:
    expected = sha256(OTHER_CONTENT)
    assert main(['board', '--url', server.url, '--sha256', expected]) == 1
    check_refused(capsys, sha256(CONTENT), expected, '--accept-new')
    assert not any(folder.iterdir())


def test_a_right_checksum_is_taken_in_any_case(server: Server, folder: Path) -> None:
    assert main(['board', '--url', server.url, '--sha256', sha256(CONTENT).upper()]) == 0
    check_arrived(folder)


def test_a_changed_file_is_refused(server: Server, folder: Path, capsys: Output) -> None:
    assert main(['board', '--url', server.url]) == 0
    (folder / BOARD).unlink()
    server.content = OTHER_CONTENT
    assert main(['board', '--url', server.url]) == 1
    check_refused(capsys, sha256(OTHER_CONTENT), f'expected {sha256(CONTENT)}')
    assert [path.name for path in folder.iterdir()] == [f'{BOARD}.sha256']


@pytest.mark.parametrize('option', [['--accept-new'], ['--sha256', sha256(OTHER_CONTENT)]])
def test_a_changed_file_is_taken_on_demand_and_remembered(
        server: Server, folder: Path, option: List[str]) -> None:
    assert main(['board', '--url', server.url]) == 0
    server.content = OTHER_CONTENT
    assert main(['board', '--url', server.url, *option]) == 0
    check_arrived(folder, OTHER_CONTENT)


def test_the_old_model_stays_when_the_new_one_is_refused(
        server: Server, folder: Path) -> None:
    assert main(['board', '--url', server.url]) == 0
    assert main(['board', '--url', server.url, '--sha256', sha256(OTHER_CONTENT)]) == 1
    check_arrived(folder)


def test_a_damaged_checksum_file_is_told(folder: Path, capsys: Output) -> None:
    folder.mkdir()
    (folder / f'{BOARD}.sha256').write_bytes(b'\xff')
    assert main(['board']) == 1
    check_refused(capsys, 'holds no SHA-256', 'delete it')


def test_the_known_checksum_is_that_of_the_official_model(
        shared_file: Callable[[str], Path]) -> None:
    assert MODELS['cpu'].sha256 == sha256(shared_file(f'models/{CPU}').read_bytes())


def pack(*members: Tuple[tarfile.TarInfo, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode='w:gz') as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def regular(name: str, content: bytes = TFLITE) -> Tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), content


def link(name: str, kind: bytes) -> Tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, '/etc/passwd'
    return member, b''


@pytest.mark.parametrize('name', [CPU, './' + CPU])
def test_a_model_is_taken_out_of_an_archive(server: Server, folder: Path, name: str) -> None:
    server.content = pack(regular('./readme'), regular(name), regular('./last'))
    assert main(['cpu', '--url', server.url, '--sha256', sha256(TFLITE)]) == 0
    check_arrived(folder, TFLITE, CPU)
    assert find_model('', has_bpu=False) == folder / CPU


def test_the_official_model_is_taken_without_asking(
        server: Server, folder: Path, capsys: Output,
        shared_file: Callable[[str], Path]) -> None:
    content = shared_file(f'models/{CPU}').read_bytes()
    server.content = pack(regular('./' + CPU, content))
    assert main(['cpu', '--url', server.url]) == 0
    check_arrived(folder, content, CPU)
    assert 'as expected' in capsys.readouterr().out


def test_another_model_of_that_name_is_refused(
        server: Server, folder: Path, capsys: Output) -> None:
    server.content = pack(regular('./' + CPU))
    assert main(['cpu', '--url', server.url]) == 1
    check_refused(capsys, sha256(TFLITE), MODELS['cpu'].sha256)
    assert not any(folder.iterdir())


@pytest.mark.parametrize('member', [
    regular('../' + CPU), regular('/' + CPU), regular(f'x/../{CPU}'), regular('x/' + CPU),
    link(CPU, tarfile.SYMTYPE), link(CPU, tarfile.LNKTYPE), link(CPU, tarfile.CHRTYPE),
    link(CPU, tarfile.DIRTYPE), regular('../../evil')])
def test_evil_members_are_passed_over(
        server: Server, folder: Path, tmp_path: Path, capsys: Output,
        member: Tuple[tarfile.TarInfo, bytes]) -> None:
    server.content = pack(member)
    assert main(['cpu', '--url', server.url, '--accept-new']) == 1
    check_refused(capsys, f"has no file '{CPU}'")
    assert list(tmp_path.rglob('*')) == [folder]


@pytest.mark.parametrize('content', [
    pack(regular('./' + CPU))[:200_000], b'\x1f\x8b' + OTHER_CONTENT,
    gzip.compress(b'no archive' * 1000), gzip.compress(b'')])
def test_damaged_archives_are_refused(
        server: Server, folder: Path, capsys: Output, content: bytes) -> None:
    server.content = content
    assert main(['cpu', '--url', server.url, '--accept-new']) == 1
    check_refused(capsys, 'the archive ')
    assert not any(folder.iterdir())


@pytest.mark.parametrize('tells_length', [True, False])
def test_a_download_that_is_too_large_is_refused(
        server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output,
        tells_length: bool) -> None:
    monkeypatch.setattr(download_model, '_MAX_DOWNLOAD', 200_000)
    server.tells_length = tells_length
    assert main(['board', '--url', server.url]) == 1
    check_refused(capsys, 'is larger than')
    assert not any(folder.iterdir())


@pytest.mark.parametrize('content', [
    CONTENT, pack(regular(CPU)), pack(regular('./readme'), regular(CPU, b'small'))])
def test_an_archive_that_unpacks_to_too_much_is_refused(
        server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output,
        content: bytes) -> None:
    monkeypatch.setattr(download_model, '_MAX_MODEL', 200_000)
    monkeypatch.setattr(download_model._LimitedGzipFile, '_left', 250_000)
    server.content = content
    assert main(['cpu', '--url', server.url, '--accept-new']) == 1
    check_refused(capsys, 'unpacks to more than')
    assert not any(folder.iterdir())


def test_a_second_process_is_kept_out(
        server: Server, folder: Path, start_python: StartPython) -> None:
    with download_model._only_one_at_a_time(folder):
        process = start_python('-m', 'mobilenetv2_ros.tools.download_model', 'board',
                               '--url', server.url, XDG_DATA_HOME=str(folder.parent))
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and 'is under way' in errors
    assert not server.requests
    assert main(['board', '--url', server.url]) == 0


def test_a_folder_that_cannot_be_written_is_told(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    (tmp_path / 'file').touch()
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path / 'file'))
    assert main(['board']) == 1
    check_refused(capsys, str(tmp_path / 'file'), 'Not a directory')


@pytest.mark.parametrize('arguments, words', [
    ([], 'required: model'), (['gpu'], "invalid choice: 'gpu'"),
    (['board', '--sha256', 'abc'], "'abc' is no SHA-256"),
    (['board', '--sha256', '0' * 64, '--accept-new'], 'contradict')])
def test_wrong_arguments(capsys: Output, arguments: List[str], words: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err
