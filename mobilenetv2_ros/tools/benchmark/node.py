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
``benchmark node``: the whole node over DDS, from a published picture to the published result.

Node and publisher run in processes of their own, on this machine alone. With ``--baseline`` two
others take turns with it, so that all meet the same machine: a node written the usual way
(``usual_node.py``), to which the ratios are printed, and one that answers pictures without looking
at them (``bare_node.py``). With ``--cameras`` several pairs of camera and node run
at the same time, and the median pair is printed.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Dict, Iterator, List, Tuple

from mobilenetv2_ros.backends.base import BackendError
from mobilenetv2_ros.engine import choose_model
from mobilenetv2_ros.resources import large_image_environment
from mobilenetv2_ros.tools.benchmark.arguments import (
    FLOOD, parse_rate, parse_seconds, parse_size, parse_thread_count)
from mobilenetv2_ros.tools.benchmark.picture_sizes import BYTES_PER_PIXEL
from mobilenetv2_ros.tools.benchmark.stopping import check_stop
from mobilenetv2_ros.tools.free_domain import find_free_domain
from mobilenetv2_ros.tools.photo_classifier import parse_count
import numpy as np

_PACKAGE = 'mobilenetv2_ros'
_PATIENCE = 90.0
"""Seconds that all but the measurement may take: starting, connecting, warming up."""

_FIGURES: Tuple[Tuple[str, str], ...] = (
    ('possible_load_per_s', 'possible load/s'), ('published_per_s', 'published/s'),
    ('fps', 'results/s'), ('received', 'received'),
    ('lost in transport', 'lost in transport'), ('dropped', 'dropped'),
    ('failed', 'failed'), ('out_of_order', 'out of order'),
    ('latency_p50', 'latency p50 ms'), ('latency_p99', 'latency p99 ms'),
    ('latency_max', 'latency max ms'), ('cpu_us_per_frame', 'CPU us/result'),
    ('cpu_percent', 'CPU %'), ('rss_mb', 'RSS MB'))


def add_command(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser: argparse.ArgumentParser = commands.add_parser(
        'node', help='the whole node over DDS', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--encoding', default='nv12', choices=tuple(BYTES_PER_PIXEL))
    parser.add_argument('--size', default=(224, 224), type=parse_size, metavar='WxH')
    parser.add_argument('--rate', default=FLOOD, type=parse_rate, metavar='HZ|flood',
                        help='flood (default): twice as many as it can answer')
    parser.add_argument('--model', default='', metavar='PATH')
    parser.add_argument('--threads', default=0, type=parse_thread_count, metavar='N',
                        help='thread_count of the node (default 0: its own default)')
    parser.add_argument('--cameras', default=1, type=partial(parse_count, most=8), metavar='N',
                        help='pairs of camera and node at the same time (default 1)')
    parser.add_argument('--seconds', default=10.0, type=parse_seconds, metavar='S')
    parser.add_argument('--rounds', default=3, type=partial(parse_count, most=1000), metavar='N',
                        help='turns with --baseline; medians are printed (default 3)')
    parser.add_argument('--baseline', action='store_true',
                        help='also measure a usual node and one that does nothing')
    parser.add_argument('--default-transport', action='store_true',
                        help='without config/fastdds_large_images.xml')
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Measure and print what the options ask for."""
    model = choose_model(options.model).resolve()
    ours = [sys.executable, '-m', f'{_PACKAGE}.main', '--ros-args', '-p', f'model_path:={model}',
            '-p', f'thread_count:={options.threads}']
    commands = {'node': ours}
    if options.baseline:
        commands['usual node'] = [
            sys.executable, '-m', f'{_PACKAGE}.tools.benchmark.usual_node', str(model)]
        commands['bare node'] = [sys.executable, '-m', f'{_PACKAGE}.tools.benchmark.bare_node']
    rounds: Dict[str, List[Dict[str, Any]]] = {name: [] for name in commands}
    for _ in range(options.rounds if options.baseline else 1):
        for name, command in commands.items():
            rounds[name] += _measure_cameras(command, options)
    medians = {name: _find_medians(reports) for name, reports in rounds.items()}
    if options.json:
        print(json.dumps(medians if options.baseline else medians['node']))
    else:
        _print_table(model, medians, options)


def _measure_cameras(
        command: List[str], options: argparse.Namespace) -> List[Dict[str, Any]]:
    with ThreadPoolExecutor(options.cameras) as pool:
        try:
            return list(pool.map(
                lambda camera: _measure(command, options), range(options.cameras)))
        except BackendError:
            options.stopping.set()  # nobody wants to know of the other cameras any more
            raise


def _measure(command: List[str], options: argparse.Namespace) -> Dict[str, Any]:
    environment = _make_environment(options.default_transport)
    width, height = options.size
    with _running(command, environment, subprocess.DEVNULL) as node, _running(
            [sys.executable, '-m', f'{_PACKAGE}.tools.benchmark.load', options.encoding,
             str(width), str(height), str(options.rate), str(options.seconds), str(node.pid)],
            environment, subprocess.PIPE) as load:
        report: Dict[str, Any] = json.loads(_wait_for_output(
            load, node, options.seconds, options.stopping))
    report.update({f'latency_{name}': value for name, value in report.pop('latency_ms').items()})
    return report


def _wait_for_output(
        load: Any, node: Any, seconds: float, stopping: threading.Event) -> bytes:
    """
    Wait until the load generator has ended.

    :param seconds: that it measures.
    :param stopping: ends it early.
    :raises BackendError: the node has ended, or gives no results.
    :raises KeyboardInterrupt: ``stopping`` was set.
    """
    deadline = time.monotonic() + seconds + _PATIENCE
    while time.monotonic() < deadline:
        check_stop(stopping)
        try:
            output: bytes = load.communicate(timeout=0.2)[0]
        except subprocess.TimeoutExpired:
            if node.poll() is not None:
                raise BackendError(
                    f'the node ended with code {node.returncode}; see its message above') from None
            continue
        if output:
            return output
        break
    raise BackendError('the node gave no results; see the messages above')


@contextmanager
def _running(command: List[str], environment: Dict[str, str], output: int) -> Iterator[Any]:
    """Run a process for the time of a with block; it gets Ctrl-C at the end."""
    process = subprocess.Popen(command, env=environment, stdout=output)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _make_environment(default_transport: bool) -> Dict[str, str]:
    environment = dict(
        os.environ, ROS_DOMAIN_ID=str(find_free_domain()),
        ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST',
        RCUTILS_LOGGING_MIN_SEVERITY='WARN')
    if not default_transport:
        environment.update(large_image_environment())
    return environment


def _find_medians(reports: List[Dict[str, Any]]) -> Dict[str, float]:
    return {name: float(np.median([report[name] for report in reports])) for name in reports[0]}


def _print_table(model: Path, medians: Dict[str, Dict[str, float]],
                 options: argparse.Namespace) -> None:
    width, height = options.size
    rate = f'{options.rate:g} Hz' if options.rate else 'flood'
    cameras = f', {options.cameras} cameras' if options.cameras > 1 else ''
    print(f'{options.encoding} {width}x{height}, {rate}{cameras}, model {model.name}')
    usual = medians.get('usual node')
    print(f'{"":<18}' + ''.join(f'{name:>12}' for name in medians)
          + (f'{"ratio":>8}' if usual else ''))
    for name, title in _FIGURES:
        values = [one.get(name) for one in medians.values()]
        cells = ''.join(f'{"-":>12}' if one is None else f'{one:>12.2f}' for one in values)
        ratio = ''
        if usual and usual.get(name) and values[0] is not None:
            ratio = f'{values[0] / usual[name]:>8.2f}'
        print(f'{title:<18}{cells}{ratio}')
