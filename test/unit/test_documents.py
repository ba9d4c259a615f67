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

"""The documents: links that lead somewhere, and manuals that stay short and in step."""

from __future__ import annotations

from pathlib import Path
import re
from typing import Iterator, List, Set

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path for pattern in ('*.md', 'docs/*.md', 'models/*.md', 'photos/*.md')
    for path in CHECKOUT.glob(pattern))


def without_code(text: str) -> str:
    return re.sub(r'^```.*?^```', '', text, flags=re.DOTALL | re.MULTILINE)


def find_links(path: Path) -> Iterator[str]:
    text = re.sub(r'`[^`\n]*`', '', without_code(path.read_text('utf-8')))
    for target in re.findall(r'\]\(([^)\s]+)\)', text):
        if not re.match('[a-z]+:', target):
            yield target


def find_anchors(path: Path) -> Set[str]:
    """Return the anchors that a repository host makes of the headings."""
    headings = re.findall(r'^#+ +(.+)$', without_code(path.read_text('utf-8')), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize(
    'path', DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_links_lead_to_files_and_headings(path: Path) -> None:
    for link in find_links(path):
        file, _, anchor = link.partition('#')
        target = path.parent / file if file else path
        assert target.exists(), f'{link} leads nowhere'
        if anchor:
            assert anchor in find_anchors(target), f'{link} leads to no heading'


def test_the_tests_that_documents_name_exist() -> None:
    tests = list((CHECKOUT / 'test').rglob('test_*.py'))
    known = {path.name for path in tests}.union(
        *(re.findall(r'def (test_\w+)', path.read_text('utf-8')) for path in tests))
    for document in DOCUMENTS:
        for name in re.findall(r'`(?:[\w./]*/)?(test_\w+(?:\.py)?)`', document.read_text('utf-8')):
            assert name in known, f'{document.name}: {name}'


def read_code(name: str) -> List[str]:
    """Return the code blocks of a document, without comments, which are translated."""
    blocks = re.findall(
        r'^```(.*?)^```', (CHECKOUT / name).read_text('utf-8'), re.DOTALL | re.MULTILINE)
    return [re.sub(r' +#.*', '', block) for block in blocks]


def test_both_manuals_show_the_same_commands_and_links() -> None:
    english, chinese = CHECKOUT / 'README.md', CHECKOUT / 'README_cn.md'
    assert read_code('README.md') == read_code('README_cn.md')
    assert set(find_links(english)) - {'README_cn.md'} == (
        set(find_links(chinese)) - {'README.md'})


@pytest.mark.parametrize('name', ['README.md', 'README_cn.md'])
def test_manuals_stay_short(name: str) -> None:
    assert len((CHECKOUT / name).read_text('utf-8').splitlines()) <= 220
