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

"""Find a ROS domain that nobody on this machine uses, for nodes that are among themselves."""

from __future__ import annotations

import itertools
import os
import socket

_COUNT = 100
"""
Domains that are looked at, from 1 on.

The ports of later ones are among those that Linux gives to anybody, and 0 is everybody's.
"""

_turns = itertools.count(os.getpid())


class NoFreeDomainError(Exception):
    """Every domain is in use; the text says what to do."""


def find_free_domain() -> int:
    """
    Find a ROS domain in which nobody on this machine is; no two calls soon find the same one.

    Processes begin at different ones, so that two that look at the same time find two.

    :raises NoFreeDomainError: there is none.
    """
    for turn in itertools.islice(_turns, _COUNT):
        domain = 1 + turn % _COUNT
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                # Port of a domain's first participant, DDS-RTPS specification 9.6.1.
                probe.bind(('', 7410 + 250 * domain))
            except OSError:
                continue
        return domain
    raise NoFreeDomainError(
        f'ROS domains 1 to {_COUNT} are all in use on this machine; end some ROS nodes')
