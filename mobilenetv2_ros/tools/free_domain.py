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

"""A ROS domain that nobody on this machine uses, for nodes that are among themselves."""

from __future__ import annotations

from collections import deque
import itertools
import os
import socket
from typing import Deque, Dict

_COUNT = 100
"""
Domains that are looked at, from 1 on.

The ports of later ones are among those that Linux gives to anybody, and 0 is everybody's.
"""

_PARTICIPANTS = 119
"""
Whose ports are looked at; the next one would need that of another domain.

Not only the first one's: it may have left others behind, and Fast DDS numbers the participants of
a process through all domains.
"""

_KEPT = 8
_turns = itertools.count(os.getpid())

_taken: Deque[socket.socket] = deque()
"""
What tells other processes which domains were found last here, until nodes are in them.

Each is bound to the last port of its domain, which no participant wants.
"""


class NoFreeDomainError(Exception):
    """Every domain is in use; the text says what to do."""


def find_free_domain() -> int:
    """
    Find a ROS domain in which nobody on this machine is; no two calls soon find the same one.

    Other processes pass it over, too, while this one runs and has not found eight more.

    :raises NoFreeDomainError: there is none.
    """
    for turn in itertools.islice(_turns, _COUNT):
        domain = 1 + turn % _COUNT
        taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            taken.bind(('', 7400 + 250 * (domain + 1) - 1))
            for participant in range(_PARTICIPANTS):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                    # Where it is discovered, DDS-RTPS specification 9.6.1.
                    probe.bind(('', 7410 + 250 * domain + 2 * participant))
        except OSError:
            taken.close()
            continue
        _taken.append(taken)
        if len(_taken) > _KEPT:
            _taken.popleft().close()
        return domain
    raise NoFreeDomainError(
        f'ROS domains 1 to {_COUNT} are all in use on this machine; end some ROS nodes')


def localhost_environment() -> Dict[str, str]:
    """Return the environment variable that keeps nodes from other machines."""
    # Humble knows only the one that later distributions call deprecated.
    if os.environ.get('ROS_DISTRO') == 'humble':
        return {'ROS_LOCALHOST_ONLY': '1'}
    return {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
