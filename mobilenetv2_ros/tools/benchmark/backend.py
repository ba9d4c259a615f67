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
``benchmark backend``: what a model does on its engine, without ROS and without conversion.

The table has what the vendor publishes for each model: latency of a frame from one thread, latency
and throughput from several. Every worker has an image of its own, and each result is compared
with what this image gave alone: a result that belongs to another frame is counted as wrong.
"""

from __future__ import annotations

import argparse
from contextlib import closing, ExitStack
import json
from pathlib import Path
import threading
import time
from typing import Any, Callable, Dict, List, NamedTuple, Sequence

from mobilenetv2_ros.inference.backends.base import Backend, BackendError, Session
from mobilenetv2_ros.inference.backends.registry import AUTO, BACKENDS, open_backend
from mobilenetv2_ros.inference.known_models import KNOWN_MODELS
from mobilenetv2_ros.inference.loaded_model import choose_model
from mobilenetv2_ros.tools.benchmark.arguments import parse_counts, parse_seconds
from mobilenetv2_ros.tools.benchmark.stopping import check_stop
import numpy as np

_TIMEOUT = 10.0
_LOOK_SECONDS = 0.1
"""Between two looks whether a signal has come."""

_WARM_UP_RUNS = 5


class Measurement(NamedTuple):
    """
    A run of some threads.

    :param latencies: of each frame, in seconds.
    :param cpu_seconds: of the threads that call the engine, all together.
    :param process_cpu_seconds: of the whole process, with the engine's own threads.
    :param wrong: frames whose best class was another one than the image alone had.
    """

    backend: str
    threads: int
    seconds: float
    latencies: List[float]
    cpu_seconds: float
    process_cpu_seconds: float
    wrong: int

    def to_json(self) -> Dict[str, Any]:
        """Return the figures that are printed, unrounded."""
        p50, p99 = np.percentile(self.latencies, (50, 99))
        frames = len(self.latencies)
        return {
            'backend': self.backend, 'threads': self.threads, 'frames': frames,
            'fps': frames / self.seconds,
            'latency_ms': {'p50': p50 * 1e3, 'p99': p99 * 1e3,
                           'mean': float(np.mean(self.latencies)) * 1e3},
            'cpu_us_per_frame': self.cpu_seconds / frames * 1e6,
            'process_cpu_us_per_frame': self.process_cpu_seconds / frames * 1e6,
            'wrong': self.wrong}


class _Worker(threading.Thread):
    """Run one session again and again until a moment has come."""

    def __init__(self, session: Session, seed: int) -> None:
        super().__init__(daemon=True)
        self._session = session
        _fill_with_noise(session, seed)
        for _ in range(_WARM_UP_RUNS):
            self._expected = int(session.run(_TIMEOUT).argmax())
        self.end_at = 0.0
        self.latencies: List[float] = []
        self.cpu_seconds = 0.0
        self.wrong = 0
        self.error: BackendError | None = None

    def run(self) -> None:
        try:
            # Once at least: on a busy machine it may start when the time is over.
            while (began := time.perf_counter()) < self.end_at or not self.latencies:
                cpu_began = time.thread_time()
                scores = self._session.run(_TIMEOUT)
                self.cpu_seconds += time.thread_time() - cpu_began
                self.latencies.append(time.perf_counter() - began)
                self.wrong += int(scores.argmax()) != self._expected
        except BackendError as error:
            self.error = error

    def stop(self) -> None:
        """End after the run that is under way."""
        self.end_at = 0.0
        if self.is_alive():
            self.join()


def measure(backend: Backend, threads: int, seconds: float,
            stopping: threading.Event) -> Measurement:
    """
    Run a model from several threads, each with a session of its own.

    :param stopping: ends it early.
    :raises BackendError: the engine failed.
    :raises KeyboardInterrupt: ``stopping`` was set.
    """
    with ExitStack() as opened:
        sessions = [opened.enter_context(closing(backend.open_session())) for _ in range(threads)]
        workers = [_Worker(session, seed) for seed, session in enumerate(sessions)]
        for worker in workers:
            # Before its session is closed, also when a signal ends it.
            opened.callback(worker.stop)
        began, cpu_began = time.perf_counter(), time.process_time()
        for worker in workers:
            worker.end_at = began + seconds
            worker.start()
        for worker in workers:
            while worker.is_alive():
                check_stop(stopping)
                worker.join(_LOOK_SECONDS)
        took, process_cpu = time.perf_counter() - began, time.process_time() - cpu_began
    for worker in workers:
        if worker.error:
            raise worker.error
    return Measurement(
        backend.kind, threads, took, [one for worker in workers for one in worker.latencies],
        sum(worker.cpu_seconds for worker in workers), process_cpu,
        sum(worker.wrong for worker in workers))


def add_command(commands: Any) -> argparse.ArgumentParser:
    """Add the command to argparse's subparsers."""
    parser: argparse.ArgumentParser = commands.add_parser(
        'backend', help='latency and throughput of a model', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', default='', metavar='PATH',
                        help='model file; by default the one that the node would take')
    parser.add_argument('--backend', default=AUTO, choices=BACKENDS)
    parser.add_argument('--threads', default=[1, 4], type=parse_counts, metavar='N[,N...]',
                        help='frames in flight; several make a table (default 1,4)')
    parser.add_argument('--seconds', default=5.0, type=parse_seconds, metavar='S',
                        help='length of each run (default 5)')
    parser.add_argument('--busy', action='store_true',
                        help='with a Python thread beside it that only computes')
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> None:
    """Measure and print what the options ask for."""
    path = choose_model(options.model)
    measure_variants(path, [
        lambda threads: open_backend(path, options.backend, threads).backend], options)


def measure_variants(path: Path, openers: Sequence[Callable[[int], Backend]],
                     options: argparse.Namespace) -> None:
    """
    Measure a model with each number of threads and print the figures.

    :param openers: each opens it in its own way, for as many threads as it is given.
    """
    stop_burning = _start_burning() if options.busy else threading.Event()
    results = []
    try:
        for threads in options.threads:
            for open_model in openers:
                with closing(open_model(threads)) as backend:
                    results.append(measure(
                        backend, threads, options.seconds, options.stopping).to_json())
    finally:
        stop_burning.set()
    if options.json:
        print(json.dumps(results[0] if len(results) == 1 else {'results': results}))
    else:
        _print_table(path, results)


def _fill_with_noise(session: Session, seed: int) -> None:
    generator = np.random.default_rng(seed)
    for plane in session.input:
        plane[:] = generator.integers(16, 236, plane.shape, np.uint8)


def _start_burning() -> threading.Event:
    """Keep a Python thread computing until the event is set."""
    stop = threading.Event()

    def burn() -> None:
        number = 0
        while not stop.is_set():
            number += 1

    threading.Thread(target=burn, daemon=True).start()
    return stop


def _print_table(path: Path, results: Sequence[Dict[str, Any]]) -> None:
    print(f'model {path}')
    print(f'{"backend":<18}{"threads":>8}{"frames/s":>10}{"mean ms":>9}{"p50 ms":>9}{"p99 ms":>9}'
          f'{"CPU us/frame":>14}{"of process":>12}{"wrong":>7}')
    for one in results:
        latency = one['latency_ms']
        print(f'{one["backend"]:<18}{one["threads"]:>8}{one["fps"]:>10.1f}'
              f'{latency["mean"]:>9.2f}{latency["p50"]:>9.2f}{latency["p99"]:>9.2f}'
              f'{one["cpu_us_per_frame"]:>14.1f}{one["process_cpu_us_per_frame"]:>12.1f}'
              f'{one["wrong"]:>7}')
    published = next((known.published for known in KNOWN_MODELS.values()
                      if known.file_name == path.name), None)
    if published is not None:
        print(f'published for the model of this name, on an RDK X5: 1 thread '
              f'{published.latency_ms:g} ms, more threads {published.images_per_s:g} frames/s')
