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

"""Probes of the machine: its system, its board, its Python, its BPU."""

from __future__ import annotations

import grp
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
import os
from pathlib import Path
import platform
import subprocess
import sys
from typing import Dict, Iterator, List

from mobilenetv2_ros.tools.check.findings import ERROR, Finding, Machine, OK, WARNING

_PACKAGES = 'hobot-dnn', 'hobot-spdev'
_DEVICES = 'dev/bpu*', 'dev/ion'
_GROUPS = 'misc,video,vps,ipu,jpu,vpu'

_CPU = 'sys/devices/system/cpu/cpufreq'
_BPU = 'sys/devices/system/bpu/bpu0'
_SENSORS = 'DDR', 'BPU', 'CPU'
_THROTTLING = 95
"""Degrees Celsius from which the board slows down."""


def probe_package(machine: Machine) -> Iterator[Finding]:
    """Tell the version of this package."""
    try:
        text = version('mobilenetv2_ros')
    except PackageNotFoundError:
        text = 'of unknown version, run from its sources'
    yield Finding(OK, 'package', f'mobilenetv2_ros {text}')


def probe_system(machine: Machine) -> Iterator[Finding]:
    """Tell the operating system and its kernel."""
    release: Dict[str, str] = {}
    for line in machine.read('etc/os-release').splitlines():
        key, _, value = line.partition('=')
        release[key] = value.strip('"\'')
    image = machine.read('etc/version')
    parts = [release.get('PRETTY_NAME', 'unknown system'),
             *([f'image {image}'] if image else []),
             f'Linux {platform.release()} {platform.machine()}']
    if sys.maxsize < 2 ** 32:
        yield Finding(ERROR, 'system', ', '.join(parts), 'install a system of 64 bits')
    else:
        yield Finding(OK, 'system', ', '.join(parts))


def probe_board(machine: Machine) -> Iterator[Finding]:
    """Tell which board this is."""
    if not machine.board:
        yield Finding(OK, 'board', 'none, a PC or a container without a device tree')
    elif machine.is_x5 or not any(
            name in machine.board.lower() for name in ('rdk', 'd-robotics', 'horizon', 'hobot')):
        yield Finding(OK, 'board', machine.board)
    else:
        yield Finding(WARNING, 'board', machine.board,
                      '.bin models and libdnn are supported on RDK X5; elsewhere use the CPU')


def probe_python(machine: Machine) -> Iterator[Finding]:
    """Tell the versions of Python and of what the package imports."""
    text = platform.python_version()
    if sys.version_info < (3, 10):
        yield Finding(ERROR, 'python', text, 'use Python 3.10 or newer')
    else:
        yield Finding(OK, 'python', text)
    yield from _probe_module('numpy', 'numpy', is_needed=True)
    yield from _probe_module('opencv', 'cv2', is_needed=True)
    yield from _probe_module('cv_bridge', 'cv_bridge', is_needed=False)


def _probe_module(name: str, module: str, is_needed: bool) -> Iterator[Finding]:
    try:
        text = getattr(import_module(module), '__version__', 'installed')
    except ModuleNotFoundError as error:
        if is_needed or error.name != module:
            advice = f'sudo apt install python3-{name}' if is_needed else (
                'sudo apt install --reinstall ros-$ROS_DISTRO-cv-bridge')
            yield Finding(ERROR if is_needed else WARNING, name, str(error), advice)
        else:
            yield Finding(OK, name, 'not installed, only needed for rare encodings')
    except Exception as error:  # noqa: B902 whatever an extension module raises is a finding
        yield Finding(
            ERROR if is_needed else WARNING, name, f'cannot be imported ({error})',
            'its version may not fit NumPy; install both from the same source')
    else:
        yield Finding(OK, name, text)


def probe_libdnn(machine: Machine) -> Iterator[Finding]:
    """Tell which libdnn is loaded, and its version."""
    from mobilenetv2_ros.inference.backends.base import BackendMissingError
    from mobilenetv2_ros.inference.backends.libdnn_abi import Library

    try:
        library = Library()
    except BackendMissingError as error:
        if machine.is_x5:
            yield Finding(ERROR, 'libdnn', str(error), 'sudo apt install --reinstall hobot-dnn')
        else:
            yield Finding(OK, 'libdnn', 'none, .bin models need an RDK X5')
        return
    yield Finding(
        OK, 'libdnn', f"{_find_mapped('libdnn.so')}, version {library.get_version()}")


def _find_mapped(name: str) -> str:
    """Find where a library that this process has loaded comes from."""
    with open('/proc/self/maps', encoding='utf-8', errors='replace') as maps:
        paths = (line.rstrip().partition('/') for line in maps)
        found = {slash + path for _, slash, path in paths if name in os.path.basename(path)}
    return ' and '.join(sorted(found)) or name


def probe_packages(machine: Machine) -> Iterator[Finding]:
    """Tell the versions of the vendor's Debian packages."""
    versions = _query_packages(machine.root)
    text = ', '.join(f'{name} {versions.get(name, "none")}' for name in _PACKAGES)
    if machine.is_x5 and 'hobot-dnn' not in versions:
        yield Finding(WARNING, 'packages', text, 'sudo apt install hobot-dnn')
    else:
        yield Finding(OK, 'packages', text)


def _query_packages(root: Path) -> Dict[str, str]:
    """Ask dpkg for the versions of what is installed; nothing where there is no dpkg."""
    try:
        result = subprocess.run(
            ['dpkg-query', f'--admindir={root / "var/lib/dpkg"}', '--show',
             '--showformat=${Package} ${Version} ${db:Status-Status}\\n', *_PACKAGES],
            capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    rows = (line.split() for line in result.stdout.splitlines())
    return {row[0]: row[1] for row in rows if row[2:] == ['installed']}


def probe_devices(machine: Machine) -> Iterator[Finding]:
    """Tell whether this user may use the BPU and its memory."""
    devices = [path for pattern in _DEVICES for path in machine.find(pattern)]
    if not devices:
        if machine.is_x5:
            yield Finding(ERROR, 'devices', 'no /dev/bpu*, no /dev/ion',
                          'in a container pass them in (--device or --privileged)')
        else:
            yield Finding(OK, 'devices', 'none of a BPU')
        return
    refused = [path for path in devices if not os.access(path, os.R_OK | os.W_OK)]
    if refused:
        yield Finding(
            ERROR, 'devices',
            f'this user may not use {", ".join(map(_describe_device, refused))}',
            f'sudo usermod -aG {_GROUPS} $USER, then log in again')
    else:
        yield Finding(OK, 'devices', ', '.join(map(_describe_device, devices)))


def _describe_device(path: Path) -> str:
    status = path.stat()
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    return f'/dev/{path.name} (group {group}, mode {status.st_mode & 0o777:o})'


def probe_cpu(machine: Machine) -> Iterator[Finding]:
    """Tell whether the CPU may run as fast as it can."""
    governor = machine.read(f'{_CPU}/policy0/scaling_governor')
    boost = machine.read(f'{_CPU}/boost')
    frequency = _to_ghz(machine.read(f'{_CPU}/policy0/scaling_cur_freq'), per_ghz=1e6)
    text = ', '.join([
        f'{os.cpu_count()} cores', f'governor {governor or "unknown"}',
        f'boost {dict(zip("01", ("off", "on"))).get(boost, "unknown")}',
        *([f'{frequency} now'] if frequency else [])])
    advice: List[str] = []
    if machine.is_x5 and governor != 'performance':
        advice.append(f"sudo bash -c 'echo performance > /{_CPU}/policy0/scaling_governor'")
    if machine.is_x5 and boost != '1':
        advice.append(f"sudo bash -c 'echo 1 > /{_CPU}/boost'")
    if advice:
        yield Finding(WARNING, 'cpu', text, 'for full speed ' + ' and '.join(advice))
    else:
        yield Finding(OK, 'cpu', text)


def probe_bpu(machine: Machine) -> Iterator[Finding]:
    """Tell how fast the BPU runs and how hot it is."""
    folder = next(iter(machine.find(f'{_BPU}/devfreq/3a00*000.bpu')), None)
    if folder is None:
        yield Finding(
            WARNING if machine.is_x5 else OK, 'bpu',
            'its frequency is unknown' if machine.is_x5 else 'none',
            'tell us where this system has it' if machine.is_x5 else '')
        return
    place = folder.relative_to(machine.root)
    low, now, high = (
        _to_ghz(machine.read(f'{place}/{name}_freq'), per_ghz=1e9) or 'unknown'
        for name in ('min', 'cur', 'max'))
    load = machine.read(f'{_BPU}/ratio')
    celsius = _read_temperatures(machine)
    text = ', '.join([
        f'{now} now ({low} to {high})', *([f'load {load} %'] if load else []),
        *(f'{name} {degrees:.0f} C' for name, degrees in celsius.items())])
    if max(celsius.values(), default=0) >= _THROTTLING:
        yield Finding(WARNING, 'bpu', text, 'the board slows down at 95 C; cool it')
    else:
        yield Finding(OK, 'bpu', text)


def _to_ghz(text: str, per_ghz: float) -> str:
    return f'{int(text) / per_ghz:.2f} GHz' if text.isdecimal() else ''


def _read_temperatures(machine: Machine) -> Dict[str, float]:
    """Read degrees Celsius; a sensor that is asleep gives none."""
    found = {}
    for number, name in enumerate(_SENSORS, 1):
        text = machine.read(f'sys/class/hwmon/hwmon0/temp{number}_input')
        if text.lstrip('-').isdecimal():
            found[name] = int(text) / 1000
    return found
