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
How the programs with a node start and end: command line, ROS, executor, signals, exit code.

Nothing is imported here that takes time: signals are held back first.
"""

from __future__ import annotations

import argparse
from contextlib import contextmanager, suppress
from functools import partial
import gc
import os
import sys
import threading
from typing import (
    Any, Callable, Iterable, Iterator, List, Mapping, Optional, TYPE_CHECKING, TypeVar)

from mobilenetv2_ros.command_line import parse_command_line
from mobilenetv2_ros.environment import advise_on_security
from mobilenetv2_ros.standard_streams import open_missing_streams
from mobilenetv2_ros.stop_signals import call_on_stop_signal, hold_stop_signals

if TYPE_CHECKING:
    from mobilenetv2_ros.node.executor import Spinner
    from rclpy.node import Node

AnyNode = TypeVar('AnyNode', bound='Node')

_MESSAGE_GENERATOR = 'rosidl_generator_py.generate_py_impl'


def run_program(name: str, description: str, make_details: Callable[[], str],
                run: Callable[[argparse.Namespace], int], args: Optional[List[str]],
                add_options: Callable[[argparse.ArgumentParser], object] = lambda parser: None,
                ) -> int:
    """
    Run a program for which all arguments, but for its options, are ROS arguments.

    :param make_details: writes what ``--help`` adds to the description.
    :param run: called with the options while ROS is initialized; returns the exit code.
    :param args: command line without the program's name, by default that of the process.
    :param add_options: adds options to the parser; by default there are none.
    :returns: exit code, 1 if ROS cannot be initialized.
    """
    open_missing_streams()
    hold_stop_signals()
    _leave_out_what_no_node_needs()
    gc.disable()  # what a start makes is no garbage
    try:
        return _run_with_ros(name, description, make_details, run, args, add_options)
    finally:
        gc.enable()


def _run_with_ros(name: str, description: str, make_details: Callable[[], str],
                  run: Callable[[argparse.Namespace], int], args: Optional[List[str]],
                  add_options: Callable[[argparse.ArgumentParser], object]) -> int:
    # Only now, with signals held, what takes its time to import.
    import rclpy
    from rclpy.signals import SignalHandlerOptions
    from rclpy.utilities import remove_ros_args

    from mobilenetv2_ros.process_setup import set_up_process

    set_up_process()
    command_line = sys.argv if args is None else [name, *args]
    try:
        rclpy.init(args=command_line, signal_handler_options=SignalHandlerOptions.NO)
    except (RuntimeError, UnicodeError) as error:
        return fail(
            name, 'ROS cannot be initialized; check the ROS arguments, ROS_LOG_DIR and, with '
            f'security, ROS_SECURITY_KEYSTORE: {error}')
    try:
        return run(parse_command_line(
            name, description, make_details, remove_ros_args(command_line)[1:], add_options))
    finally:
        rclpy.try_shutdown()


def _leave_out_what_no_node_needs() -> None:
    """
    Keep what is imported next from doing what takes its time and is of no use to a node.

    OpenBLAS, which NumPy brings along, starts a thread for each core, and each looks for work for
    a tenth of a second. rosidl_generator_py imports what makes Python of message definitions, with
    a parser, and does without where that cannot be imported.
    """
    os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
    sys.modules.setdefault(_MESSAGE_GENERATOR, None)  # type: ignore[arg-type]


def make_node(who: str, make: Callable[[], AnyNode]) -> Optional[AnyNode]:
    """
    Make a node, or say why there is none.

    :param who: says it: the name of the program and, of several nodes, which one.
    :param make: may raise what a parameter that is not usable raises.
    """
    from rclpy.exceptions import ParameterException

    try:
        return make()
    except (ParameterException, ValueError) as error:
        fail(who, f'parameters are not usable: {error}')
    except RuntimeError as error:  # of rcl: keys of SROS 2 that are missing, for example
        fail(who, f'ROS lets no node start: {" ".join(str(error).split())}'
             f'{advise_on_security(os.environ)}')
    gc.collect()  # others see a node that was half made for as long as its cycles are there
    return None


def run_nodes(makers: Mapping[str, Callable[[], AnyNode]],
              start: Callable[[AnyNode, Spinner], bool],
              finish: Callable[[AnyNode], int] = lambda node: 0,
              cancel: Callable[[], None] = lambda: None) -> int:
    """
    Make nodes and let them work until a signal, several in a thread each.

    So a service of one that takes long keeps no other from its own. A node that cannot be made or
    started does not end the others; one that cannot be started stays, for whoever mends it.

    :param makers: arguments of :func:`make_node`.
    :param start: begins a node's work, which goes on while it is spun; False if it cannot.
    :param finish: called when that is over; returns the exit code.
    :param cancel: called by another thread at a signal, before the spinners are stopped.
    :returns: exit code, 1 if no node could be made and started.
    """
    from mobilenetv2_ros.node.executor import Spinner

    made = [make_node(who, make) for who, make in makers.items()]
    nodes = [node for node in made if node is not None]
    spinners = [Spinner(node) for node in nodes]
    failed = [who for who, node in zip(makers, made) if node is None]
    codes: List[int] = []

    def work(node: AnyNode, spinner: Spinner) -> None:
        code = 1  # unless it ends as it should
        try:
            with _working(node, spinner):
                if not start(node, spinner) and not spinner.is_stopped:
                    failed.append(node.get_fully_qualified_name())
                    if len(failed) == len(makers):
                        _stop_all(spinners)
                _collect_garbage_from_now_on()
                spinner.spin()
                code = finish(node)
        finally:
            codes.append(code)

    if nodes:
        # What waits for signals outlives the nodes. If it knew them, rclpy's part of them would
        # too, and the middleware would leave its shared memory behind.
        call_on_stop_signal(partial(
            _stop, [node.get_logger() for node in nodes], cancel, spinners))
        _prepare_logging()
        _run_side_by_side(work, nodes, spinners)
    return max(codes, default=1) if len(failed) < len(makers) else 1


@contextmanager
def _working(node: AnyNode, spinner: Spinner) -> Iterator[None]:
    """Destroy a node in the end, whatever comes in between."""
    try:
        yield
    finally:
        gc.unfreeze()  # what is left in cycles has to give back what it holds
        spinner.close()
        node.destroy_node()


def _collect_garbage_from_now_on() -> None:
    """Pass over what is there already, and stays: that would take 10 ms amid the images."""
    gc.freeze()
    gc.enable()


def _stop(loggers: Iterable[Any], cancel: Callable[[], None], spinners: Iterable[Spinner],
          reason: str) -> None:
    for logger in loggers:
        logger.info(f'{reason}: stopping')
    cancel()
    _stop_all(spinners)


def _stop_all(spinners: Iterable[Spinner]) -> None:
    for spinner in spinners:
        spinner.stop()


def _prepare_logging() -> None:
    """
    Let the first line of the log not wait for what can be done while an engine tries its model.

    rclpy asks inspect where a line comes from, and the first time inspect looks up the files of
    all modules, which takes 20 ms.
    """
    import inspect

    with suppress(RuntimeError):  # there are no more threads; then that line waits
        threading.Thread(target=lambda: inspect.getframeinfo(sys._getframe())).start()


def _run_side_by_side(work: Callable[[AnyNode, Spinner], None], nodes: List[AnyNode],
                      spinners: List[Spinner]) -> None:
    """Have each node worked with, a single one by the calling thread, until all have ended."""
    if len(nodes) == 1:
        work(nodes[0], spinners[0])
        return
    threads = [
        threading.Thread(target=work, args=pair, name=pair[0].get_fully_qualified_name())
        for pair in zip(nodes, spinners)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def fail(name: str, sentence: str) -> int:
    """Say why the program ends, and return its exit code."""
    print(f'{name}: {sentence}', file=sys.stderr)
    return 1
