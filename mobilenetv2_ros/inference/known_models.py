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
Models that this package knows by their bytes.

One row for each: where it is to be had, and by which checksum a file is known to be it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Dict, NamedTuple, Optional

from mobilenetv2_ros.resources import DOWNLOADED_CPU_MODEL, VENDOR_MODEL


class PublishedSpeed(NamedTuple):
    """
    What a publisher measured.

    :param latency_ms: of one image from one thread.
    :param images_per_s: from as many threads as it takes.
    """

    latency_ms: float
    images_per_s: float


class KnownModel(NamedTuple):
    """
    A model.

    :param file_name: that its publisher gave it.
    :param url: of the file itself.
    :param sha256: 64 digits 0-9, a-f.
    :param max_bytes: a larger file is not this one.
    :param published: its speed as the publisher measured it; nothing for the CPU.
    :param resize_mode: with which its publisher evaluates it; empty where that is not known.
    """

    file_name: str
    url: str
    sha256: str
    max_bytes: int
    published: Optional[PublishedSpeed] = None
    resize_mode: str = ''


_VENDOR_REBUILDS = (
    'https://rdk-model-zoo.oss-cn-beijing.aliyuncs.com/models/mobilenetv2/mobilenetv2/cls/')

KNOWN_MODELS: Dict[str, KnownModel] = {
    'board': KnownModel(
        VENDOR_MODEL.name,
        'https://archive.d-robotics.cc/downloads/rdk_model_zoo/rdk_x5/'
        'mobilenetv2_224x224_nv12.bin',
        '3e2b7c46fc3b3a6d07a5326c0b9632fe98fe5ca38835346ab2eedc22ed427158', 3_872_798,
        PublishedSpeed(1.42, 1152)),
    'board-100': KnownModel(
        'mobilenetv2_100_bayese_224x224_nv12.bin',
        f'{_VENDOR_REBUILDS}100-224/x5/mobilenetv2_100_bayese_224x224_nv12.bin',
        'e044c3acb08403f2a3aee6342f4f131b798496773ebc7e4ae34a623ecff3e242', 16_000_000,
        PublishedSpeed(1.039, 1347), 'crop'),
    'board-140': KnownModel(
        'mobilenetv2_140_bayese_224x224_nv12.bin',
        f'{_VENDOR_REBUILDS}140-224/x5/mobilenetv2_140_bayese_224x224_nv12.bin',
        'bf2a8920efbd7382e0fd63841d6217f9d0c311ea96cbaeee737d07dfe62e5aa9', 16_000_000,
        PublishedSpeed(1.642, 742), 'crop'),
    # Of the publisher's files that hold this model the one that is not packed.
    'cpu': KnownModel(
        DOWNLOADED_CPU_MODEL,
        'https://raw.githubusercontent.com/google-coral/test_data/'
        '104342d2d3480b3e66203073dac24f4e2dbb4c41/mobilenet_v2_1.0_224_quant.tflite',
        '7aad0c74c5e3c06e5eb3c827e13304fdd68a83da6087d92ee169c24ff9fd4776', 3_610_798),
}
"""By the names that ``download_model`` has for them."""


def sha256_of(path: Path) -> str:
    """
    Compute the checksum of a file.

    :raises OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def find_known(path: Path) -> Optional[KnownModel]:
    """
    Look a file up by its checksum.

    :returns: None if it is none of these or cannot be read.
    """
    try:
        if path.stat().st_size > max(known.max_bytes for known in KNOWN_MODELS.values()):
            return None
        checksum = sha256_of(path)
    except OSError:
        return None
    found = (known for known in KNOWN_MODELS.values() if known.sha256 == checksum)
    return next(found, None)
