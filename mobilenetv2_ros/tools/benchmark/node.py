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
``benchmark node``: the whole node over DDS, from a published image to the published result.

Node and publisher run in processes of their own, on this machine alone. With ``--cameras`` there
are several of both at the same time: what is printed is the median of the cameras, of memory the
sum. ``--one-process`` then has all nodes in one process measured too.
"""

from __future__ import annotations

import argparse
from contextlib import contextmanager, ExitStack, suppress
from functools import partial
import json
import os
from pathlib import Path
import select
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from mobilenetv2_ros.inference.backends.base import BackendError
from mobilenetv2_ros.inference.loaded_model import choose_model
from mobilenetv2_ros.resources import CLASSIFIER_PROFILE, large_image_environment
from mobilenetv2_ros.tools.benchmark.arguments import (
    FLOOD, parse_image_size, parse_rate, parse_seconds, parse_thread_count)
from mobilenetv2_ros.tools.benchmark.image_sizes import BYTES_PER_PIXEL
from mobilenetv2_ros.tools.benchmark.stopping import check_stop
from mobilenetv2_ros.tools.free_domain import find_free_domain, localhost_environment
from mobilenetv2_ros.tools.model_options import parse_count
import numpy as np

_PATIENCE = 90.0
"""Seconds that all but the measurement may take: starting, connecting, warming up."""

FIGURES: Tuple[Tuple[str, str], ...] = (
    ('possible_load_per_s', 'possible load/s'), ('published_per_s', 'published/s'),
    ('fps', 'results/s'), ('received', 'received'),
    ('lost in transport', 'lost in transport'), ('dropped', 'dropped'),
    ('failed', 'failed'), ('out_of_order', 'out of order'),
    ('latency_p50', 'latency p50 ms'), ('latency_p99', 'latency p99 ms'),
    ('latency_max', 'latency max ms'), ('cpu_us_per_frame', 'CPU us/result'),
    ('cpu_percent', 'CPU %'), ('rss_mb', 'RSS MB'), ('pss_mb', 'PSS MB'))


def add_command(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = add_parser(commands)
    parser.add_argument('--one-process', action='store_true',
                        help='also all cameras in one process, beside one process each')
    parser.set_defaults(run=run)


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command's parser, with the options that say what is measured."""
    parser: argparse.ArgumentParser = commands.add_parser(
        'node', help='the whole node over DDS', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--encoding', default='nv12', choices=tuple(BYTES_PER_PIXEL))
    parser.add_argument('--size', default=(224, 224), type=parse_image_size, metavar='WxH')
    parser.add_argument('--rate', default=FLOOD, type=parse_rate, metavar='HZ|flood',
                        help='flood (default): twice as many as it can answer')
    parser.add_argument('--model', default='', metavar='PATH')
    parser.add_argument('--threads', default=0, type=parse_thread_count, metavar='N',
                        help='thread_count of the node (default 0: its own default)')
    parser.add_argument('--cameras', default=1, type=partial(parse_count, most=8), metavar='N',
                        help='cameras and nodes at the same time (default 1)')
    parser.add_argument('--seconds', default=10.0, type=parse_seconds, metavar='S')
    parser.add_argument('--default-transport', action='store_true',
                        help='without the profiles of Fast DDS in config/')
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    return parser


def run(options: argparse.Namespace) -> None:
    """Measure and print what the options ask for."""
    model = choose_model(options.model).resolve()
    command = make_command(model, options)
    columns = {'node': measure_cameras(command, options)}
    if options.one_process:
        columns['one process'] = measure_one_process(command, options)
    if options.json:
        print(json.dumps(columns if options.one_process else columns['node']))
    else:
        print_table(model, columns, options)


def make_command(model: Path, options: argparse.Namespace) -> List[str]:
    """Return the command that starts the node."""
    return [sys.executable, '-m', 'mobilenetv2_ros.node.main', '--ros-args', '--log-level', 'warn',
            '-p', f'model_path:={model}', '-p', f'thread_count:={options.threads}']


def measure_cameras(command: List[str], options: argparse.Namespace) -> Dict[str, float]:
    """
    Measure a node that answers as ours does, or several in a process each.

    :param command: starts one.
    :returns: the median of each figure, of memory the sum.
    :raises BackendError: a node does not start or does not answer.
    """
    cameras = _name_cameras(options)
    return _measure([[*command, '--ros-args', '-r', f'__ns:=/{camera}'] for camera in cameras],
                    cameras, options)


def measure_one_process(command: List[str], options: argparse.Namespace) -> Dict[str, float]:
    """
    Measure all cameras in one process of our node.

    :param command: starts it for one.
    :returns: as :func:`measure_cameras`.
    :raises BackendError: it does not start or does not answer.
    """
    cameras = _name_cameras(options)
    figures = _measure([[*command, '--', '--cameras', *cameras]], cameras, options)
    for name in 'cpu_us_per_frame', 'cpu_percent':  # of all cameras, beside results of one
        figures[name] /= len(cameras)
    return figures


def _name_cameras(options: argparse.Namespace) -> List[str]:
    return [f'camera{number}' for number in range(1, options.cameras + 1)]


def _measure(commands: List[List[str]], cameras: List[str],
             options: argparse.Namespace) -> Dict[str, float]:
    environment = _make_environment()
    of_node, of_load = environment, environment
    if not options.default_transport:
        of_node = {**environment, **large_image_environment(CLASSIFIER_PROFILE)}
        of_load = {**environment, **large_image_environment()}
    width, height = options.size
    load = [sys.executable, '-m', 'mobilenetv2_ros.tools.benchmark.load', options.encoding,
            str(width), str(height), str(options.rate), str(options.seconds)]
    with ExitStack() as stack:
        nodes = [stack.enter_context(_running(command, of_node, subprocess.DEVNULL))
                 for command in commands]
        loads = [
            stack.enter_context(_running(
                [*load, str(nodes[index % len(nodes)].pid), f'/{camera}'], of_load,
                subprocess.PIPE))
            for index, camera in enumerate(cameras)]
        reports = _collect(loads, nodes, options)
    for report in reports:
        report.update(
            {f'latency_{name}': value for name, value in report.pop('latency_ms').items()})
    figures = find_medians(reports)
    for name in 'rss_mb', 'pss_mb':
        figures[name] *= len(nodes)
    return figures


def _collect(loads: Sequence[Any], nodes: Sequence[Any],
             options: argparse.Namespace) -> List[Dict[str, Any]]:
    """Let the load generators measure as soon as all are ready, and return their reports."""
    def read_lines(seconds: float) -> List[bytes]:
        deadline = time.monotonic() + seconds
        return [_read_line(load, nodes, deadline, options.stopping) for load in loads]

    read_lines(_PATIENCE)
    for load in loads:
        load.stdin.write(b'\n')
        load.stdin.flush()
    reports = [json.loads(line) for line in read_lines(options.seconds + _PATIENCE)]
    for load in loads:  # a signal would strike amid its end
        with suppress(subprocess.TimeoutExpired):
            load.wait(_PATIENCE)
    return reports


def _read_line(load: Any, nodes: Sequence[Any], deadline: float,
               stopping: threading.Event) -> bytes:
    """
    Wait for a line of a load generator.

    :param deadline: of the monotonic clock.
    :param stopping: ends it early.
    :raises BackendError: a node has ended, or gives no results.
    :raises KeyboardInterrupt: ``stopping`` was set.
    """
    while time.monotonic() < deadline:
        check_stop(stopping)
        if select.select([load.stdout], [], [], 0.2)[0]:
            if line := load.stdout.readline():
                return bytes(line)
            break
        for node in nodes:
            if node.poll() is not None:
                raise BackendError(
                    f'the node ended with code {node.returncode}; see its message above')
    raise BackendError('the node gave no results; see the messages above')


@contextmanager
def _running(command: List[str], environment: Dict[str, str], output: int) -> Iterator[Any]:
    """Run a process for the time of a with block; it gets Ctrl-C at the end."""
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=output)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _make_environment() -> Dict[str, str]:
    return {
        **os.environ, 'ROS_DOMAIN_ID': str(find_free_domain()), **localhost_environment()}


def find_medians(reports: List[Dict[str, Any]]) -> Dict[str, float]:
    """Return the median of each figure."""
    return {name: float(np.median([report[name] for report in reports])) for name in reports[0]}


def print_table(model: Path, columns: Dict[str, Dict[str, float]],
                options: argparse.Namespace) -> None:
    """Print figures, a column for each node."""
    width, height = options.size
    rate = f'{options.rate:g} Hz' if options.rate else 'flood'
    cameras = f', {options.cameras} cameras' if options.cameras > 1 else ''
    print(f'{options.encoding} {width}x{height}, {rate}{cameras}, model {model.name}')
    print(f'{"":<18}' + ''.join(f'{name:>12}' for name in columns))
    for name, title in FIGURES:
        values = (one.get(name) for one in columns.values())
        print(f'{title:<18}' + ''.join(
            f'{"-":>12}' if value is None else f'{value:>12.2f}' for value in values))
