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

"""The fuzz targets: their corpora as they are, and, with atheris, a few thousand new messages."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys
from typing import List

from fuzzing.targets import repair_checksums, TARGETS
import pytest
from support.checkout import CHECKOUT


from support.hostile_images import make_png
from support.serialized import compressed


def list_corpus() -> List[Path]:
    return sorted((CHECKOUT / 'test' / 'fuzzing' / 'corpus').glob('*/*'))


@pytest.mark.parametrize('path', list_corpus(), ids=lambda path: f'{path.parent.name}-{path.name}')
def test_corpus(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize('target', TARGETS)
def test_corpus_holds_good_and_bad(target: str) -> None:
    """A fuzzer that starts from nothing but refusals learns nothing of what comes behind."""
    found = [TARGETS[target](path.read_bytes()) for path in list_corpus()
             if path.parent.name == target]
    assert found.count(True) >= 4 and found.count(False) >= 4


def test_checksums_are_repaired() -> None:
    good = compressed(data=make_png())
    damaged = bytearray(good)
    place = good.index(b'IDAT') - 4
    damaged[place - 4:place] = b'oops'
    damaged[-1] ^= 1
    assert repair_checksums(bytes(damaged)) == good
    assert repair_checksums(b'no PNG at all') == b'no PNG at all'


@pytest.mark.parametrize('target', TARGETS)
def test_a_few_thousand_new_messages(target: str, tmp_path: Path) -> None:
    pytest.importorskip('atheris', reason='atheris is not installed; see make fuzz')
    done = subprocess.run(
        [sys.executable, CHECKOUT / 'dev' / 'fuzz.py', '--runs', '20000', '--kept', tmp_path,
         target], stdout=subprocess.PIPE, encoding='utf-8', timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith(f'{target}: 20000 executions') and ' 0 crash' in done.stdout


def test_it_notices_an_exception(tmp_path: Path) -> None:
    """The check of the check: anything else than ImageMessageError is a crash."""
    pytest.importorskip('atheris', reason='atheris is not installed; see make fuzz')
    done = subprocess.run(
        [sys.executable, '-c', '\n'.join([
            'import runpy, sys',
            'from mobilenetv2_ros.image import image_message',
            'image_message.ImageMessageError.__init__ = lambda *_: 1 / 0',
            'sys.argv = ["fuzz_target.py", "image", "-runs=1000"]',
            'runpy.run_module("fuzzing.fuzz_target", run_name="__main__")'])],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding='utf-8',
        timeout=120, check=False)
    assert done.returncode != 0 and 'ZeroDivisionError' in done.stdout
