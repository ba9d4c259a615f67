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
A million inferences on the emulated BPU while everything that can fail fails at random.

Every function of libdnn fails once in a while, tasks fail, hang or give NaN; the model is closed
and opened again all the time. The exit code is 1 unless each image had its own result or an
error, each injected failure was told, and all memory, tasks and models were given back.

    (cd test && python -m endurance.soak_backend) [--inferences N]
"""

from __future__ import annotations

import argparse
from collections import Counter
from functools import partial
import os
from pathlib import Path
import random
import sys
import tempfile
import threading
from typing import Any, Callable, Counter as CounterOf, List, NoReturn, Optional, TypeVar

from emulated_libdnn import (
    BALANCED, build, count_leaks, Emulator, fingerprint_class, LIVE, load, MISUSES, write_model)
from mobilenetv2_ros.inference.backends import libdnn_abi as abi
from mobilenetv2_ros.inference.backends.base import (
    Backend, BackendError, InferenceTimeoutError, Session)
from mobilenetv2_ros.inference.backends.libdnn import LibdnnBackend
from mobilenetv2_ros.inference.ranking import Scores
from mobilenetv2_ros.process_setup import set_up_process
from mobilenetv2_ros.tools.benchmark.process_usage import read_resident_bytes
import numpy as np
from support.orphaned_buffers import free_orphaned_buffers
from support.verdict import tell_verdict

Result = TypeVar('Result')

SIZE = 32
CLASSES = 100
THREADS = 4
IMAGES = 64
ROUND = 200
TIMEOUT = 0.05
RATE = 0.001
RARE_CALL_RATE = 0.02
HANG_RATE = 0.0005
NAN_RATE = 0.001
MAX_GROWTH = 4 << 20

INJECTED_CODE = -6000015
"""What functions fail with; tasks fail with -6000012, so that the two can be told apart."""

EACH_FRAME = ('hbSysFlushMem', 'hbDNNInfer', 'hbDNNWaitTaskDone', 'hbDNNReleaseTask')

GIVEN_BACK = ('hbDNNReleaseTask', 'hbSysFreeMem', 'hbDNNRelease')
"""What is offered again when it fails; only the first refusal counts as noticed."""


class CountingLibrary(abi.Library):
    """Counts injected failures where they arise, by function, and remembers them by thread."""

    failures: CounterOf[str] = Counter()
    lock = threading.Lock()
    in_thread = threading.local()

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function, see the base class."""
        try:
            super().call(name, *arguments)
        except abi.LibdnnError as error:
            self._note(error.code, name)
            raise

    def bind(self, name: str, *arguments: Any) -> partial[int]:
        """Bind a function to its first arguments, see the base class."""
        return partial(self._call_bound, name, super().bind(name, *arguments))

    def defer_free(self, code: int, name: str, *arguments: Any) -> NoReturn:
        """Call a function that frees something and has refused, see the base class."""
        self._note(code, name)
        super().defer_free(code, name, *arguments)

    def _call_bound(self, name: str, function: partial[int], *arguments: Any) -> int:
        code = function(*arguments)
        if name not in GIVEN_BACK:  # those come to defer_free
            self._note(code, name)
        return code

    def _note(self, code: int, name: str) -> None:
        if code == INJECTED_CODE:
            with self.lock:
                self.failures[name] += 1
            # A task that is given up is waited for again, whatever that gives.
            if name != 'hbDNNWaitTaskDone':
                self.in_thread.failed = name

    @classmethod
    def take_failure(cls) -> str:
        """Return the function that failed last in this thread, if it has since the last call."""
        failed: str = getattr(cls.in_thread, 'failed', '')
        cls.in_thread.failed = ''
        return failed


class Soak:
    """Rounds of opening, classifying from several threads and closing, until there are enough."""

    def __init__(self, emulator: Emulator, model: Path, inferences: int) -> None:
        """Draw the images."""
        self._emulator = emulator
        self._model = model
        self._inferences = inferences
        self._lock = threading.Lock()
        self._started = 0
        self.outcomes: CounterOf[str] = Counter()
        self.violations: List[str] = []
        noise = np.random.default_rng(1).integers(
            0, 256, (IMAGES, SIZE * 3 // 2, SIZE), np.uint8)
        self._images = [(one[:SIZE], one[SIZE:].reshape(SIZE // 2, SIZE // 2, 2))
                        for one in noise]
        self._classes = [fingerprint_class(*one, CLASSES) for one in self._images]

    def run(self) -> None:
        """Run all rounds and print the memory in use ten times."""
        after_warm_up = 0
        for tenth in range(1, 11):
            while self._started < self._inferences * tenth // 10:
                self._run_round(seed=self._started)
            resident = read_resident_bytes(os.getpid())
            print(f'{self._started:>9} inferences, {resident / 2**20:.1f} MiB resident',
                  flush=True)
            after_warm_up = after_warm_up or resident
        self._attempt('memory not freed', free_orphaned_buffers)
        if resident - after_warm_up > MAX_GROWTH:
            self.violations.append(
                f'memory grew by {(resident - after_warm_up) / 2**20:.1f} MiB after the first '
                'tenth')

    def _run_round(self, seed: int) -> None:
        """Open the model, let every thread work, and close it."""
        self._note('rounds')
        backend = self._attempt(
            'model not opened', lambda: LibdnnBackend(self._model, CountingLibrary()))
        if backend is None:
            return
        threads = [threading.Thread(target=self._work, args=(backend, seed + number))
                   for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._attempt('memory not freed', backend.settle)
        self._attempt('model closed with an error', backend.close)

    def _work(self, backend: Backend, seed: int) -> None:
        session = self._attempt('session not opened', backend.open_session)
        if session is None:
            return
        choose = random.Random(seed)
        for _ in range(ROUND // THREADS):
            self._classify(session, choose.randrange(IMAGES))
        self._attempt('session closed with an error', session.close)

    def _classify(self, session: Session, number: int) -> None:
        with self._lock:
            self._started += 1
        scores = self._attempt('error', lambda: self._run_network(session, number))
        if scores is None:
            return
        if scores.argmax() == self._classes[number]:
            self._note('right')
        else:
            self._note('NaN' if np.isnan(scores).all() else 'WRONG')

    def _run_network(self, session: Session, number: int) -> Scores:
        luma, chroma = session.input
        luma[:], chroma[:] = self._images[number]
        return session.run(TIMEOUT)

    def _attempt(self, failure: str, operation: Callable[[], Result]) -> Optional[Result]:
        """Do something; it has to raise if, and only if, something in it failed."""
        try:
            result = operation()
        except InferenceTimeoutError as error:
            self._note('refused, too much hangs' if 'never finished' in str(error) else 'timeout')
        except BackendError:
            self._note(failure)
        else:
            failed = CountingLibrary.take_failure()
            if failed:
                self._note(f'{failed} FAILED SILENTLY')
            return result
        CountingLibrary.take_failure()
        return None

    def _note(self, outcome: str) -> None:
        with self._lock:
            self.outcomes[outcome] += 1


def inject_failures(emulator: Emulator) -> None:
    """Let everything fail at random, without delays."""
    emulator.set('parallel_us', 0)
    emulator.set('serial_us', 0)
    for function in abi._FUNCTIONS:
        rate = RATE if function in EACH_FRAME else RARE_CALL_RATE
        emulator.set(f'fail_rate.{function}', rate)
        emulator.set(f'fail_code.{function}', INJECTED_CODE)
    emulator.set('fail_rate.task', RATE)
    emulator.set('hang_rate', HANG_RATE)
    emulator.set('nan', NAN_RATE)


def check_failures(soak: Soak, emulator: Emulator) -> None:
    """Compare the failures that were injected with those that were noticed, and print both."""
    print(f'\n{"failures of":<34}{"calls":>10}{"injected":>10}{"noticed":>10}')
    for function in abi._FUNCTIONS:
        calls, injected = (int(emulator.get(f'{what}.{function}'))
                           for what in ('calls', 'injected'))
        noticed = CountingLibrary.failures[function]
        print(f'{function:<34}{calls:>10}{injected:>10}{noticed:>10}')
        if noticed != injected and (function not in GIVEN_BACK or noticed > injected):
            soak.violations.append(f'{function}: {injected} failures injected, {noticed} noticed')
    calls, injected = (int(emulator.get(f'{what}.task')) for what in ('calls', 'injected'))
    print(f'{"tasks":<34}{calls:>10}{injected:>10}')


def check_balance(soak: Soak, emulator: Emulator) -> None:
    """Check that all that was taken was given back, and print the counters."""
    print()
    for taken, given in BALANCED:
        print(f'{taken} {emulator.get(taken):.0f}, {given} {emulator.get(given):.0f}')
    for key in (*LIVE, *MISUSES):
        print(f'{key} {emulator.get(key):.0f}')
    soak.violations += [f'{key} is {count:.0f}' for key, count in count_leaks(emulator).items()]


def check_outcomes(soak: Soak, inferences: int) -> None:
    """Check that the run was a test at all, and print what became of the images."""
    print()
    for outcome, count in soak.outcomes.most_common():
        print(f'{outcome:<34}{count:>10}')
    soak.violations += [
        f'{outcome}: {count}' for outcome, count in soak.outcomes.items()
        if 'WRONG' in outcome or 'SILENTLY' in outcome]
    if soak.outcomes['right'] < inferences * 0.9:
        soak.violations.append('fewer than nine of ten images were classified')
    for outcome in ('error', 'timeout', 'NaN'):
        if not soak.outcomes[outcome]:
            soak.violations.append(f'no {outcome} was ever met')


def main() -> int:
    """
    Run the test.

    :returns: exit code, 1 if anything was not as it should be.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--inferences', type=int, default=1_000_000, metavar='N')
    inferences = parser.parse_args().inferences
    set_up_process()
    with tempfile.TemporaryDirectory() as folder:
        library = build(Path(folder))
        emulator = load(library)
        # This one, whatever else the dynamic loader would find.
        abi.LIBRARIES = str(library),
        model = write_model(Path(folder) / 'model.bin', width=SIZE, height=SIZE, classes=CLASSES)
        inject_failures(emulator)
        soak = Soak(emulator, model, inferences)
        soak.run()
    check_outcomes(soak, inferences)
    check_failures(soak, emulator)
    check_balance(soak, emulator)
    print()
    return tell_verdict(soak.violations)


if __name__ == '__main__':
    sys.exit(main())
