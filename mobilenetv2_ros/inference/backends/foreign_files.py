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
"""What people give as a model that is none: recognised, so that a sentence can say what to do."""

from __future__ import annotations

from pathlib import Path

_EXPORT = 'export it to ONNX first'

_BY_SUFFIX = {
    **dict.fromkeys(('.pt', '.pth', '.ckpt', '.safetensors'), f'holds PyTorch weights; {_EXPORT}'),
    **dict.fromkeys(('.h5', '.keras'), 'is a Keras model; convert it to .tflite first'),
    '.pb': 'is a TensorFlow graph; convert it to .tflite first',
    '.hbm': 'is a model for S100 or S600; RDK X5 takes .bin files',
}

_BY_START = (
    (b'version https://git-lfs', 'is a Git LFS pointer; fetch the file with "git lfs pull"'),
    (b'<!doctype html', 'is a web page; download the file itself'),
    (b'<html', 'is a web page; download the file itself'),
    (b'\x89HDF', 'is a Keras model; convert it to .tflite first'),
    (b'PK\x03\x04', f'is a ZIP archive, as of PyTorch weights; unpack it, or {_EXPORT}'),
)

_START_BYTES = 512


def recognise(path: Path) -> str:
    """
    Tell what a path is that cannot be a model.

    :returns: the rest of a sentence that begins with the path; empty if it may be one.
    """
    try:
        if (path / 'saved_model.pb').is_file():
            return 'is a SavedModel folder; convert it to .tflite first'
        if not path.is_file():
            return ''
        with path.open('rb') as file:
            start = file.read(_START_BYTES).lstrip()
    except (OSError, ValueError):
        return ''  # told by who opens it
    for beginning, what in _BY_START:
        if start[:len(beginning)].lower() == beginning.lower():
            return what
    return _BY_SUFFIX.get(path.suffix.lower(), '')
