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
The node on an emulated BPU, as :mod:`support.run_node_on_emulated_bpu` runs it.

The dynamic loader has to find the emulated libdnn.so (LD_LIBRARY_PATH). Models with
``network=callback`` compute what the network of ``--network`` does, a file for a CPU engine.
With ``--hurry`` diagnostics and attempts to reopen the engine come ten times as often.
Lines on the standard input steer the emulator: ``KEY VALUE`` sets, ``get KEY`` prints the value.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import sys
import threading

from emulated_libdnn import Emulator, load
from mobilenetv2_ros.inference.backends.registry import open_backend
from mobilenetv2_ros.inference.ranking import Scores
from mobilenetv2_ros.node.main import main
import numpy as np
from numpy.typing import NDArray


class CpuNetwork:
    """A network on the CPU behind the image that the BPU was given."""

    def __init__(self, path: Path) -> None:
        """Open the model."""
        self._backend = open_backend(path, session_count=1).backend
        self._session = self._backend.open_session()

    def __call__(self, image: NDArray[np.uint8]) -> Scores:
        """
        Classify.

        :param image: NV12, shape (height * 3 // 2, width).
        """
        luma, chroma = self._session.input
        luma[:] = image[:luma.shape[0]]
        chroma[:] = image[luma.shape[0]:].reshape(chroma.shape)
        return self._session.run(timeout=60)


def obey(emulator: Emulator) -> None:
    """Do what the standard input says, until it ends."""
    for line in sys.stdin:
        key, value = line.split()
        if key == 'get':
            print(f'{emulator.get(value):g}', flush=True)
        else:
            emulator.set(key, float(value))


def hurry() -> None:
    """Make what the node does at intervals quicker, for tests that wait for it."""
    from mobilenetv2_ros.node import classifier_node
    from mobilenetv2_ros.pipeline import recovery

    classifier_node._DIAGNOSTICS_PERIOD /= 10
    recovery.FIRST_PAUSE /= 10
    recovery.LONGEST_PAUSE /= 10


def run() -> int:
    """
    Run the node until a signal ends it.

    :returns: the node's exit code.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--network', type=Path)
    parser.add_argument('--hurry', action='store_true')
    options, ros_arguments = parser.parse_known_args()
    emulator = load(Path('libdnn.so'))
    if options.network:
        emulator.set_network(CpuNetwork(options.network))
    if options.hurry:
        hurry()
    threading.Thread(target=obey, args=(emulator,), daemon=True).start()
    return main(ros_arguments)
