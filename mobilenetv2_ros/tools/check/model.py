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
Probes of the model: its file, what it takes and gives, one photo, and its speed.

What libdnn says of the tensors is printed field by field. A field that were read at a wrong offset
would show values that make no sense.
"""

from __future__ import annotations

from contextlib import closing
import math
from pathlib import Path
import threading
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence

from mobilenetv2_ros.image.image_array import view_array
from mobilenetv2_ros.inference.backends import libdnn_abi as abi
from mobilenetv2_ros.inference.backends.base import Backend, BackendError
from mobilenetv2_ros.inference.backends.registry import open_backend
from mobilenetv2_ros.inference.classifier import ClassificationOptions
from mobilenetv2_ros.inference.known_models import KNOWN_MODELS, PublishedSpeed, sha256_of
from mobilenetv2_ros.inference.loaded_model import choose_model, LoadedModel
from mobilenetv2_ros.process_setup import set_up_process
from mobilenetv2_ros.resources import BUNDLED_MODEL, share_folder
from mobilenetv2_ros.tools.benchmark.backend import measure, Measurement
from mobilenetv2_ros.tools.check.findings import ERROR, Finding, Machine, OK, WARNING
from mobilenetv2_ros.tools.sources import read_image
import numpy as np

_PHOTO, _PHOTO_CLASS = 'coffee.png', 967
_LAYOUTS = {abi.LAYOUT_NHWC: 'NHWC', abi.LAYOUT_NCHW: 'NCHW'}
_QUANTISATIONS = {abi.QUANTI_NONE: 'none', abi.QUANTI_SHIFT: 'shift', abi.QUANTI_SCALE: 'scale'}
_SIZES = {'S8': 1, 'U8': 1, 'F16': 2, 'S16': 2, 'U16': 2, 'F32': 4, 'S32': 4, 'U32': 4}
_THREADS = 4
_SLOW = 0.8
"""Part of the published throughput below which something is wrong."""


def probe_model(machine: Machine) -> Iterator[Finding]:
    """Find the model, open it, classify a photo with it, and measure it."""
    set_up_process()
    path = choose_model(machine.model_path)
    try:
        file = inspect_file(path)
        model = LoadedModel(machine.model_path)
    except (BackendError, OSError, ValueError) as error:
        yield Finding(ERROR, 'model', str(error))
        return
    with closing(model):
        info = model.backend.info
        yield Finding(
            OK, 'model', f'{path}, {file.text}, named {info.name}, opened by '
            f'{model.backend.kind}: {model.summary}')
        yield from describe_tensors(model.backend)
        yield from classify_photo(model)
    yield from measure_speed(machine, path, model.backend.kind, file.published)


class ModelFile(NamedTuple):
    """
    A model file before it is opened.

    :param text: its size, its checksum, and what it is known to be.
    :param published: its speed, where that is known.
    """

    text: str
    published: Optional[PublishedSpeed]


def inspect_file(path: Path) -> ModelFile:
    """
    Look a file up by its checksum.

    :raises OSError: it cannot be read.
    """
    checksum = sha256_of(path)
    names = {known.sha256: name for name, known in KNOWN_MODELS.items()}
    if path == share_folder() / BUNDLED_MODEL:
        what = 'comes with this package'
    elif checksum in names:
        what = f"known as '{names[checksum]}'"
    else:
        what = 'not known'
    published = KNOWN_MODELS[names[checksum]].published if checksum in names else None
    return ModelFile(
        f'{path.stat().st_size} bytes, SHA-256 {checksum[:16]} ({what})', published)


def describe_tensors(backend: Backend) -> Iterator[Finding]:
    """Tell what a model takes and gives; of libdnn every field of its structures."""
    # A dictionary of the class: only libdnn has tensors to be told.
    properties: Dict[str, abi.TensorProperties] = getattr(backend, 'tensor_properties', {})
    for side, one in properties.items():
        faults = find_contradictions(one)
        text = describe_properties(one)
        if faults:
            yield Finding(ERROR, side, f'{text}; {", ".join(faults)}',
                          'we may read these fields wrongly; please report this')
        else:
            yield Finding(OK, side, text)
    if not properties:
        info = backend.info
        yield Finding(OK, 'input', f'{info.width}x{info.height}')
        yield Finding(OK, 'output', f'{info.score_count} scores')


def describe_properties(properties: abi.TensorProperties) -> str:
    """Tell every field of a tensor's properties."""
    scale, shift = properties.scale, properties.shift
    return ', '.join([
        type_name(properties), f'valid {_join(properties.validShape.sizes())}',
        f'aligned {_join(properties.alignedShape.sizes())}',
        _LAYOUTS.get(properties.tensorLayout, f'layout {properties.tensorLayout}'),
        f'{properties.alignedByteSize} bytes',
        f'stride {_join(properties.stride[:properties.alignedShape.numDimensions])}',
        'quantisation '
        + _QUANTISATIONS.get(properties.quantiType, str(properties.quantiType)),
        f'axis {properties.quantizeAxis}',
        f'{scale.scaleLen} scales, {scale.zeroPointLen} zero points, {shift.shiftLen} shifts'])


def find_contradictions(properties: abi.TensorProperties) -> List[str]:
    """Find fields that cannot all be true."""
    valid, aligned = properties.validShape.sizes(), properties.alignedShape.sizes()
    faults = []
    if len(valid) != len(aligned) or any(v > a for v, a in zip(valid, aligned)) or min(
            [*valid, *aligned], default=0) < 1:
        faults.append('the shapes do not fit each other')
    name = type_name(properties)
    if name.startswith('NV12') and len(aligned) == 4:
        rows, columns = (2, 3) if properties.tensorLayout == abi.LAYOUT_NCHW else (1, 2)
        expected = aligned[rows] * aligned[columns] * 3 // 2
    else:
        expected = math.prod(aligned) * _SIZES.get(name, 0)
    if properties.alignedByteSize < expected or not expected:
        faults.append(f'{properties.alignedByteSize} bytes are not enough for these shapes')
    if properties.quantiType not in _QUANTISATIONS:
        faults.append('there is no such quantisation')
    return faults


def type_name(properties: abi.TensorProperties) -> str:
    """Return the name of a tensor's type as the vendor has it, or its number."""
    number = properties.tensorType
    known = 0 <= number < len(abi.TYPE_NAMES)
    return abi.TYPE_NAMES[number] if known else f'type {number}'


def _join(sizes: Sequence[int]) -> str:
    return 'x'.join(map(str, sizes)) or 'none'


def classify_photo(model: LoadedModel) -> Iterator[Finding]:
    """Classify a photo that comes with the package."""
    names = model.labels.names
    if len(names) != 1000:
        yield Finding(OK, 'photo', 'not tried: the labels are not those of ImageNet')
        return
    image = view_array(read_image(share_folder() / 'photos' / _PHOTO))
    try:
        best, *_ = model.classifiers[0].classify(image, ClassificationOptions())
    except (BackendError, ValueError) as error:
        yield Finding(ERROR, 'photo', f'{_PHOTO}: {error}')
        return
    text = f"{_PHOTO} shows '{names[best.index]}' ({best.index}), score {best.probability:.3f}"
    if best.index == _PHOTO_CLASS:
        yield Finding(OK, 'photo', text)
    else:
        yield Finding(ERROR, 'photo',
                      f"{text}; expected '{names[_PHOTO_CLASS]}' ({_PHOTO_CLASS})",
                      'if this model is for ImageNet, please report this')


def measure_speed(
        machine: Machine, path: Path, kind: str,
        published: Optional[PublishedSpeed]) -> Iterator[Finding]:
    """Measure latency from one thread and throughput from several, without conversion."""
    for threads in (1, _THREADS):
        try:
            with closing(open_backend(path, kind, threads).backend) as backend:
                result = measure(backend, threads, machine.seconds, threading.Event())
        except BackendError as error:
            yield Finding(ERROR, 'speed', str(error))
            return
        yield judge_speed(result, published)


def judge_speed(result: Measurement, published: Optional[PublishedSpeed]) -> Finding:
    """Compare a measurement with what is published."""
    median = float(np.median(result.latencies)) * 1e3
    fps = len(result.latencies) / result.seconds
    plural = 's' if result.threads > 1 else ''
    text = f'{result.threads} thread{plural}: {median:.2f} ms, {fps:.0f} images/s'
    if published is not None:
        text += (f' (published: {published.latency_ms:g} ms)' if result.threads == 1
                 else f' (published: {published.images_per_s:g} images/s)')
    if result.wrong:
        text += f', {result.wrong} of {len(result.latencies)} results wrong'
        return Finding(ERROR, 'speed', text,
                       'results of several threads are mixed up; please report this')
    if published is not None and result.threads > 1 and fps < _SLOW * published.images_per_s:
        return Finding(
            WARNING, 'speed', text, 'see the lines cpu and bpu, and what else uses the board')
    return Finding(OK, 'speed', text)
