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
Measure the node across a bad link: 20 ms of delay, 2 % loss, then a cut of 10 s.

Prints, for each kind of image, the share that was classified during the loss, and the time from
the end of the cut to the first result of an image sent after it. Needs root and ``ip``, and takes
about a minute for each kind.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import tempfile
import time
from typing import Tuple

from support.bad_link import BadLink
from support.network_trial import cut, NetworkTrial
from support.node_process import PATIENCE_SECONDS
from support.tiny_models import write_onnx

KINDS = (
    ('nv12', '224x224', 10.0, 'best_effort'), ('nv12', '224x224', 10.0, 'reliable'),
    ('bgr8', '640x480', 5.0, 'best_effort'), ('bgr8', '640x480', 5.0, 'reliable'),
    ('jpeg', '640x480', 10.0, 'best_effort'), ('jpeg', '640x480', 10.0, 'reliable'))
DELAY, LOSS, CUT_SECONDS = 0.02, 0.02, 10.0


def main() -> None:
    """Measure all kinds, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=float, default=15.0, help='of loss (15)')
    parser.add_argument(
        '--forget-fragments-early', action='store_true',
        help='with net.ipv4.ipfrag_time 3, as the manual advises')
    options = parser.parse_args()
    print(f'{"image":34}{"no loss":>7}{f"{LOSS:.0%} loss":>9}  back after a cut')
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            print(measure(Path(folder), kind, options), flush=True)


def measure(folder: Path, kind: Tuple[str, str, float, str], options: argparse.Namespace) -> str:
    """Return a row of the table."""
    link = BadLink(DELAY)
    if options.forget_fragments_early:
        link.forget_fragments_early()
    labels = folder / 'labels.txt'
    labels.write_text(''.join(f'class {index}\n' for index in range(192)))
    model = write_onnx(folder / 'model.onnx', (1, 8, 8, 3))
    trial = NetworkTrial(link, folder, {'model_path': model, 'labels_path': labels}, *kind)
    try:
        trial.wait_for_result()
        before = measure_share(trial, 5.0)
        link.loss = LOSS
        during = measure_share(trial, options.seconds)
        mended = cut(link, CUT_SECONDS)
        back = measure_return(trial, mended)
    finally:
        trial.close()
        link.close()
    encoding, size, rate, reliability = kind
    name = f'{encoding} {size} {rate:g} Hz {reliability}'
    return f'{name:36}{before:5.0%}{during:9.0%}{back}'


def measure_return(trial: NetworkTrial, mended: float) -> str:
    """Return how long it took until results came again."""
    try:
        return f'{trial.wait_for_result(after=mended) - mended:9.1f} s'
    except AssertionError:
        return f'  not in {PATIENCE_SECONDS:g} s'


def measure_share(trial: NetworkTrial, seconds: float) -> float:
    """Return the share of the images sent in a time that were classified, a second later."""
    start = time.monotonic()
    time.sleep(seconds)
    end = time.monotonic()
    time.sleep(1.0)
    classified, sent = trial.classified(start, end)
    return classified / sent


if __name__ == '__main__':
    main()
