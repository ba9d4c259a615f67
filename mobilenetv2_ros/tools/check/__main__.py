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
The program ``check``: tell whether all is well with this machine, its model and its ROS.

Prints a line for each thing that was looked at: ok, warning or error, what was found, and what to
do. The whole fits an issue report: names of hosts, users and home folders are left out.
"""

from __future__ import annotations

import argparse
from functools import partial
import json
import os
import pwd
import socket
import sys
from typing import Iterator, List, Optional, Tuple

from mobilenetv2_ros.tools.check import ros, system
from mobilenetv2_ros.tools.check.findings import (
    Anonymiser, ERROR, Finding, Machine, Probe, WARNING)
from mobilenetv2_ros.tools.printing import run_printing

_DESCRIPTION = 'Check this machine: its board, libraries, model, speed, ROS and cameras.'

_HELP = """\
Each line tells what was looked at: ok, warning or error, what was found, and what to do. All lines
together fit an issue report: names of hosts, users and home folders are left out. With --json the
output is one object: errors, warnings, and findings, each of them with level, name, text and
advice. What libraries print goes to the standard error output.

exit code: 0 no error, be there warnings, 1 at least one error, 2 wrong arguments

examples:
  check
  check --model mobilenetv2_100_bayese_224x224_nv12.bin --json
"""


def _probe_model(machine: Machine) -> Iterator[Finding]:
    # Imported here: NumPy or OpenCV may be what is missing.
    from mobilenetv2_ros.tools.check.model import probe_model

    yield from probe_model(machine)


PROBES: Tuple[Tuple[str, Probe], ...] = (
    ('package', system.probe_package),
    ('system', system.probe_system),
    ('board', system.probe_board),
    ('python', system.probe_python),
    ('libdnn', system.probe_libdnn),
    ('packages', system.probe_packages),
    ('devices', system.probe_devices),
    ('cpu', system.probe_cpu),
    ('bpu', system.probe_bpu),
    ('model', _probe_model),
    ('ros', ros.probe_ros),
    ('tros', ros.probe_tros),
    ('profile', ros.probe_profile),
    ('loans', ros.probe_loans),
    ('security', ros.probe_security),
    ('camera', ros.probe_cameras))
"""What is looked at, in the order of the report; a probe may find several things."""


def main(arguments: Optional[List[str]] = None) -> int:
    """
    Check this machine.

    :param arguments: by default those of the process.
    :returns: exit code.
    """
    options = _parse_arguments(arguments)
    return run_printing('check', partial(_run, options))


def _parse_arguments(arguments: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='check', description=_DESCRIPTION, epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--model', default='', metavar='PATH',
        help="model file, as the node's model_path (default: the node's choice)")
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> int:
    findings = []
    for finding in examine(Machine(model_path=options.model)):
        findings.append(finding)
        if not options.json:
            print(finding.to_text(), flush=True)
    errors, warnings = (
        sum(one.level == level for one in findings) for level in (ERROR, WARNING))
    if options.json:
        print(json.dumps({'errors': errors, 'warnings': warnings,
                          'findings': [one.to_json() for one in findings]}))
    else:
        print(f'errors: {errors}, warnings: {warnings}')
    return 1 if errors else 0


def examine(machine: Machine) -> Iterator[Finding]:
    """Run all probes; what they say is fit for an issue report."""
    anonymise = _make_anonymiser()
    for name, probe in PROBES:
        for level, what, text, advice in _run_probe(name, probe, machine):
            yield Finding(level, what, anonymise(text), anonymise(advice))


def _run_probe(name: str, probe: Probe, machine: Machine) -> List[Finding]:
    """Run one probe; what breaks it is a finding too, and the others go on."""
    findings: List[Finding] = []
    try:
        findings.extend(probe(machine))
    except Exception as error:  # noqa: B902 see above
        findings.append(Finding(
            ERROR, name, f'could not be checked ({type(error).__name__}: {error})',
            'please report this'))
    return findings


def _make_anonymiser() -> Anonymiser:
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # in a container
        user = ''
    return Anonymiser(os.path.expanduser('~'), user, socket.gethostname())


if __name__ == '__main__':
    sys.exit(main())
