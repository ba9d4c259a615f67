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
import stat
from typing import Dict, List

VENDOR_MODEL = Path('/opt/hobot/model/x5/basic/mobilenetv2_224x224_nv12.bin')
"""Where RDK OS has the vendor's model."""

DOWNLOADED_CPU_MODEL = 'mobilenet_v2_1.0_224_quant.tflite'

PROFILE_VARIABLES = 'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'
"""Fast DDS 3 (Kilted) renamed it and complains about the old name."""

SOURCE_PROFILE, CLASSIFIER_PROFILE = 'fastdds_large_images.xml', 'fastdds_classifier.xml'
"""Profiles of Fast DDS for large images, below config/."""

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
    candidates += [download_folder() / DOWNLOADED_CPU_MODEL]
    # Unlike Path.is_file() this does not raise for a folder that this user may not enter.
    found = (path for path in candidates if os.path.isfile(path))
    return next(found, share_folder() / BUNDLED_MODEL)


def expand_user(path: str) -> Path:
    """Put the user's home in place of ``~``; one of an unknown user stays and will not exist."""
    return Path(os.path.expanduser(path))


def read_text_file(path: Path, max_bytes: int) -> str:
    """
    Read a small file of the user's; a device or a pipe may never end.

    :param max_bytes: a larger file is refused.
    :raises OSError: it cannot be read.
    :raises ValueError: it is no file, larger, or not UTF-8.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError('it is no file')
    if status.st_size > max_bytes:
        raise ValueError(f'it has more than {max_bytes} bytes')
    return path.read_text(encoding='utf-8-sig')  # some editors begin a file with a mark


def shared_memory_environment() -> Dict[str, str]:
    """
    Return the environment variables with which the middleware lends messages.

    The same as TROS's camera launch files set. What the user has set stays.

    :returns: those that are not set yet.
    """
    wanted = {'RMW_IMPLEMENTATION': 'rmw_fastrtps_cpp', 'RMW_FASTRTPS_USE_QOS_FROM_XML': '1',
              'ROS_DISABLE_LOANED_MESSAGES': '0', **large_image_environment(CLASSIFIER_PROFILE)}
    return {name: value for name, value in wanted.items() if name not in os.environ}


def large_image_environment(profile: str = SOURCE_PROFILE) -> Dict[str, str]:
    """
    Return the environment variable that makes Fast DDS fit for large images.

    :param profile: :data:`SOURCE_PROFILE`, or :data:`CLASSIFIER_PROFILE` for who only takes them.
    :returns: nothing if the user has chosen a profile already.
    """
    is_fast_dds_2 = os.environ.get('ROS_DISTRO') in ('humble', 'jazzy')
    name = PROFILE_VARIABLES[0 if is_fast_dds_2 else 1]
    if name in os.environ:
        return {}
    return {name: str(share_folder() / 'config' / profile)}
