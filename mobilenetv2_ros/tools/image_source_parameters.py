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

"""The one table of the parameters of ``image_source``, known without ROS."""

from __future__ import annotations

from typing import Tuple

from mobilenetv2_ros.node.parameters import AT_START, ParameterRow
from mobilenetv2_ros.tools.encode import ENCODERS

SOURCE_PARAMETERS: Tuple[ParameterRow, ...] = (
    ParameterRow(
        'source', '',
        "An image, several separated by commas, a folder, a video file, a stream's URL, or a "
        "camera (number or device). Empty: the package's photos.", changes=AT_START),
    ParameterRow('rate', 1.0, 'Images per second.', limits=(0.01, 1000.0), changes=AT_START),
    ParameterRow(
        'encoding', 'bgr8', 'Pixel format of raw images.', choices=tuple(ENCODERS),
        changes=AT_START),
    ParameterRow(
        'size', '', 'WIDTHxHEIGHT to resize images to. Empty: original size.', changes=AT_START),
    ParameterRow(
        'frame_id', 'camera', 'frame_id of the published headers.', changes=AT_START),
    ParameterRow(
        'loop', True, 'Start over after the last image. false: exit with code 0.',
        changes=AT_START),
    ParameterRow(
        'image_transport', 'raw',
        'raw: sensor_msgs/Image on image_raw. compressed: sensor_msgs/CompressedImage on '
        'image_raw/compressed.', choices=('raw', 'compressed'), changes=AT_START),
    ParameterRow(
        'compressed_format', 'jpeg', 'How images are compressed.', choices=('jpeg', 'png'),
        changes=AT_START),
)
