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

"""The package finds its own files, and the model to use when nobody names one."""

from __future__ import annotations

from pathlib import Path
import sys
from types import ModuleType

from mobilenetv2_ros import resources
import pytest


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path))
    monkeypatch.setattr(resources, 'VENDOR_MODEL', tmp_path / 'vendor' / 'm.bin')
    folder = tmp_path / 'mobilenetv2_ros'
    folder.mkdir()
    return folder


def test_bundled_files_are_there() -> None:
    share = resources.share_folder()
    assert (share / resources.BUNDLED_MODEL).is_file()
    assert (share / resources.BUNDLED_LABELS).is_file()


def test_installed_files_are_found_by_the_index(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = ModuleType('ament_index_python.packages')
    packages.get_package_share_directory = (  # type: ignore[attr-defined]
        lambda name: f'/somewhere/share/{name}')
    monkeypatch.setitem(sys.modules, 'ament_index_python', ModuleType('ament_index_python'))
    monkeypatch.setitem(sys.modules, 'ament_index_python.packages', packages)
    monkeypatch.setattr(resources, '__file__', str(tmp_path / 'lib' / 'mobilenetv2_ros' / 'x.py'))
    assert resources.share_folder() == Path('/somewhere/share/mobilenetv2_ros')


def test_named_files_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', '/home/somebody')
    for has_bpu in (False, True):
        assert resources.find_model('~/m.onnx', has_bpu) == Path('/home/somebody/m.onnx')
        assert resources.find_model('missing.bin', has_bpu) == Path('missing.bin')
        assert resources.find_model('~nosuchuser/m.bin', has_bpu) == Path('~nosuchuser/m.bin')
    assert resources.find_labels('~/l.txt') == Path('/home/somebody/l.txt')


def test_download_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', '/home/somebody')
    monkeypatch.delenv('XDG_DATA_HOME', raising=False)
    default = Path('/home/somebody/.local/share/mobilenetv2_ros')
    assert resources.download_folder() == default
    monkeypatch.setenv('XDG_DATA_HOME', '')
    assert resources.download_folder() == default
    monkeypatch.setenv('XDG_DATA_HOME', '/data')
    assert resources.download_folder() == Path('/data/mobilenetv2_ros')


def test_model_on_a_board(downloads: Path) -> None:
    bundled = resources.share_folder() / resources.BUNDLED_MODEL
    vendor = resources.VENDOR_MODEL
    assert resources.find_model('', has_bpu=True) == bundled
    vendor.parent.mkdir()
    vendor.touch()
    assert resources.find_model('', has_bpu=True) == vendor
    (downloads / vendor.name).touch()
    assert resources.find_model('', has_bpu=True) == downloads / vendor.name
    assert resources.find_model('', has_bpu=False) == bundled


def test_model_on_a_cpu(downloads: Path) -> None:
    bundled = resources.share_folder() / resources.BUNDLED_MODEL
    assert resources.find_model('', has_bpu=False) == bundled
    downloaded = downloads / 'mobilenet_v2_1.0_224_quant.tflite'
    downloaded.mkdir()
    assert resources.find_model('', has_bpu=False) == bundled
    downloaded.rmdir()
    downloaded.touch()
    assert resources.find_model('', has_bpu=False) == downloaded
