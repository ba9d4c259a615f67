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

"""The program download_model against servers on this machine, well-behaved, poor and hostile."""

from __future__ import annotations

from contextlib import contextmanager, suppress
import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import os
from pathlib import Path
import socket
import socketserver
import threading
from typing import Any, Dict, Iterator, List

from mobilenetv2_ros.inference.known_models import KNOWN_MODELS
from mobilenetv2_ros.resources import find_model
from mobilenetv2_ros.tools import download_model
from mobilenetv2_ros.tools.download_model import main
import pytest
from support.fixture_types import StartPython

NAME = KNOWN_MODELS['board'].file_name
CONTENT = os.urandom(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
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
        self.location = ''
        self.takes_ranges = True
        self.cuts: List[int] = []
        self.statuses: List[int] = []
        self.ranges: List[str] = []

    @property
    def url(self) -> str:
        return f'http://127.0.0.1:{self.server_port}/model'

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Be silent: tests cut connections on purpose."""


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:  # noqa: N802, the name that http.server calls
        server = self.server
        wanted = self.headers.get('Range', '')
        server.ranges.append(wanted)
        start = int(wanted[len('bytes='):-1]) if wanted and server.takes_ranges else 0
        body = server.content[start:]
        status = server.statuses.pop(0) if server.statuses else 206 if start else 200
        if start and start >= len(server.content):
            status = 416
        self.send_response(status)
        if server.location:
            self.send_header('Location', server.location)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body[:server.cuts.pop(0) if server.cuts else None])

    def log_message(self, *arguments: Any) -> None:
        """Be silent."""


@contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    with running(server):
        yield server


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the download folder of a machine where nothing is and the model is known."""
    known = KNOWN_MODELS['board']._replace(
        sha256=SHA256, max_bytes=len(CONTENT))
    monkeypatch.setitem(KNOWN_MODELS, 'board', known)
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path))
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    monkeypatch.setattr(download_model, '_BACK_OFF_SECONDS', (0.0, 0.0))
    return tmp_path / 'mobilenetv2_ros'


def check_arrived(folder: Path) -> None:
    """Check that the model is there and nothing else."""
    assert [path.name for path in folder.iterdir()] == [NAME]
    assert (folder / NAME).read_bytes() == CONTENT


def check_refused(output: Output, *words: str) -> None:
    """Check that each line is a sentence of ours, the last one with these words."""
    lines = output.readouterr().err.split('\n')[:-1]
    for line in lines:
        assert line.startswith('download_model: ') and line.isprintable() and len(line) < 600
    for word in words:
        assert word in lines[-1]


def test_a_model_is_found_by_the_node(server: Server, folder: Path, capsys: Output) -> None:
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder)
    assert find_model('', has_bpu=True) == folder / NAME
    assert 'when model_path is empty' in capsys.readouterr().out


def test_a_model_that_is_there_is_not_downloaded_again(server: Server, folder: Path) -> None:
    assert main(['board', '--url', server.url]) == 0
    assert main(['board', '--url', server.url]) == 0
    assert len(server.ranges) == 1
    check_arrived(folder)


def test_another_file_of_that_name_is_replaced(server: Server, folder: Path) -> None:
    folder.mkdir()
    (folder / NAME).write_bytes(b'x')
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder)


def test_a_cut_download_is_resumed(server: Server, folder: Path) -> None:
    server.cuts = [100_000, 50_000]
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder)
    assert server.ranges == ['', 'bytes=100000-', 'bytes=150000-']


def test_another_process_resumes(server: Server, folder: Path, capsys: Output) -> None:
    server.cuts = [100_000, 0, 0]
    assert main(['board', '--url', server.url]) == 1
    check_refused(capsys, f'{server.url} cannot be had', '100000 of 300000 bytes',
                  'resumes', str(folder / NAME))
    assert not (folder / NAME).exists()
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder)
    assert server.ranges[-1] == 'bytes=100000-'


def test_a_part_that_is_complete_is_the_model(server: Server, folder: Path) -> None:
    """A process that was killed before the file got its name."""
    folder.mkdir()
    (folder / f'{NAME}.part').write_bytes(CONTENT)
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder)


def test_a_server_without_ranges_starts_again(server: Server, folder: Path) -> None:
    server.takes_ranges = False
    server.cuts = [100_000]
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder)


def test_a_full_disk_is_told_with_the_file(
        server: Server, folder: Path, capsys: Output) -> None:
    folder.mkdir()
    (folder / f'{NAME}.part').symlink_to('/dev/full')
    assert main(['board', '--url', server.url]) == 1
    check_refused(capsys, f"'{folder / NAME}.part' cannot be written: No space left on device")


def test_a_part_longer_than_the_file_is_given_up(server: Server, folder: Path) -> None:
    folder.mkdir()
    (folder / f'{NAME}.part').write_bytes(bytes(300_001))
    assert main(['board', '--url', server.url]) == 1
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder)


@pytest.mark.parametrize('status', [500, 503, 429, 408])
def test_a_busy_server_is_asked_again(server: Server, folder: Path, status: int) -> None:
    server.statuses = [status] * 2
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder)


def test_a_missing_file_is_told_at_once(server: Server, folder: Path, capsys: Output) -> None:
    server.statuses = [404]
    assert main(['board', '--url', server.url]) == 1
    check_refused(capsys, server.url, '404 Not Found', '--url names a mirror')
    assert not any(folder.iterdir())


@pytest.mark.parametrize('content, words', [
    (CONTENT[:-1], 'It was damaged'), (b'<html>Log in</html>', 'asks for a login'),
    (b'', 'It was damaged'), (CONTENT + b'x', 'of at most 300000 bytes')])
def test_another_file_is_refused_and_the_old_one_stays(
        server: Server, folder: Path, capsys: Output, content: bytes, words: str) -> None:
    folder.mkdir()
    (folder / NAME).write_bytes(b'old')
    server.content = content
    assert main(['board', '--url', server.url]) == 1
    check_refused(capsys, server.url, words)
    assert [path.read_bytes() for path in folder.iterdir()] == [b'old']


def test_no_connection(folder: Path, capsys: Output) -> None:
    with socket.socket() as unused:
        unused.bind(('127.0.0.1', 0))
        url = f'http://127.0.0.1:{unused.getsockname()[1]}/model'
    assert main(['board', '--url', url]) == 1
    check_refused(capsys, url, 'Connection refused', 'Is this machine online', str(folder / NAME))


UNSAFE = [
    'http://example.org/model.bin', 'ftp://127.0.0.1/model.bin', 'file:///etc/passwd',
    'https://', 'model.bin', ' ', 'http://[::1', 'http://[::1/model.bin']


@pytest.mark.parametrize('url', UNSAFE)
def test_unsafe_addresses_are_refused(capsys: Output, url: str) -> None:
    assert main(['board', '--url', url]) == 1
    check_refused(capsys, f"'{url}'", 'expected https://')


def test_a_redirection_may_not_leave_for_an_unsafe_address(
        server: Server, capsys: Output) -> None:
    server.statuses, server.location = [302], UNSAFE[0]
    assert main(['board', '--url', server.url]) == 1
    check_refused(capsys, f"'{UNSAFE[0]}' is not taken")


def test_a_redirection_to_a_safe_address_is_followed(server: Server, folder: Path) -> None:
    server.statuses, server.location = [302], server.url + '2'
    assert main(['board', '--url', server.url]) == 0
    check_arrived(folder)


class HostileServer(socketserver.ThreadingTCPServer):
    """
    Sends the same bytes to everybody.

    :param answer: the start of what it says.
    :param drip: what it goes on to say for as long as somebody listens.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answer: bytes, drip: bytes) -> None:
        super().__init__(('127.0.0.1', 0), _HostileHandler)
        self.answer, self.drip = answer, drip
        self.url = f'http://127.0.0.1:{self.server_address[1]}/model'
        self.is_over = threading.Event()


class _HostileHandler(socketserver.BaseRequestHandler):

    def handle(self) -> None:
        server = self.server
        assert isinstance(server, HostileServer)
        with suppress(OSError):
            self.request.recv(10_000)
            self.request.sendall(server.answer)
            while server.drip and not server.is_over.wait(0.05):
                self.request.sendall(server.drip)


OK = b'HTTP/1.1 200 OK\r\n'
ANSWERS: Dict[str, bytes] = {
    'a length of 5000 digits': OK + b'Content-Length: ' + b'9' * 5000 + b'\r\n\r\n',
    'a negative length': OK + b'Content-Length: -5\r\n\r\n' + CONTENT,
    'no length': OK + b'\r\n' + CONTENT,
    'a negative chunk': OK + b'Transfer-Encoding: chunked\r\n\r\n-5\r\n' + CONTENT,
    'an endless line': OK + b'X' * 100_000,
    'endless headers': OK + b'X: y\r\n' * 1000,
    'a status of 5000 digits': b'HTTP/1.1 ' + b'9' * 5000 + b' OK\r\n\r\n',
    'no HTTP': b'SSH-2.0-\x1b[2J\r\n',
    'commands for the terminal': b'HTTP/1.1 404 \x1b]0;evil\x07\x1b[2J\x9b\r\n\r\n',
    'a broken redirection': b'HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n',
    'a redirection to no host': b'HTTP/1.1 302 Found\r\nLocation: https://\xff\xff..\r\n\r\n',
    'redirections without end': b'HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n',
    'nothing': b'',
}


@pytest.mark.parametrize('answer', ANSWERS.values(), ids=ANSWERS)
def test_nonsense_of_a_server_is_a_sentence(
        folder: Path, capsys: Output, answer: bytes) -> None:
    server = HostileServer(answer, b'')
    with running(server):
        assert main(['board', '--url', server.url]) == 1
    check_refused(capsys)
    assert not (folder / NAME).exists()


@pytest.mark.parametrize('answer', [
    b'', OK, OK + b'Content-Length: 300000\r\n\r\n',
    b'HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n'],
    ids=['status', 'headers', 'body', 'body of a redirection'])
def test_a_server_that_drips_is_given_up(
        folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output, answer: bytes) -> None:
    monkeypatch.setattr(download_model, '_STEP_SECONDS', 0.3)
    server = HostileServer(answer, b'x')
    with running(server):
        assert main(['board', '--url', server.url]) == 1
        server.is_over.set()
    check_refused(capsys, 'cannot be had')
    assert not (folder / NAME).exists()


def test_a_second_process_is_kept_out(
        server: Server, folder: Path, start_python: StartPython) -> None:
    with download_model._only_one_at_a_time(folder):
        process = start_python('-m', 'mobilenetv2_ros.tools.download_model', 'board',
                               '--url', server.url, XDG_DATA_HOME=str(folder.parent))
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and 'is under way' in errors
    assert not server.ranges


def test_a_folder_that_cannot_be_written_is_told(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    (tmp_path / 'file').touch()
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path / 'file'))
    assert main(['board']) == 1
    check_refused(capsys, str(tmp_path / 'file'), 'Not a directory')


def test_output_that_cannot_be_written_is_not_called_the_model(
        folder: Path, start_python: StartPython) -> None:
    folder.mkdir()
    (folder / NAME).write_bytes(CONTENT)
    process = start_python(
        '-c', 'import sys; from mobilenetv2_ros.inference.known_models import KNOWN_MODELS\n'
        f'KNOWN_MODELS["board"] = KNOWN_MODELS["board"]._replace(sha256={SHA256!r})\n'
        'sys.stdout = open("/dev/full", "w")\n'
        'from mobilenetv2_ros.tools.download_model import main; sys.exit(main(["board"]))')
    _, errors = process.communicate(timeout=60)
    assert errors == 'download_model: stdout cannot be written: No space left on device\n'
    assert process.returncode == 1


@pytest.mark.parametrize('arguments, words', [
    ([], 'required: model'), (['gpu'], "invalid choice: 'gpu'")])
def test_wrong_arguments(capsys: Output, arguments: List[str], words: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err
