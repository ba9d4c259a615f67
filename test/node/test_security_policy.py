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

"""The policy in config/security/ allows what the node does and nothing else."""

from __future__ import annotations

from contextlib import closing
import importlib.util
from pathlib import Path
from typing import Any, Set, Tuple
from xml.etree import ElementTree

import psutil
import pytest
from support.engines import needs_litert, needs_onnx
from support.fixture_types import TinyModel
from support.node_process import CHECKOUT, NodeStarter
from support.ros_peer import Peer

FOLDER = CHECKOUT / 'config' / 'security'
IMAGES = {'raw': '/image_raw', 'compressed': '/image_raw/compressed'}
CLOCK = '/clock'
POLICIES = {'mobilenetv2': FOLDER / 'policy.xml',
            'image_source': FOLDER / 'image_source_policy.xml'}
"""By the name of the node."""


def allowed(node: str, kind: str, direction: str) -> Set[str]:
    """Return the full names that a policy allows."""
    profile, = ElementTree.parse(POLICIES[node]).iter('profile')
    assert (profile.get('node'), profile.get('ns')) == (node, '/')
    lists = [one for one in profile.iter(kind) if one.get(direction) == 'ALLOW']
    return {resolve(node, str(entry.text)) for one in lists for entry in one}


def resolve(node: str, name: str) -> str:
    """Resolve a name as SROS 2 does, for a node without a namespace."""
    return name.replace('~', f'/{node}') if name[0] in '~/' else f'/{name}'


def names(listed: Any) -> Set[str]:
    """Return the names out of names with types."""
    return {name for name, _ in listed}


@pytest.mark.parametrize('use_sim_time', [False, True])
@pytest.mark.parametrize('transport, other', [('raw', 'compressed'), ('compressed', 'raw')])
def test_the_node_has_what_the_policy_allows(
        start_node: NodeStarter, tiny_model: TinyModel, transport: str, other: str,
        use_sim_time: bool) -> None:
    start_node(parameters={
        **tiny_model.parameters, 'image_transport': transport,
        'use_sim_time': use_sim_time}).wait_until_active()
    unused = {IMAGES[other], '/hbmem_img'} | (set() if use_sim_time else {CLOCK})
    published = allowed('mobilenetv2', 'topics', 'publish')
    if not importlib.util.find_spec('ai_msgs'):
        published.remove('/mobilenetv2/targets')
    check_names(start_node.domain, 'mobilenetv2', published,
                allowed('mobilenetv2', 'topics', 'subscribe') - unused)


@pytest.mark.parametrize('transport, other', [('raw', 'compressed'), ('compressed', 'raw')])
def test_image_source_has_what_its_policy_allows(
        start_node: NodeStarter, transport: str, other: str) -> None:
    source = start_node.run('-m', 'mobilenetv2_ros.tools.image_source', '--ros-args', '-p',
                            f'image_transport:={transport}')
    source.wait_for_line('publishing')
    check_names(start_node.domain, 'image_source',
                allowed('image_source', 'topics', 'publish') - {IMAGES[other]}, set())


def check_names(domain: int, name: str, published: Set[str], subscribed: Set[str]) -> None:
    """
    Compare what a node has with what it may have, nothing more and nothing less.

    To be called when the node has all of it.
    """
    node = name, '/'
    services = allowed(name, 'services', 'reply')
    if not importlib.util.find_spec('rclpy.type_description_service'):  # Humble
        services.remove(f'/{name}/get_type_description')
    with closing(Peer(domain)) as peer:
        graph = peer.node
        for find, expected in (
                (graph.get_publisher_names_and_types_by_node, published),
                (graph.get_subscriber_names_and_types_by_node, subscribed),
                (graph.get_service_names_and_types_by_node, services),
                (graph.get_client_names_and_types_by_node, set())):
            peer.wait_until(
                lambda: node in graph.get_node_names_and_namespaces()
                and names(find(*node)) >= expected,
                lambda: describe_lack(graph, find, node, expected))
            assert names(find(*node)) == expected


def describe_lack(graph: Any, find: Any, node: Tuple[str, str], expected: Set[str]) -> str:
    """Tell what a node is waited for in vain to have."""
    known = graph.get_node_names_and_namespaces()
    if node not in known:
        return f'no node {node} but {known}; its topics: {graph.get_topic_names_and_types()}'
    return f'{node} has none of {sorted(expected - names(find(*node)))}'


@pytest.mark.parametrize('policy', POLICIES.values(), ids=POLICIES)
def test_the_policy_allows_no_more_than_it_lists(policy: Path) -> None:
    attributes = {(element.tag, *item) for element in ElementTree.parse(policy).iter()
                  for item in element.attrib.items() if element.tag in ('topics', 'services')}
    assert attributes == {('topics', 'subscribe', 'ALLOW'), ('topics', 'publish', 'ALLOW'),
                          ('services', 'reply', 'ALLOW')}
    text = policy.read_text(encoding='utf-8')
    assert '*' not in text and '?' not in text.split('?>', 1)[1]  # no patterns


def test_enforced_without_keys_it_does_not_start(
        start_node: NodeStarter, tmp_path: Path) -> None:
    """Neither with a Fast DDS that has security nor with one that was built without."""
    enclave = tmp_path / 'keys' / 'enclaves' / 'mobilenetv2'
    enclave.mkdir(parents=True)
    for name in ('identity_ca.cert.pem', 'cert.pem', 'key.pem', 'permissions_ca.cert.pem',
                 'governance.p7s', 'permissions.p7s'):
        (enclave / name).write_text('no key')
    node = start_node(
        '--enclave', '/mobilenetv2', ROS_SECURITY_ENABLE='true', ROS_SECURITY_STRATEGY='Enforce',
        ROS_SECURITY_KEYSTORE=str(tmp_path / 'keys'))
    node.wait_for_line('^classifier_node: ')
    assert node.wait() == 1
    assert 'Traceback' not in node.text


@pytest.mark.parametrize('engine', [
    pytest.param('litert', marks=needs_litert), pytest.param('onnx', marks=needs_onnx)])
def test_the_node_writes_nothing_but_its_log(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    """Shared memory of the middleware aside; onnxruntime would keep what it reports."""
    monkeypatch.delenv('ORT_DISABLE_TELEMETRY', raising=False)
    home = tmp_path / 'home'
    home.mkdir()
    model = tiny_model.parameters if engine == 'onnx' else {}  # else the bundled one
    node = start_node(parameters=model, HOME=str(home), TMPDIR=str(home))
    node.wait_for_line(f' on {engine} ')
    node.wait_until_active()
    peer.connect()
    written = [Path(one.path) for one in psutil.Process(node.usage.pid).open_files()
               if one.mode != 'r']
    assert all(path.is_relative_to('/dev/shm') or path.is_relative_to(tmp_path / 'log')
               for path in written), written
    assert not list(home.rglob('*')), 'an engine keeps something'
