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

import importlib.util
from pathlib import Path
from typing import Any, Set
from xml.etree import ElementTree

from conftest import TinyModel
from node_process import CHECKOUT, NodeStarter
import psutil
import pytest
pytest.importorskip('rclpy', reason='ROS is not installed')
from ros_peer import Peer  # noqa: E402, I100

POLICY = CHECKOUT / 'config' / 'security' / 'policy.xml'
INPUTS = {'raw': '/image_raw', 'compressed': '/image_raw/compressed'}
NODE = ('mobilenetv2', '/')


def allowed(kind: str, direction: str) -> Set[str]:
    """Return the full names that the policy allows."""
    profile, = ElementTree.parse(POLICY).iter('profile')
    assert (profile.get('node'), profile.get('ns')) == NODE
    lists = [one for one in profile.iter(kind) if one.get(direction) == 'ALLOW']
    return {resolve(str(entry.text)) for one in lists for entry in one}


def resolve(name: str) -> str:
    """Resolve a name as SROS 2 does, for a node without a namespace."""
    return name.replace('~', '/mobilenetv2') if name[0] in '~/' else f'/{name}'


def names(listed: Any) -> Set[str]:
    """Return the names out of names with types."""
    return {name for name, _ in listed}


@pytest.mark.parametrize('transport, other', [('raw', 'compressed'), ('compressed', 'raw')])
def test_the_node_has_what_the_policy_allows(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, transport: str,
        other: str) -> None:
    start_node(parameters={
        **tiny_model.parameters, 'image_transport': transport}).wait_until_active()
    peer.wait_until(lambda: NODE in peer.node.get_node_names_and_namespaces())
    published = allowed('topics', 'publish')
    peer.wait_until(
        lambda: names(peer.node.get_publisher_names_and_types_by_node(*NODE)) >= published,
        'the policy allows more to publish than the node has')
    assert names(peer.node.get_publisher_names_and_types_by_node(*NODE)) == published
    peer.wait_until(
        lambda: bool(names(peer.node.get_subscriber_names_and_types_by_node(*NODE))))
    assert names(peer.node.get_subscriber_names_and_types_by_node(*NODE)) == (
        allowed('topics', 'subscribe') - {INPUTS[other]})
    services = allowed('services', 'reply')
    if not importlib.util.find_spec('rclpy.type_description_service'):  # Humble
        services.remove('/mobilenetv2/get_type_description')
    peer.wait_until(
        lambda: names(peer.node.get_service_names_and_types_by_node(*NODE)) >= services,
        'the policy allows more services than the node has')
    assert names(peer.node.get_service_names_and_types_by_node(*NODE)) == services
    assert not names(peer.node.get_client_names_and_types_by_node(*NODE))


def test_the_policy_allows_no_more_than_it_lists() -> None:
    policy = ElementTree.parse(POLICY)
    attributes = {(element.tag, *item) for element in policy.iter()
                  for item in element.attrib.items() if element.tag in ('topics', 'services')}
    assert attributes == {('topics', 'subscribe', 'ALLOW'), ('topics', 'publish', 'ALLOW'),
                          ('services', 'reply', 'ALLOW')}
    text = POLICY.read_text(encoding='utf-8')
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


@pytest.mark.parametrize('engine', ['litert', 'onnx'])
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
