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
Check style, docstrings, licence headers, types and which room imports which.

Prints one line for each check, followed by what it found; the exit code is 1 if anything was
found. flake8 and pydocstyle run as ament_flake8 and ament_pep257 run them.
"""

from __future__ import annotations

from pathlib import Path
import re
import subprocess
import sys
from typing import Callable, Iterable, List, Sequence, Tuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = 'mobilenetv2_ros'
CHECKED = (PACKAGE, 'launch', 'test', 'dev', 'setup.py')

LOOSELY_TYPED = tuple(f'{PACKAGE}/{name}' for name in ('node', 'tools'))
"""What handles objects of rclpy, which had no types in Humble; the rest is typed strictly."""

STRICTLY_TYPED = (PACKAGE, 'test/emulated_libdnn/__init__.py')

AMENT_PEP257_IGNORED = 'D100,D101,D102,D103,D104,D105,D106,D107,D203,D212,D404'

LICENSED = ('*.py', '*.c', '*.sh', 'Makefile')

LICENCE = """\
Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
"""


def main() -> int:
    """
    Run all checks.

    :returns: exit code, 1 if anything was found.
    """
    checks: Tuple[Tuple[str, Callable[[], List[str]]], ...] = (
        ('style (flake8)', check_style),
        ('docstrings (pydocstyle)', check_docstrings),
        ('licence headers', check_licences),
        ('rooms and ROS (import-linter)', check_rooms),
        ('types (mypy)', check_types))
    total = 0
    for name, check in checks:
        findings = check()
        print(f"{name}: {len(findings) or 'no'} finding{'s' * (len(findings) != 1)}", flush=True)
        for finding in findings:
            print(f'  {finding}')
        total += len(findings)
    return 1 if total else 0


def check_style() -> List[str]:
    """Run flake8 with the settings of ament_flake8."""
    return _run_tool('flake8', '--config', 'dev/flake8.ini', *_checked_paths())


def check_docstrings() -> List[str]:
    """Run pydocstyle as ament_pep257 does."""
    lines = _run_tool(
        'pydocstyle', f'--ignore={AMENT_PEP257_IGNORED}', '--match', r'.*\.py',
        '--match-dir', r'[^\._].*', *_checked_paths())
    # It writes place and finding on a line each.
    return [f'{place.strip()}: {finding.strip()}'
            for place, finding in zip(lines[::2], lines[1::2])]


def check_licences() -> List[str]:
    """Look for the Apache licence at the top of each source file that is in git or could be."""
    listed = _run('git', 'ls-files', '--cached', '--others', '--exclude-standard', '-z', *LICENSED)
    paths = sorted(path for path in listed.split('\0') if path and (ROOT / path).is_file())
    if not paths:
        return ['git lists no source files: is this a git checkout?']
    return [f'{path}: no Apache licence header' for path in paths
            if not has_licence((ROOT / path).read_text(encoding='utf-8'))]


def has_licence(text: str) -> bool:
    """Tell whether a source text starts with a copyright line and the licence, as comments."""
    lines = [re.sub(r'\s*[/*#]*\s?', '', line, count=1) for line in text.splitlines()[:20]]
    head = '\n'.join(lines) + '\n'
    return 'Copyright ' in head.partition(LICENCE)[0] and LICENCE in head


def check_rooms() -> List[str]:
    """Find imports from a room that may not be imported, or of ROS where it is not known."""
    report = _run(
        str(Path(sys.executable).with_name('lint-imports')), '--no-cache', '--no-logo',
        'dev/importlinter.ini')
    # The walls that stand are listed before those that are broken.
    return report.partition('Broken contracts')[2].splitlines()


def check_types() -> List[str]:
    """Run mypy, strictly on the modules without ROS."""
    strict = sorted(set(_python_files(STRICTLY_TYPED)) - set(_python_files(LOOSELY_TYPED)))
    rest = sorted(set(_python_files(CHECKED)) - set(strict))
    findings = _run_mypy('strict', strict, '--strict') + _run_mypy('normal', rest)
    return [line for line in dict.fromkeys(findings) if ': note: ' not in line]


def _run_mypy(cache: str, paths: Sequence[str], *options: str) -> List[str]:
    return _run_tool(
        'mypy', '--config-file', 'dev/mypy.ini', '--cache-dir', f'.mypy_cache/{cache}',
        '--no-error-summary', *options, *paths)


def _run_tool(module: str, *arguments: str) -> List[str]:
    return _run(sys.executable, '-m', module, *arguments).splitlines()


def _run(*command: str) -> str:
    """Return what a command prints; a silent failure is told as well."""
    result = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding='utf-8',
        check=False)
    if result.returncode and not result.stdout.strip():
        return f'{command[0]} ended with exit code {result.returncode}'
    return result.stdout


def _checked_paths() -> List[str]:
    return [path for path in CHECKED if (ROOT / path).exists()]


def _python_files(paths: Iterable[str]) -> List[str]:
    """Return the Python files that are or lie below the paths, relative to the root."""
    found = [file for path in paths for file in (
        (ROOT / path).rglob('*.py') if (ROOT / path).is_dir() else [ROOT / path])]
    return sorted(str(file.relative_to(ROOT)) for file in found if file.is_file())


if __name__ == '__main__':
    sys.exit(main())
