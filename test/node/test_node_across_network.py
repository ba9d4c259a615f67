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
The node on one machine, the camera on another: delay, loss, and a link that is cut for a while.

``test/endurance/measure_network.py`` measures the same for other images and settings.
"""

from __future__ import annotations

from pathlib import Path
import time
from typing import Iterator

import pytest
from support.bad_link import BadLink, LinkError
from support.engines import needs_onnx
from support.fixture_types import TinyModel
from support.network_trial import cut, NetworkTrial
from support.node_process import wait_until

LOSS = 0.02
CUT_SECONDS = 10.0

pytestmark = [pytest.mark.faults, needs_onnx]


@pytest.fixture
def link() -> Iterator[BadLink]:
    """Make a link that works, with 20 ms of delay."""
    try:
        link = BadLink(delay=0.02)
    except LinkError as error:
        pytest.skip(str(error))
    link.forget_fragments_early()
    yield link
    link.close()


@pytest.fixture
def trial(link: BadLink, tiny_model: TinyModel, tmp_path: Path) -> Iterator[NetworkTrial]:
    """Let node and camera find each other across the link."""
    trial = NetworkTrial(
        link, tmp_path, tiny_model.parameters, 'nv12', '224x224', 10.0, 'best_effort')
    try:
        trial.wait_for_result()
        yield trial
    finally:
        trial.close()


def test_it_recovers_from_loss_and_a_cut_by_itself(link: BadLink, trial: NetworkTrial) -> None:
    assert trial.list_events('matched')[-1][1] == 1
    link.loss = LOSS
    trial.wait_for_result(after=time.monotonic())
    mended = cut(link, CUT_SECONDS)
    before = len(trial.list_events('result'))
    trial.wait_for_result(after=mended)
    assert len(trial.list_events('result')) > before
    assert trial.node.is_running
    trial.node.stop()


def test_nothing_comes_across_a_cut_link(link: BadLink, trial: NetworkTrial) -> None:
    """What this file calls a cut is one: shared memory and other networks are no way around."""
    link.is_cut = True
    time.sleep(0.5)  # what was under way
    before = len(trial.list_events('result'))
    sent = len(trial.list_events('sent'))
    wait_until(lambda: len(trial.list_events('sent')) >= sent + 10)
    assert len(trial.list_events('result')) == before
