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
The package on Humble, which cannot be installed here: rclpy without what is newer than it.

:data:`NAMES` and :data:`CALLS` list what the package uses of rclpy and Humble has: compared by
eye with rclpy 3.3.15. A test finds everything that the package uses and that is not listed; who
adds a use looks it up in rclpy's branch humble first.
"""

from __future__ import annotations

import ast
from pathlib import Path
import textwrap
from typing import Any, Dict, Iterator, List, Set, Tuple

import numpy as np
import pytest
import rclpy
from support.node_process import CHECKOUT, NodeStarter, RELIABLE
from support.ros_peer import make_image, Peer

NAMES: Dict[str, Set[str]] = {
    'rclpy': {
        'create_node', 'get_rmw_implementation_identifier', 'init', 'ok', 'spin', 'try_shutdown'},
    'rclpy.clock': {'Clock', 'ClockType'},
    'rclpy.context': {'Context'},
    'rclpy.exceptions': {'InvalidTopicNameException', 'ParameterException'},
    'rclpy.executors': {'Executor', 'ExternalShutdownException', 'SingleThreadedExecutor'},
    'rclpy.lifecycle': {'LifecycleNode', 'LifecycleState', 'TransitionCallbackReturn'},
    'rclpy.node': {'Node'},
    'rclpy.parameter': {'Parameter'},
    'rclpy.publisher': {'Publisher'},
    'rclpy.qos': {
        'DurabilityPolicy', 'HistoryPolicy', 'qos_check_compatible', 'qos_profile_sensor_data',
        'QoSCompatibility', 'QoSPolicyKind', 'QoSProfile', 'ReliabilityPolicy'},
    'rclpy.qos_event': {'SubscriptionEventCallbacks'},
    'rclpy.qos_overriding_options': {'InvalidQosOverridesError', 'QoSOverridingOptions'},
    'rclpy.serialization': {'deserialize_message', 'serialize_message'},
    'rclpy.signals': {'SignalHandlerOptions'},
    'rclpy.subscription': {'Subscription'},
    'rclpy.task': {'Future'},
    'rclpy.type_support': {'check_for_type_support'},
    'rclpy.utilities': {'get_rmw_implementation_identifier', 'remove_ros_args'},
    'rclpy.validate_full_topic_name': {'validate_full_topic_name'}}
"""Names by module."""

NEWER = {('rclpy.event_handler', 'SubscriptionEventCallbacks'),
         ('rclpy.experimental', 'EventsExecutor')}
"""What Humble lacks; allowed only where ImportError is caught."""

CALLS: Dict[str, Tuple[int, Set[str]]] = {
    # rclpy
    'check_for_type_support': (1, set()),
    'create_node': (1, {'context', 'enable_rosout', 'namespace', 'start_parameter_services'}),
    'deserialize_message': (2, set()),
    'get_rmw_implementation_identifier': (0, set()),
    'init': (0, {'args', 'context', 'signal_handler_options'}),
    'ok': (0, set()),
    'remove_ros_args': (1, set()),
    'serialize_message': (1, set()),
    'spin': (1, set()),
    'try_shutdown': (0, set()),
    'validate_full_topic_name': (1, set()),
    # Node
    'add_on_set_parameters_callback': (1, set()),
    'cancel': (0, set()),
    'count_publishers': (1, set()),
    'count_subscribers': (1, set()),
    'create_publisher': (3, {'qos_overriding_options'}),
    'create_subscription': (
        4, {'event_callbacks', 'qos_overriding_options', 'raw'}),
    'create_timer': (4, {'callback_group', 'clock'}),
    'declare_parameter': (4, {'ignore_override'}),
    'destroy_node': (0, set()),
    'destroy_publisher': (1, set()),
    'destroy_subscription': (1, set()),
    'destroy_timer': (1, set()),
    'get_clock': (0, set()),
    'get_fully_qualified_name': (0, set()),
    'get_logger': (0, set()),
    'get_namespace': (0, set()),
    'get_publishers_info_by_topic': (2, set()),
    'get_topic_names_and_types': (0, set()),
    'resolve_topic_name': (1, set()),
    'undeclare_parameter': (1, set()),
    # LifecycleNode
    'on_activate': (1, set()),
    'on_cleanup': (1, set()),
    'on_configure': (1, set()),
    'on_deactivate': (1, set()),
    'on_error': (1, set()),
    'on_shutdown': (1, set()),
    'trigger_activate': (0, set()),
    'trigger_configure': (0, set()),
    # Executor
    'add_node': (1, set()),
    'create_task': (1, set()),
    'shutdown': (1, {'context'}),
    'spin_once': (0, {'timeout_sec'}),
    'spin_until_future_complete': (2, set()),
    # Publisher, Timer, Future, Clock
    'now': (0, set()),
    'done': (0, set()),
    'get_subscription_count': (0, set()),
    'publish': (1, set()),
    'set_result': (1, set()),
    # rclpy's own C++ objects
    'take_message': (2, set()),
    'wait': (1, set()),
    # Classes
    'Clock': (0, {'clock_type'}),
    'Context': (0, set()),
    'EventsExecutor': (0, set()),  # of those that Humble lacks
    'Future': (0, {'executor'}),
    'Node': (1, {'enable_rosout', 'start_parameter_services'}),
    'QoSOverridingOptions': (1, {'callback'}),
    'QoSProfile': (0, {'depth', 'durability', 'history', 'reliability'}),
    'SingleThreadedExecutor': (0, {'context'}),
    'SubscriptionEventCallbacks': (0, {'use_default_callbacks'}),
    'qos_check_compatible': (2, set())}
"""Functions and methods: how many positional arguments at most, and keywords."""

OWN = {'declare_parameters', 'self._outputs.destroy', 'self._outputs.publish', 'stack.callback'}
"""What has a name of rclpy's but is the package's own."""

SOURCES = sorted((CHECKOUT / 'mobilenetv2_ros').rglob('*.py'))


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text('utf-8'), str(path))


def find_imports(tree: ast.Module) -> Iterator[Tuple[str, str, bool]]:
    """Find what is imported from rclpy, and whether an ImportError of that is caught."""
    guarded = {
        id(node) for attempt in ast.walk(tree) if isinstance(attempt, ast.Try)
        if any(isinstance(handler.type, ast.Name) and handler.type.id == 'ImportError'
               for handler in attempt.handlers)
        for statement in attempt.body for node in ast.walk(statement)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or '').split('.')[0] == 'rclpy':
            for alias in node.names:
                yield str(node.module), alias.name, id(node) in guarded


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: path.stem)
def test_humble_has_what_is_imported(path: Path) -> None:
    for module, name, is_caught in find_imports(parse(path)):
        if (module, name) in NEWER:
            assert is_caught, f'{module}.{name} is newer than Humble'
        else:
            assert name in NAMES.get(module, set()), f'{module}.{name}: look it up in Humble'


def names_of_rclpy() -> Set[str]:
    """Return the names of functions and methods that rclpy has here."""
    from rclpy.clock import Clock
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.impl.implementation_singleton import rclpy_implementation
    from rclpy.lifecycle import LifecycleNode
    from rclpy.publisher import Publisher
    from rclpy.subscription import Subscription
    from rclpy.task import Future
    owners: List[Any] = [
        Clock, Future, LifecycleNode, Publisher, rclpy, rclpy_implementation,
        rclpy_implementation.GuardCondition, rclpy_implementation.Subscription,
        rclpy_implementation.WaitSet, SingleThreadedExecutor, Subscription]
    names = {name for owner in owners for name in dir(owner) if not name.startswith('_')}
    imported = {name for names in NAMES.values() for name in names}
    return names | imported


def find_calls(tree: ast.Module) -> Iterator[Tuple[str, ast.Call]]:
    """Find the calls of names and of attributes, with the last part of the name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node.func.attr, node
            elif isinstance(node.func, ast.Name):
                yield node.func.id, node


def uses_rclpy(tree: ast.Module) -> bool:
    """Tell whether a module imports rclpy or is handed a node."""
    return any(find_imports(tree)) or any(
        isinstance(node, ast.Import) and any(alias.name == 'rclpy' for alias in node.names)
        for node in ast.walk(tree)) or 'declare_parameter' in {
            name for name, _ in find_calls(tree)}


@pytest.mark.parametrize('path', [
    path for path in SOURCES if uses_rclpy(parse(path))], ids=lambda path: path.stem)
def test_humble_takes_the_arguments_of_every_call(path: Path) -> None:
    known = names_of_rclpy()
    for name, call in find_calls(parse(path)):
        if name not in known or ast.unparse(call.func) in OWN:
            continue
        where = f'{path.name}:{call.lineno}: {ast.unparse(call)[:80]}'
        assert name in CALLS, f'{where}: look it up in Humble'
        positional, keywords = CALLS[name]
        assert len(call.args) <= positional, where
        assert {keyword.arg for keyword in call.keywords} <= keywords, where


def test_the_tables_would_notice() -> None:
    """The checks above find what they are meant to find."""
    tree = ast.parse(textwrap.dedent("""\
        from rclpy.experimental import EventsExecutor
        node.create_timer(1.0, tick, autostart=False)
        node.create_rate(1.0)
        """))
    assert list(find_imports(tree)) == [('rclpy.experimental', 'EventsExecutor', False)]
    calls = {name: {keyword.arg for keyword in call.keywords} for name, call in find_calls(tree)}
    assert calls['create_timer'] - CALLS['create_timer'][1] == {'autostart'}
    assert 'create_rate' in names_of_rclpy() - set(CALLS)


AS_ON_HUMBLE = """\
import sys

from mobilenetv2_ros.stop_signals import hold_stop_signals
hold_stop_signals()

import rclpy.executors, rclpy.lifecycle  # these need it themselves
import types

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:
    pass  # this is Humble
else:
    old = types.ModuleType('rclpy.qos_event')
    old.SubscriptionEventCallbacks = SubscriptionEventCallbacks
    sys.modules.update({
        'rclpy.event_handler': None, 'rclpy.experimental': None, 'rclpy.qos_event': old})

from mobilenetv2_ros.node.main import main
code = main()
for name in 'rclpy.event_handler', 'rclpy.experimental':
    assert sys.modules.get(name) is None
sys.exit(code)
"""


def test_it_classifies_without_what_is_newer(
        start_node: NodeStarter, peer: Peer, tmp_path: Path) -> None:
    """Neither rclpy.event_handler nor rclpy.experimental; QoS events come as they did."""
    program = tmp_path / 'as_on_humble.py'
    program.write_text(AS_ON_HUMBLE)
    node = start_node(program=(str(program),), parameters=RELIABLE)
    peer.connect()
    for _ in range(10):
        peer.classify(make_image(np.full((64, 64, 3), 99, np.uint8)))
    assert len(peer.results) == 10
    blind = Peer(start_node.domain)
    try:
        from rclpy.qos import QoSProfile, ReliabilityPolicy
        blind.open_camera(qos=QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
        node.wait_for_line('no images from')
    finally:
        blind.close()
    peer.change_states('deactivate', 'activate')
    node.stop()
