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

"""The program check: each probe on machines made of files, and the whole on an emulated board."""

from __future__ import annotations

import json
import os
from pathlib import Path
import re
import shutil
import time
from typing import Any, Dict, Iterator, List

from emulated_libdnn import Emulator, MODEL, REBUILT_MODEL, write_model
from mobilenetv2_ros.inference.backends import libdnn_abi as abi
from mobilenetv2_ros.inference.known_models import PublishedSpeed
from mobilenetv2_ros.resources import share_folder
from mobilenetv2_ros.tools.benchmark.backend import Measurement
from mobilenetv2_ros.tools.check import __main__ as program
from mobilenetv2_ros.tools.check import ros, system
from mobilenetv2_ros.tools.check.findings import (
    Anonymiser, ERROR, Finding, Machine, OK, Probe, WARNING)
from mobilenetv2_ros.tools.check.model import find_contradictions, judge_speed, probe_model
import numpy as np
import pytest
from support.fixture_types import StartPython

BOARD: Dict[str, str] = {
    'etc/os-release': 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 22.04.5 LTS"\n',
    'etc/version': '3.2.3\n',
    'proc/device-tree/model': 'D-Robotics RDK X5 V1.0\0',
    'dev/bpu': '', 'dev/bpu_core0': '', 'dev/ion': '',
    'sys/devices/system/cpu/cpufreq/boost': '1\n',
    'sys/devices/system/cpu/cpufreq/policy0/scaling_governor': 'performance\n',
    'sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq': '1800000\n',
    'sys/devices/system/bpu/bpu0/devfreq/3a000000.bpu/min_freq': '500000000\n',
    'sys/devices/system/bpu/bpu0/devfreq/3a000000.bpu/cur_freq': '1000000000\n',
    'sys/devices/system/bpu/bpu0/devfreq/3a000000.bpu/max_freq': '1000000000\n',
    'sys/devices/system/bpu/bpu0/ratio': '0\n',
    'sys/class/hwmon/hwmon0/temp1_input': '51000\n',
    'sys/class/hwmon/hwmon0/temp3_input': '54000\n',
    'var/lib/dpkg/status': ''.join(
        f'Package: {name}\nStatus: install ok installed\nArchitecture: arm64\n'
        f'Maintainer: nobody <n@example.com>\nDescription: none\nVersion: {version}\n\n'
        for name, version in (('hobot-dnn', '3.0.4'), ('hobot-spdev', '3.5.0')))}


def make_machine(root: Path, **changes: str) -> Machine:
    """Make a board of files; ``changes`` are their new contents by the last part of the path."""
    for path, content in BOARD.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(changes.get(place.name, content))
    return Machine(root, {}, seconds=0.05)


def only(findings: Iterator[Finding]) -> Finding:
    found, = findings
    return found


# -------------------------------------------------------------------------------- the machine

@pytest.mark.parametrize('probe, text', [
    (system.probe_system, 'Ubuntu 22.04.5 LTS, image 3.2.3, Linux '),
    (system.probe_board, 'D-Robotics RDK X5 V1.0'),
    (system.probe_devices, '/dev/bpu (group '),
    (system.probe_devices, '/dev/ion (group '),
    (system.probe_cpu, 'cores, governor performance, boost on, 1.80 GHz now'),
    (system.probe_bpu,
     '1.00 GHz now (0.50 GHz to 1.00 GHz), load 0 %, DDR 51 C, CPU 54 C')])
def test_a_board_in_order(tmp_path: Path, probe: Probe, text: str) -> None:
    finding = only(probe(make_machine(tmp_path)))
    assert finding.level == OK and text in finding.text and not finding.advice


@pytest.mark.skipif(shutil.which('dpkg-query') is None, reason='this system has no dpkg')
def test_the_vendors_packages(tmp_path: Path) -> None:
    finding = only(system.probe_packages(make_machine(tmp_path)))
    assert finding == (OK, 'packages', 'hobot-dnn 3.0.4, hobot-spdev 3.5.0', '')
    finding = only(system.probe_packages(make_machine(tmp_path, status='')))
    assert finding == (WARNING, 'packages', 'hobot-dnn none, hobot-spdev none',
                       'sudo apt install hobot-dnn')


@pytest.mark.parametrize('probe, changes, level, text', [
    (system.probe_board, {'model': 'Hobot X3 PI V2.1'}, WARNING, 'supported on RDK X5'),
    (system.probe_board, {'model': 'D-Robotics RDK S100'}, WARNING, 'supported on RDK X5'),
    (system.probe_board, {'model': 'Raspberry Pi 5'}, OK, 'Raspberry Pi 5'),
    (system.probe_cpu, {'scaling_governor': 'schedutil'}, WARNING,
     'echo performance > /sys/devices/system/cpu/cpufreq/policy0/scaling_governor'),
    (system.probe_cpu, {'boost': '0'}, WARNING, 'echo 1 > /sys/devices/system/cpu/cpufreq/boost'),
    (system.probe_bpu, {'temp3_input': '95500'}, WARNING, 'slows down at 95 C'),
    (system.probe_bpu, {'temp3_input': ''}, OK, 'DDR 51 C'),
    (system.probe_bpu, {'cur_freq': 'rubbish'}, OK, 'unknown now')])
def test_what_is_unusual_is_told(
        tmp_path: Path, probe: Probe, changes: Dict[str, str], level: str, text: str) -> None:
    finding = only(probe(make_machine(tmp_path, **changes)))
    assert finding.level == level and text in finding.to_text()


def test_devices_that_this_user_may_not_use(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, 'access', lambda path, mode: Path(path).name != 'ion')
    finding = only(system.probe_devices(make_machine(tmp_path)))
    assert finding.level == ERROR and finding.text.startswith('this user may not use /dev/ion (')
    assert finding.advice.startswith('sudo usermod -aG misc,')


def test_a_container_on_a_board_without_its_devices(tmp_path: Path) -> None:
    machine = make_machine(tmp_path)
    for path in machine.find('dev/*'):
        path.unlink()
    assert only(system.probe_devices(machine)).level == ERROR


@pytest.mark.parametrize('probe', [
    system.probe_board, system.probe_devices, system.probe_bpu, system.probe_cpu,
    system.probe_packages, system.probe_system])
def test_an_empty_machine_is_a_pc(tmp_path: Path, probe: Probe) -> None:
    assert only(probe(Machine(tmp_path, {}))).level == OK


def test_a_missing_libdnn_is_an_error_on_a_board_only(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abi, 'LIBRARIES', (str(tmp_path / 'libdnn.so'),))
    assert only(system.probe_libdnn(Machine(tmp_path))).level == OK
    finding = only(system.probe_libdnn(make_machine(tmp_path)))
    assert finding.level == ERROR and 'hobot-dnn' in finding.advice


def test_the_path_and_version_of_libdnn(emulator: Emulator, tmp_path: Path) -> None:
    finding = only(system.probe_libdnn(make_machine(tmp_path)))
    assert finding.level == OK
    # Other tests of this process may have opened other ones.
    assert str(emulator.path) in finding.text
    assert finding.text.endswith(', version 1.0.0-emulated')
    emulator.set('fail_next.hbDNNGetVersion', 1)
    assert only(system.probe_libdnn(make_machine(tmp_path))).text.endswith('version unknown')


def test_a_module_that_is_missing_or_broken(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'cv_bridge.py').write_text('raise AttributeError("_ARRAY_API not found")')
    monkeypatch.syspath_prepend(str(tmp_path))
    *found, broken = system.probe_python(Machine(tmp_path))
    assert [one.name for one in found] == ['python', 'numpy', 'opencv']
    assert broken.level == WARNING and '_ARRAY_API not found' in broken.text
    missing = only(system._probe_module('opencv', 'no_such_module', is_needed=True))
    assert missing.level == ERROR and missing.advice == 'sudo apt install python3-opencv'
    (tmp_path / 'incomplete.py').write_text('import no_such_module')
    incomplete = only(system._probe_module('cv_bridge', 'incomplete', is_needed=False))
    assert incomplete.level == WARNING and incomplete.advice.endswith('-cv-bridge')


# ---------------------------------------------------------------------------------- the model

def look(path: Path, machine: Machine) -> Dict[str, List[Finding]]:
    found: Dict[str, List[Finding]] = {}
    for one in probe_model(machine._replace(model_path=str(path))):
        found.setdefault(one.name, []).append(one)
    return found


def see_espresso(image: np.ndarray) -> np.ndarray:
    """Give coffee to whatever is shown."""
    scores = np.full(1000, 1e-4)
    scores[967] = 0.9
    return scores


def test_every_field_of_the_tensors_is_told(emulator: Emulator, tmp_path: Path) -> None:
    emulator.set_network(see_espresso)
    path = write_model(
        tmp_path / 'a.bin', network='callback', output_type='s8', quanti='scale', scale=1 / 127,
        per_channel=1, zero_point=-3, width=260, height=260, aligned_classes=1024)
    found = look(path, make_machine(tmp_path))
    assert {one.level for findings in found.values() for one in findings} == {OK}
    assert '(not known)' in found['model'][0].text and 'by libdnn' in found['model'][0].text
    assert found['input'][0].text == (
        'NV12, valid 1x3x260x260, aligned 1x3x260x260, NCHW, 101400 bytes, stride 0x0x0x0, '
        'quantisation none, axis 0, 0 scales, 0 zero points, 0 shifts')
    assert found['output'][0].text == (
        'S8, valid 1x1000x1x1, aligned 1x1024x1x1, NCHW, 1024 bytes, stride 1024x1x1x1, '
        'quantisation scale, axis 1, 1000 scales, 1000 zero points, 0 shifts')
    assert "'espresso' (967), score" in found['photo'][0].text
    assert [one.text[:9] for one in found['speed']] == ['1 thread:', '4 threads']


def test_a_wrong_class_is_an_error(emulator: Emulator, tmp_path: Path) -> None:
    finding, = look(MODEL, make_machine(tmp_path))['photo']
    assert finding.level == ERROR and "expected 'espresso' (967)" in finding.text


def test_a_model_that_does_not_work_is_told(emulator: Emulator, tmp_path: Path) -> None:
    emulator.set('fail.task', -6000012)
    found = look(MODEL, make_machine(tmp_path))
    assert list(found) == ['model'] and found['model'][0].level == ERROR
    assert 'another chip' in found['model'][0].text
    emulator.set('fail.task', 0)
    assert look(tmp_path / 'none.bin', make_machine(tmp_path))['model'][0].level == ERROR


@pytest.mark.parametrize('offset', [-8, -4, 4, 8, 36])
@pytest.mark.parametrize('side', ['input', 'output'])
def test_fields_that_were_read_at_a_wrong_offset_would_be_noticed(
        emulator: Emulator, offset: int, side: str) -> None:
    from mobilenetv2_ros.inference.backends.libdnn import open_model

    backend: Any = open_model(MODEL, 1)
    good = backend.tensor_properties[side]
    assert not find_contradictions(good)
    content = bytes(64) + bytes(good) + bytes(64)
    shifted = abi.TensorProperties.from_buffer_copy(content, 64 + offset)
    assert find_contradictions(shifted)
    backend.close()


@pytest.mark.parametrize('fps, wrong, published, level', [
    (1300, 0, PublishedSpeed(1.039, 1347), OK), (400, 0, PublishedSpeed(1.039, 1347), WARNING),
    (400, 0, None, OK), (1300, 1, None, ERROR)])
def test_speed_is_compared_with_what_is_published(
        fps: int, wrong: int, published: PublishedSpeed, level: str) -> None:
    finding = judge_speed(Measurement('libdnn', 4, 1.0, [0.003] * fps, 0.1, 0.2, wrong), published)
    assert finding.level == level and f'4 threads: 3.00 ms, {fps} images/s' in finding.text
    assert ('published: 1347' in finding.text) == (published is not None)


# ---------------------------------------------------------------------------------------- ROS

PROFILE = share_folder() / 'config' / 'fastdds_large_images.xml'


@pytest.mark.parametrize('probe, environment, level, text', [
    (ros.probe_loans, {}, OK, 'off (nothing is set)'),
    (ros.probe_loans, {'ROS_DISABLE_LOANED_MESSAGES': '0'}, OK, 'off (ROS_DISABLE_LOANED'),
    (ros.probe_loans, {
        'ROS_DISABLE_LOANED_MESSAGES': '0', 'RMW_FASTRTPS_USE_QOS_FROM_XML': '1',
        'FASTRTPS_DEFAULT_PROFILES_FILE': str(PROFILE)}, OK, 'on ('),
    (ros.probe_loans, {'RMW_FASTRTPS_USE_QOS_FROM_XML': '1'}, WARNING, 'name a profile'),
    (ros.probe_security, {}, OK, 'off'),
    (ros.probe_security, {'ROS_SECURITY_ENABLE': 'false'}, OK, 'off'),
    (ros.probe_security, {'ROS_SECURITY_ENABLE': 'TRUE'}, WARNING, "set it to 'true'"),
    (ros.probe_security, {'ROS_SECURITY_ENABLE': 'true', 'ROS_SECURITY_STRATEGY': 'enforce'},
     WARNING, "set it to 'Enforce'"),
    (ros.probe_security, {'ROS_SECURITY_ENABLE': 'true', 'ROS_SECURITY_STRATEGY': 'Enforce'},
     ERROR, 'names no folder'),
    (ros.probe_security, {
        'ROS_SECURITY_ENABLE': 'true', 'ROS_SECURITY_STRATEGY': 'Enforce',
        'ROS_SECURITY_KEYSTORE': str(PROFILE.parent)}, OK, 'enforced')])
def test_variables_of_ros(
        tmp_path: Path, probe: Probe, environment: Dict[str, str], level: str, text: str) -> None:
    finding = only(probe(Machine(tmp_path, environment)))
    assert finding.level == level and text in finding.to_text()


@pytest.mark.parametrize('model, missing, level', [
    ('D-Robotics RDK X5 V1.0', [], OK), ('D-Robotics RDK X5 V1.0', ['ai_msgs'], WARNING),
    ('', ['ai_msgs', 'hbm_img_msgs'], OK)])
def test_messages_of_tros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str,
                          missing: List[str], level: str) -> None:
    monkeypatch.setattr(ros, 'find_spec', lambda name: None if name in missing else name)
    finding = only(ros.probe_tros(make_machine(tmp_path, model=model)))
    assert finding.level == level and bool(finding.advice) == (level == WARNING)
    assert all((f'{name} missing' in finding.text) == (name in missing)
               for name in ('ai_msgs', 'hbm_img_msgs'))


def test_the_profile_in_force(tmp_path: Path) -> None:
    (tmp_path / 'dev/shm').mkdir(parents=True)

    def look_at(**environment: str) -> Finding:
        return next(ros.probe_profile(Machine(tmp_path, environment)))

    assert look_at().level == OK and 'none here' in look_at().text
    assert look_at(FASTDDS_DEFAULT_PROFILES_FILE=str(PROFILE)).level == OK
    missing = look_at(FASTRTPS_DEFAULT_PROFILES_FILE=str(tmp_path / 'none.xml'))
    assert missing.level == ERROR and 'FASTRTPS_DEFAULT_PROFILES_FILE' in missing.advice
    (tmp_path / 'bare.xml').write_text('<profiles/>')
    bare = look_at(FASTRTPS_DEFAULT_PROFILES_FILE=str(tmp_path / 'bare.xml'),
                   RMW_FASTRTPS_USE_QOS_FROM_XML='1')
    assert bare.level == WARNING and 'Humble' in bare.advice


def test_shared_memory_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'dev/shm').mkdir(parents=True)
    values = list(os.statvfs(tmp_path))
    values[0:5] = [4096, 4096, 16384, 16000, 16000]
    monkeypatch.setattr(os, 'statvfs', lambda path: os.statvfs_result(values))
    finding = list(ros.probe_profile(Machine(tmp_path, {})))[1]
    assert finding == (OK, '/dev/shm', '64 MB, 62 MB free', '')
    machine = Machine(tmp_path, {'FASTDDS_DEFAULT_PROFILES_FILE': str(PROFILE)})
    finding = list(ros.probe_profile(machine))[1]
    assert finding.level == WARNING and '64 MB, too little' in finding.text


def test_without_ros_its_lines_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ros, 'has_ros', lambda: False)
    found = [*ros.probe_ros(Machine(tmp_path, {})), *ros.probe_cameras(Machine(tmp_path, {}))]
    assert [(one.level, one.name) for one in found] == [
        (WARNING, 'ros'), (OK, 'middleware'), (OK, 'camera')]


@pytest.mark.usefixtures('own_domain')
def test_a_camera_is_heard(start_python: StartPython) -> None:
    pytest.importorskip('rclpy', reason='ROS is not installed')
    camera = start_python(
        '-m', 'mobilenetv2_ros.tools.image_source', '--ros-args', '-p', 'source:=photos',
        '-p', 'rate:=50.0', '-p', 'size:=64x48', '-p', 'encoding:=nv12')
    deadline = time.monotonic() + 60
    finding = Finding(OK, 'camera', '')
    while 'MB' not in finding.text:
        assert time.monotonic() < deadline and camera.poll() is None, finding
        finding = only(ros.probe_cameras(Machine(seconds=1)))
    assert finding.level == OK
    assert re.fullmatch(
        r'/image_raw, sensor_msgs/msg/Image, (reliable|best_effort) volatile \(1 publisher\), '
        r'[0-9.]+/s of 0\.004[67]\d* MB', finding.text), finding


def test_overlays_are_no_cameras(own_domain: None) -> None:
    rclpy = pytest.importorskip('rclpy', reason='ROS is not installed')
    from sensor_msgs.msg import Image
    from vision_msgs.msg import Classification

    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    node = rclpy.create_node('mobilenetv2', context=context)
    kept = [node.create_publisher(Classification, '~/classification', 1),
            *(node.create_publisher(Image, topic, 1) for topic in ('~/overlay', '/overlay'))]
    found = only(ros.probe_cameras(Machine(seconds=1)))
    assert found.level == WARNING and found.text.startswith('/overlay, ')
    del kept
    node.destroy_node()
    context.try_shutdown()


# -------------------------------------------------------------------------------- the program

def test_nothing_that_names_a_person_or_host_is_told() -> None:
    anonymise = Anonymiser('/srv/people/alice', 'alice', 'alices-robot')
    assert anonymise('/srv/people/alice/m.bin') == '~/m.bin'
    assert anonymise('/home/bob/m.bin of alice on alices-robot') == '~/m.bin of USER on HOST'
    assert anonymise("'/root/m.bin' at 192.168.1.2, 02:42:ac:11:00:02") == (
        "'~/m.bin' at ADDRESS, ADDRESS")
    assert anonymise('two\nlines \x1b[31m') == 'two lines ?[31m'
    assert anonymise('libdnn 1.24.5, 2026-01-02') == 'libdnn 1.24.5, 2026-01-02'
    assert Anonymiser('/', 'root', 'ubuntu')('/dev/bpu on ubuntu') == '/dev/bpu on ubuntu'


def test_a_probe_that_breaks_is_an_error_and_the_others_go_on(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def break_down(machine: Machine) -> Iterator[Finding]:
        yield Finding(WARNING, 'first', 'before', 'do this')
        raise RuntimeError('oh no')

    monkeypatch.setattr(program, 'PROBES', (
        ('broken', break_down), ('package', system.probe_package)))
    assert program.main([]) == 1
    first, broken, package, end = capsys.readouterr().out.splitlines()
    assert first == 'warning  first       before: do this'
    assert broken.startswith('error    broken      could not be checked (RuntimeError: oh no)')
    assert package.startswith('ok       package     mobilenetv2_ros ')
    assert end == 'errors: 1, warnings: 1'
    monkeypatch.setattr(program, 'PROBES', (('package', system.probe_package),))
    assert program.main(['--json']) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result['errors'], result['warnings']) == (0, 0)
    assert result['findings'][0]['name'] == 'package'


@pytest.mark.usefixtures('own_domain')
def test_the_whole_on_an_emulated_board(start_python: StartPython) -> None:
    """What libraries print, as libdnn prints its log, must not break the JSON."""
    check = start_python('-m', 'mobilenetv2_ros.tools.check', '--json', '--model', REBUILT_MODEL,
                         EMULATED_LIBDNN='log=1')
    output, errors = check.communicate(timeout=120)
    result = json.loads(output)
    assert '[DNN] Runtime version = ' in errors
    names = [one['name'] for one in result['findings']]
    assert names[:3] == ['package', 'system', 'board'] and names[-1] == 'camera'
    failed = [one['name'] for one in result['findings'] if one['level'] == ERROR]
    assert failed == ['photo'] and check.returncode == 1, result
