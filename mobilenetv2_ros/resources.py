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

"""Where the package's own files are, and which model is used when nobody names one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List

VENDOR_MODEL = Path('/opt/hobot/model/x5/basic/mobilenetv2_224x224_nv12.bin')
"""Where RDK OS has the vendor's model."""

BUNDLED_MODEL = 'models/efficientnet_lite0_int8.tflite'
BUNDLED_LABELS = 'config/imagenet_labels.txt'


def share_folder() -> Path:
    """
    Find the folder with config/, models/ and photos/.

    :returns: the package's share folder where it is installed, else the source tree.
    """
    source = Path(__file__).resolve().parent.parent
    if (source / BUNDLED_LABELS).is_file():
        return source
    from ament_index_python.packages import get_package_share_directory
    return Path(get_package_share_directory('mobilenetv2_ros'))


def download_folder() -> Path:
    """Find the folder that models are downloaded to; not absolute for a user without a home."""
    base = os.environ.get('XDG_DATA_HOME') or os.path.expanduser('~/.local/share')
    return Path(base) / 'mobilenetv2_ros'


def find_labels(labels_path: str) -> Path:
    """
    Choose the label file.

    :param labels_path: as the user gave it; empty for ImageNet's, which comes with the package.
    """
    return expand_user(labels_path) if labels_path else share_folder() / BUNDLED_LABELS


def find_model(model_path: str, has_bpu: bool) -> Path:
    """
    Choose the model file.

    :param model_path: as the user gave it; empty to look for one: on a board the one that was
        downloaded, then the vendor's; elsewhere a ``.tflite`` that was downloaded, then the one
        that comes with the package.
    :param has_bpu: whether ``.bin`` models can be opened on this machine.
    """
    if model_path:
        return expand_user(model_path)
    candidates: List[Path] = []
    if has_bpu:
        candidates += [download_folder() / VENDOR_MODEL.name, VENDOR_MODEL]
    candidates += [download_folder() / 'mobilenet_v2_1.0_224_quant.tflite']
    # Unlike Path.is_file() this does not raise for a folder that this user may not enter.
    found = (path for path in candidates if os.path.isfile(path))
    return next(found, share_folder() / BUNDLED_MODEL)


def expand_user(path: str) -> Path:
    """Put the user's home in place of ``~``; one of an unknown user stays and will not exist."""
    return Path(os.path.expanduser(path))


def large_image_environment() -> Dict[str, str]:
    """
    Return the environment variable that makes Fast DDS fit for large images.

    :returns: nothing if the user has chosen a profile already.
    """
    # Fast DDS 3 renamed it and complains about the old name.
    is_fast_dds_2 = os.environ.get('ROS_DISTRO') in ('humble', 'jazzy')
    name = f'FAST{"RTPS" if is_fast_dds_2 else "DDS"}_DEFAULT_PROFILES_FILE'
    if name in os.environ:
        return {}
    return {name: str(share_folder() / 'config' / 'fastdds_large_images.xml')}
