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
The benchmarks of the package beside what they are compared with; both take turns.

``backend``: the same model with every call of libdnn holding the interpreter lock, as the vendor's
Python module does. ``node``: a node written the usual way (``usual_node.py``), to which the ratios
are, and one that answers images without looking at them (``bare_node.py``). ``convert``: the
helper that most people copy (``usual_conversion.py``).
"""

from __future__ import annotations

import argparse
import ctypes
from functools import partial
import itertools
import json
from pathlib import Path
import sys
from typing import Any, Callable, Dict, List
from unittest import mock

from mobilenetv2_ros.inference.backends.base import Backend
from mobilenetv2_ros.inference.backends.libdnn import LibdnnBackend
from mobilenetv2_ros.inference.backends.libdnn_abi import Library
from mobilenetv2_ros.inference.backends.registry import open_backend
from mobilenetv2_ros.inference.loaded_model import choose_model
from mobilenetv2_ros.stop_signals import hold_stop_signals
from mobilenetv2_ros.tools.benchmark import backend, convert, node
from mobilenetv2_ros.tools.benchmark.__main__ import run_command
from mobilenetv2_ros.tools.benchmark.stopping import check_stop
from mobilenetv2_ros.tools.model_options import parse_count
from mobilenetv2_ros.tools.printing import run_printing
import numpy as np
from usual_conversion import convert_to_nv12, view_to_bgr

HERE = Path(__file__).parent


def main() -> int:
    """
    Compare what the command line says.

    :returns: exit code, 130 after a signal.
    """
    hold_stop_signals()
    parser = argparse.ArgumentParser(prog='compare', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    backend.add_command(commands).set_defaults(run=compare_backends)
    nodes = node.add_parser(commands)
    nodes.add_argument('--rounds', default=3, type=partial(parse_count, most=1000), metavar='N',
                       help='turns; medians are printed (default 3)')
    nodes.set_defaults(run=compare_nodes)
    convert.add_command(commands).set_defaults(run=compare_conversions)
    options = parser.parse_args()
    return run_printing('compare', lambda: run_command(options))


def compare_backends(options: argparse.Namespace) -> None:
    """Measure libdnn as the package calls it, and holding the interpreter lock."""
    path = choose_model(options.model)
    openers: List[Callable[[int], Backend]] = [
        lambda threads: open_backend(path, options.backend, threads).backend,
        lambda threads: open_holding_gil(path)]
    backend.measure_variants(path, openers, options)


def open_holding_gil(path: Path) -> Backend:
    """Open a .bin model so that no call gives the interpreter lock up."""
    with mock.patch.object(ctypes, 'CDLL', ctypes.PyDLL):
        opened = LibdnnBackend(path, Library())
    opened.kind = 'libdnn, GIL held'
    return opened


def compare_nodes(options: argparse.Namespace) -> None:
    """Measure our node, the usual one and the bare one."""
    model = choose_model(options.model).resolve()
    commands = {
        'node': node.make_command(model, options),
        'usual node': [sys.executable, str(HERE / 'usual_node.py'), str(model)],
        'bare node': [sys.executable, str(HERE / 'bare_node.py')]}
    reports: Dict[str, List[Dict[str, Any]]] = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            reports[name].append(node.measure_cameras(command, options))
    medians = {name: node.find_medians(found) for name, found in reports.items()}
    if options.json:
        print(json.dumps(medians))
        return
    ours, usual = medians['node'], medians['usual node']
    medians['ours/usual'] = {
        name: ours[name] / usual[name] for name in ours if usual.get(name)}
    node.print_table(model, medians, options)


def compare_conversions(options: argparse.Namespace) -> None:
    """Measure both ways to NV12 in turns, and how far they differ."""
    results = []
    for encoding, size in itertools.product(options.encoding, convert.SIZES):
        check_stop(options.stopping)
        results.append({'encoding': encoding, 'size': f'{size[0]}x{size[1]}',
                        **compare_conversion(encoding, *size)})
    if options.json:
        print(json.dumps({'results': results}))
        return
    print(f'{"encoding":<14}{"size":>11}{"us":>9}{"usual us":>10}{"ratio":>7}'
          f'{"Y differs: max":>16}{"mean":>7}{"UV: max":>9}{"mean":>7}')
    for one in results:
        print(f'{one["encoding"]:<14}{one["size"]:>11}{one["us"]:>9.1f}{one["usual_us"]:>10.1f}'
              f'{one["ratio"]:>7.2f}{one["y_max"]:>16.0f}{one["y_mean"]:>7.2f}'
              f'{one["uv_max"]:>9.0f}{one["uv_mean"]:>7.2f}')


def compare_conversion(encoding: str, width: int, height: int) -> Dict[str, float]:
    """Return the figures of one encoding and size."""
    view = convert.make_image(encoding, width, height)
    ours, target = convert.prepare(view)

    def usual() -> Any:
        return convert_to_nv12(view_to_bgr(view))

    found = convert.Nv12.over(usual(), convert.SIDE, convert.SIDE)
    y, uv = (np.abs(one.astype(int) - other) for one, other in zip(target, found))
    times = [(convert.find_median_time(ours), convert.find_median_time(usual))
             for _ in range(convert.ROUNDS)]
    ours_us, usual_us = (min(column) * 1e6 for column in zip(*times))
    return {
        'us': ours_us, 'usual_us': usual_us,
        'ratio': float(np.median([ours / usual for ours, usual in times])),
        'y_max': int(y.max()), 'y_mean': float(y.mean()),
        'uv_max': int(uv.max()), 'uv_mean': float(uv.mean())}


if __name__ == '__main__':
    sys.exit(main())
