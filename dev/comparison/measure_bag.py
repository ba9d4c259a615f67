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
How fast ``classify_bag`` goes through a recording, beside the engine alone.

Images of 640x480, as nv12 and as JPEG, are recorded to a temporary folder; program and engine take
turns, and the medians are printed.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from functools import partial
from pathlib import Path
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, Callable, Dict

import cv2
from mobilenetv2_ros.inference.backends.registry import open_backend
from mobilenetv2_ros.inference.loaded_model import choose_model
from mobilenetv2_ros.process_setup import set_up_process
from mobilenetv2_ros.tools.benchmark import backend, convert
from mobilenetv2_ros.tools.model_options import parse_count
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

SIZE = (640, 480)
TYPES = get_typestore(Stores.ROS2_HUMBLE)


def main() -> None:
    """Record, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', default='', metavar='PATH')
    count = partial(parse_count, most=100_000)
    parser.add_argument('--threads', default=4, type=partial(parse_count, most=16), metavar='N')
    parser.add_argument('--images', default=1000, type=count, metavar='N')
    parser.add_argument('--rounds', default=3, type=count, metavar='N')
    options = parser.parse_args()
    model = choose_model(options.model)
    with tempfile.TemporaryDirectory() as folder:
        print(f'{options.images} images, model {model.name}, {options.threads} threads')
        for form, make in (('nv12', make_raw), ('jpeg', make_jpeg)):
            bag = record(Path(folder) / form, make, options.images)
            ours, alone = [], []
            for _ in range(options.rounds):
                ours.append(run_program(bag, model, options))
                alone.append(run_engine(model, options))
            rate, most = statistics.median(ours), statistics.median(alone)
            print(f'{form}: {rate:.0f} images/s, engine alone {most:.0f}, ratio {rate / most:.2f}')


def run_program(bag: Path, model: Path, options: argparse.Namespace) -> float:
    """Return images/s of the program, as it says itself; to start takes it longer."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, '-m', 'mobilenetv2_ros.tools.classify_bag', str(bag), '--model',
             str(model), '--threads', str(options.threads), '--output', f'{folder}/results'],
            stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.rsplit(' ', 2)[-2])


def run_engine(model: Path, options: argparse.Namespace) -> float:
    """Return images/s of the engine with images that are there already."""
    set_up_process()
    with closing(open_backend(model, session_count=options.threads).backend) as opened:
        measured = backend.measure(opened, options.threads, 5.0, threading.Event())
    fps: float = measured.to_json()['fps']
    return fps


def record(path: Path, make: Callable[[Any], Any], count: int) -> Path:
    """Write a recording of images that are all the same; returns its folder."""
    time_type, header_type = (
        TYPES.types[name] for name in ('builtin_interfaces/msg/Time', 'std_msgs/msg/Header'))
    now = time.time_ns()
    with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        message = make(header_type(stamp=time_type(sec=1, nanosec=0), frame_id='camera'))
        kind = message.__msgtype__
        data = bytes(TYPES.serialize_cdr(message, kind))
        connection = writer.add_connection('/image', kind, typestore=TYPES)
        for number in range(count):
            writer.write(connection, now + number, data)
    return path


def make_raw(header: Any) -> Any:
    """Make an nv12 image."""
    view = convert.make_image('nv12', *SIZE)
    fields: Dict[str, Any] = {
        'height': view.height, 'width': view.width, 'encoding': 'nv12', 'is_bigendian': 0,
        'step': view.step, 'data': view.data}
    return TYPES.types['sensor_msgs/msg/Image'](header=header, **fields)


def make_jpeg(header: Any) -> Any:
    """Make a JPEG image."""
    view = convert.make_image('bgr8', *SIZE)
    _, data = cv2.imencode('.jpg', view.data.reshape(view.height, view.width, 3))
    return TYPES.types['sensor_msgs/msg/CompressedImage'](
        header=header, format='jpeg', data=data.reshape(-1))


if __name__ == '__main__':
    main()
