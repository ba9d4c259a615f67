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
Recordings of ROS 2 (rosbag2, SQLite and MCAP), read and written by the library rosbags.

It needs no ROS installation, and reads what ``ros2 bag record`` writes, compressed files included.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, TYPE_CHECKING

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.rosbag2 import Reader, Writer

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'

_RESULT = 'vision_msgs/msg/Classification'
_DEFINITIONS = {
    _RESULT: 'std_msgs/Header header\nvision_msgs/ObjectHypothesis[] results\n',
    'vision_msgs/msg/ObjectHypothesis': 'string class_id\nfloat64 score\n'}

_VERSION = 8
"""Of the metadata: the newest that the rosbag2 of Humble reads."""


class BagError(ValueError):
    """A recording cannot be read or written; the text says why and what to do."""


class Recorded(NamedTuple):
    """
    A message of a recording.

    :param time: when it was recorded, in nanoseconds.
    :param data: the serialized message.
    """

    topic: str
    type_name: str
    time: int
    data: bytes


class ImageBag:
    """The images of a recording."""

    def __init__(self, path: Path, reader: Reader, topics: Sequence[str]) -> None:
        """
        Find the image topics.

        :param reader: open.
        :param topics: that are wanted; empty for all with images.
        :raises BagError: there are no images, or not on such a topic.
        """
        self._path = path
        self._reader = reader
        images = [one for one in reader.connections if one.msgtype in (IMAGE, COMPRESSED_IMAGE)]
        found = list(dict.fromkeys(one.topic for one in images))
        if not found:
            kinds = ', '.join(sorted({one.msgtype for one in reader.connections})) or 'nothing'
            raise BagError(f"bag '{path}' has no images; it has {kinds}")
        if unknown := [topic for topic in topics if topic not in found]:
            raise BagError(
                f"bag '{path}' has no images on '{unknown[0]}'; expected one of "
                f"{', '.join(found)}")
        self.topics: List[str] = list(topics) or found
        self._connections: List[Connection] = [
            one for one in images if one.topic in self.topics]
        self.count: int = sum(one.msgcount for one in self._connections)
        files = path.iterdir() if path.is_dir() else [path]
        self.is_mcap = any('.mcap' in file.suffixes for file in files)

    def read(self) -> Iterator[Recorded]:
        """
        Read one message after the other, in the order in which they were recorded.

        :raises BagError: what follows is damaged.
        """
        messages = self._reader.messages(self._connections) if self.count else iter(())
        while True:
            try:
                connection, time, data = next(messages)
            except StopIteration:
                return
            except Exception as error:  # noqa: B902, of SQLite, decompressors, parsers
                raise _describe(self._path, error) from None
            yield Recorded(connection.topic, connection.msgtype, time, data)


@contextmanager
def open_images(path: Path, topics: Sequence[str]) -> Iterator[ImageBag]:
    """
    Open a recording.

    :param path: its folder, or one of its files.
    :param topics: of the images that are wanted; empty for all.
    :raises BagError: it cannot be read, or has no such images.
    """
    rosbag2 = _import_rosbag2()
    if path.is_dir() and not (path / 'metadata.yaml').exists():
        raise BagError(
            f"bag '{path}' has no metadata.yaml, as when its recording was killed; name its .db3 "
            f"or .mcap file, or run: ros2 bag reindex '{path}'")
    try:
        reader = rosbag2.Reader(path)
        reader.open()
    except Exception as error:  # noqa: B902, of SQLite, YAML, parsers
        raise _describe(path, error) from None
    try:
        yield ImageBag(path, reader, topics)
    finally:
        reader.close()


class ResultBag:
    """A recording of results."""

    def __init__(self, writer: Writer) -> None:
        """Add nothing yet; ``writer`` is open."""
        from rosbags.typesys import get_types_from_msg, get_typestore, Stores

        self._writer = writer
        self._types = get_typestore(Stores.ROS2_HUMBLE)
        for name, text in _DEFINITIONS.items():
            self._types.register(get_types_from_msg(text, name))
        self._connections: Dict[str, Connection] = {}

    def write(self, topic: str, time: int, message: bytes) -> None:
        """
        Add a serialized ``vision_msgs/Classification``.

        :param time: in nanoseconds.
        """
        connection = self._connections.get(topic)
        if connection is None:
            connection = self._writer.add_connection(topic, _RESULT, typestore=self._types)
            self._connections[topic] = connection
        self._writer.write(connection, time, message)


@contextmanager
def create_results(path: Path, is_mcap: bool) -> Iterator[ResultBag]:
    """
    Create a recording, which must not exist yet.

    :raises BagError: it exists or cannot be written.
    """
    rosbag2 = _import_rosbag2()
    plugin = rosbag2.StoragePlugin.MCAP if is_mcap else rosbag2.StoragePlugin.SQLITE3
    try:
        writer = rosbag2.Writer(path, version=_VERSION, storage_plugin=plugin)
        writer.open()
    except rosbag2.WriterError as error:
        raise BagError(f"bag '{path}' cannot be written: {error}") from None
    try:
        yield ResultBag(writer)
    finally:
        writer.close()


def _import_rosbag2() -> Any:
    try:
        import rosbags.rosbag2
    except ImportError:
        raise BagError(
            'recordings need the Python package rosbags; install it with: python3 -m pip install '
            'rosbags') from None
    return rosbags.rosbag2


def _describe(path: Path, error: Exception) -> BagError:
    words = ' '.join(str(error).split()) or type(error).__name__
    return BagError(f"bag '{path}' cannot be read: {words}")
