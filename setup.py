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

from glob import glob
import os

from setuptools import find_packages, setup

package_name = 'mobilenetv2_ros'


def installed(*patterns: str) -> list:
    """Return data_files entries that keep the folders of the source tree below share/."""
    folders: dict = {}
    for pattern in patterns:
        for path in sorted(filter(os.path.isfile, glob(pattern, recursive=True))):
            folders.setdefault(os.path.dirname(path), []).append(path)
    share = os.path.join('share', package_name)
    return [(os.path.join(share, folder), paths) for folder, paths in folders.items()]


setup(
    name=package_name,
    version='0.1.0',
    packages=find_packages(exclude=['test', 'test.*']),
    package_data={package_name: ['py.typed']},
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/' + package_name]),
        ('share/' + package_name, ['package.xml']),
        *installed('launch/*.launch.py', 'config/**/*', 'models/*', 'photos/*'),
    ],
    install_requires=['setuptools', 'numpy', 'tqdm'],
    extras_require={
        'cpu': ['ai-edge-litert', 'onnxruntime', 'opencv-python-headless<5'],
        'bag': ['rosbags>=0.10'],
        'test': ['pytest'],
    },
    zip_safe=True,
    author='mobilenetv2_ros contributors',
    maintainer='mobilenetv2_ros contributors',
    maintainer_email='maintainers@example.com',
    description='Image classification with MobileNetV2 on RDK X5 boards under ROS 2',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'benchmark = mobilenetv2_ros.tools.benchmark.__main__:main',
            'check = mobilenetv2_ros.tools.check.__main__:main',
            'classifier_node = mobilenetv2_ros.node.main:main',
            'classify_bag = mobilenetv2_ros.tools.programs:classify_bag',
            'classify_image = mobilenetv2_ros.tools.programs:classify_image',
            'download_model = mobilenetv2_ros.tools.programs:download_model',
            'evaluate = mobilenetv2_ros.tools.programs:evaluate',
            'image_source = mobilenetv2_ros.tools.image_source:main',
        ],
    },
)
