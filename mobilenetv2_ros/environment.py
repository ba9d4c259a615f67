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

"""What in a program's environment will make trouble later, and what to do about it."""

from __future__ import annotations

import os
from typing import Iterator, Mapping

from mobilenetv2_ros.resources import CLASSIFIER_PROFILE, PROFILE_VARIABLES, SOURCE_PROFILE

_SHARED_MEMORY = '/dev/shm'
_NEEDED_BYTES = 256 << 20
"""A camera's segment of 128 MiB (:data:`.resources.SOURCE_PROFILE`), and room for others."""


def find_problems(environment: Mapping[str, str]) -> Iterator[str]:
    """
    Find what ROS or the middleware passes over in silence.

    :param environment: variables by name, as of ``os.environ``.
    :returns: a sentence for each problem.
    """
    yield from find_security_problems(environment)
    yield from find_memory_problems(environment)


def advise_on_security(environment: Mapping[str, str]) -> str:
    """
    Return what to check when ROS refuses something and security is on; else nothing.

    :param environment: variables by name, as of ``os.environ``.
    """
    if environment.get('ROS_SECURITY_ENABLE') != 'true':
        return ''
    return ('; security is on: check the enclave (--enclave, ROS_SECURITY_ENCLAVE_OVERRIDE), that '
            'the keys were made for this ROS_DOMAIN_ID, the clock, and that the policy allows it')


def find_security_problems(environment: Mapping[str, str]) -> Iterator[str]:
    """Compare with what rcl compares with, letter by letter (rcl/security.h)."""
    enable = environment.get('ROS_SECURITY_ENABLE', '')
    strategy = environment.get('ROS_SECURITY_STRATEGY', '')
    if enable and enable not in ('true', 'false'):
        yield (f"ROS_SECURITY_ENABLE is '{enable}', which ROS takes for off: nothing is "
               "protected; set it to 'true'")
    elif enable == 'true' and strategy != 'Enforce':
        yield (f"ROS_SECURITY_STRATEGY is '{strategy}', so a node without keys runs unprotected; "
               "set it to 'Enforce'")


def find_memory_problems(environment: Mapping[str, str]) -> Iterator[str]:
    """Look whether the profile's shared memory fits; Docker's default is 64 MB."""
    profiles = {os.path.basename(environment.get(name, '')) for name in PROFILE_VARIABLES}
    if not profiles & {SOURCE_PROFILE, CLASSIFIER_PROFILE}:
        return
    try:
        status = os.statvfs(_SHARED_MEMORY)
    except OSError as error:
        yield f'{_SHARED_MEMORY} cannot be used ({error.strerror}): large images will be lost'
        return
    size = status.f_frsize * status.f_blocks
    if size < _NEEDED_BYTES:
        yield (f'{_SHARED_MEMORY} has {size >> 20} MB, too little for the shared memory of the '
               'Fast DDS profile, so large images will be lost; start the container with '
               '--shm-size=1g or --ipc=host')
