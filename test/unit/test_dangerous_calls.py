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

"""Nothing in the package runs what it was given: no shell, no eval, no pickle, no unsafe YAML."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator, List

import pytest
from support.checkout import CHECKOUT

SOURCES = sorted([
    *(CHECKOUT / 'mobilenetv2_ros').rglob('*.py'), *(CHECKOUT / 'launch').glob('*.py')])

CALLS = {
    'eval', 'exec', 'compile', '__import__', 'os.system', 'os.popen', 'tempfile.mktemp',
    'yaml.load', 'yaml.full_load', 'yaml.unsafe_load'}
MODULES = {'pickle', 'marshal', 'shelve', 'dill', 'cloudpickle', 'joblib', 'commands', 'pty'}
KEYWORDS = {'shell', 'allow_pickle', 'weights_only'}


def find_dangers(text: str) -> Iterator[str]:
    """Name what runs text or bytes as a program."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in CALLS or name.startswith(('os.exec', 'os.spawn')):
                yield name
            yield from (f'{name}({keyword.arg}=...)' for keyword in node.keywords
                        if keyword.arg in KEYWORDS)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names
                        if alias.name.partition('.')[0] in MODULES)
        elif isinstance(node, ast.ImportFrom):
            full = [f'{node.module}.{alias.name}' for alias in node.names]
            if str(node.module).partition('.')[0] in MODULES:
                yield str(node.module)
            yield from (name for name in full
                        if name in CALLS or name.startswith(('os.exec', 'os.spawn')))


def test_sources_are_found() -> None:
    assert len(SOURCES) > 40


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_source(path: Path) -> None:
    assert list(find_dangers(path.read_text(encoding='utf-8'))) == []


@pytest.mark.parametrize('text, found', [
    ('eval(x)', ['eval']), ('exec(x)', ['exec']), ('import os\nos.system(x)', ['os.system']),
    ('import pickle', ['pickle']), ('from pickle import loads', ['pickle']),
    ('from os import system', ['os.system']), ('os.execv(a, b)', ['os.execv']),
    ('subprocess.run(x, shell=True)', ['subprocess.run(shell=...)']),
    ('yaml.load(x)', ['yaml.load']), ('yaml.safe_load(x)', []),
    ('np.load(x, allow_pickle=True)', ['np.load(allow_pickle=...)']),
    ('re.compile(x)', []), ('subprocess.run([x])', [])])
def test_what_is_found(text: str, found: List[str]) -> None:
    assert list(find_dangers(text)) == found
