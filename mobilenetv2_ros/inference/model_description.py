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
What is known of a model and not in its file: the JSON file beside it, ``<model file>.json``.

Keys, all optional: ``range``, ``mean``, ``std`` and ``colour_order`` tell how pixels become the
values of a model for the CPU; ``output``, ``score_type`` and ``background`` which scores count and
what they are; ``labels`` and ``resize_mode`` stand in for the parameters of these names. Where
there is none, a model that is known by its checksum has its publisher's resize mode.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple, Union

from mobilenetv2_ros.image.nv12 import RESIZE_MODES
from mobilenetv2_ros.inference.backends.base import ModelError
from mobilenetv2_ros.inference.known_models import find_known
from mobilenetv2_ros.inference.score_meaning import SCORE_TYPES
from mobilenetv2_ros.resources import read_text_file

_MAX_BYTES = 1 << 20
_PIXEL_KEYS = frozenset(('range', 'mean', 'std', 'colour_order', 'output'))
"""What the compiler of the BPU has put into a ``.bin`` file."""

Triple = Tuple[float, float, float]


class Normalisation(NamedTuple):
    """
    How levels of pixels, 0 to 255, become values: scaled to ``range``, then (value - mean) / std.

    :param range: what black and white are scaled to.
    :param mean: by channel, in the order of the model's channels, like ``std``.
    """

    range: Tuple[float, float] = (0.0, 1.0)  # noqa: A003
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)


class ModelDescription(NamedTuple):
    """
    What is told of a model; None or empty where nothing is.

    :param source: who tells it, for people.
    :param colour_order: ``rgb`` or ``bgr``.
    :param output: name or index of the one with the scores.
    :param score_type: one of :data:`mobilenetv2_ros.inference.score_meaning.SCORE_TYPES`.
    :param background: whether the first score is that of a background class.
    :param labels: the label file.
    """

    source: str = ''
    normalisation: Optional[Normalisation] = None
    colour_order: str = ''
    output: Union[str, int, None] = None
    score_type: str = ''
    background: Optional[bool] = None
    labels: Optional[Path] = None
    resize_mode: str = ''


def describe_model(path: Path) -> ModelDescription:
    """
    Read the JSON file beside a model; what it does not say may be known of the model.

    :param path: of the model file.
    :returns: an empty one if nobody tells anything.
    :raises ModelError: it cannot be read or has other content.
    """
    sidecar = Path(f'{path}.json')
    is_bin = path.suffix.lower() == '.bin'
    try:
        description = _parse(sidecar, read_text_file(sidecar, _MAX_BYTES), is_bin)
    except FileNotFoundError:
        description = ModelDescription()
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"file '{sidecar}', which describes the model, is unusable: {error}") from None
    # Of the models for the CPU nothing is known that is not in their files.
    known = find_known(path) if is_bin and not description.resize_mode else None
    if known is None or not known.resize_mode:
        return description
    return description._replace(source='known file', resize_mode=known.resize_mode)


def _parse(sidecar: Path, text: str, is_bin: bool) -> ModelDescription:
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError(f'it holds no object; expected one with some of {_list_keys()}')
    for key in content:
        if key not in _KEYS:
            raise ValueError(f"key '{key}' is unknown; expected some of {_list_keys()}")
        if is_bin and key in _PIXEL_KEYS:
            raise ValueError(
                f"key '{key}' has no effect on a .bin model, which was compiled with it; "
                'remove the key')
    values = {key: _parse_value(key, value) for key, value in content.items()}
    normalisation = Normalisation(
        **{key: values.pop(key) for key in ('range', 'mean', 'std') if key in values})
    if normalisation != Normalisation() or 'range' in content:
        _check(normalisation)
    else:
        normalisation = None  # type: ignore[assignment]
    if 'labels' in values:
        values['labels'] = sidecar.parent / values['labels']
    return ModelDescription('sidecar', normalisation, **values)


def _list_keys() -> str:
    return ', '.join(f"'{key}'" for key in _KEYS)


def _parse_value(key: str, value: Any) -> Any:
    try:
        return _KEYS[key](value)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"'{key}': {error}") from None


def _check(normalisation: Normalisation) -> None:
    """Refuse values of another range: the model would only see noise."""
    (lowest, highest), mean, std = (
        normalisation.range, normalisation.mean, normalisation.std)
    span = highest - lowest
    if lowest < 0 and (mean, std) != (Normalisation().mean, Normalisation().std):
        raise ValueError(
            f'values from {lowest:g} to {highest:g} are normalised already; remove "range", or '
            'mean and std')
    if min(mean) < lowest or max(mean) > highest:
        value = max(mean) if max(mean) > highest else min(mean)
        raise ValueError(
            f'the mean {value:g} is no value of the range {lowest:g} to {highest:g}; say '
            '"range": [0, 255], or give it for this range')
    if min(std) <= 0 or max(std) > max(span, 1):
        raise ValueError(
            f'the std {max(std) if min(std) > 0 else min(std):g} is none of values from '
            f'{lowest:g} to {highest:g}; expected more than 0 and at most {max(span, 1):g}')
    if span > 2 and (0 < max(mean) < 1 or min(std) < 1):
        raise ValueError(
            'mean and std look like those of values from 0 to 1; remove "range", or multiply them '
            'by 255')


def _numbers(count: int) -> Callable[[Any], Tuple[float, ...]]:
    def parse(value: Any) -> Tuple[float, ...]:
        if not isinstance(value, list) or len(value) != count or not all(
                isinstance(one, (int, float)) and not isinstance(one, bool) for one in value):
            raise ValueError(f'expected a list of {count} numbers')
        numbers = tuple(float(one) for one in value)
        if not all(map(math.isfinite, numbers)):
            raise ValueError('expected numbers that are finite')
        return numbers

    return parse


def _parse_range(value: Any) -> Tuple[float, ...]:
    numbers = _numbers(2)(value)
    if numbers[0] >= numbers[1]:
        raise ValueError('expected a lower number, then a higher one')
    return numbers


def _one_of(*choices: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(f'{value!r:.40} is unknown; expected one of {", ".join(choices)}')
        return str(value)

    return parse


def _parse_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError('expected true or false')
    return value


def _parse_output(value: Any) -> Union[str, int]:
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return value
    raise ValueError('expected the name of an output, or its index from 0')


def _parse_file(value: Any) -> str:
    if not isinstance(value, str) or not value or '\0' in value:
        raise ValueError('expected the name of a file, from the folder of the model')
    return value


_KEYS: Dict[str, Callable[[Any], Any]] = {
    'range': _parse_range, 'mean': _numbers(3), 'std': _numbers(3),
    'colour_order': _one_of('rgb', 'bgr'), 'output': _parse_output,
    'score_type': _one_of(*SCORE_TYPES), 'background': _parse_flag, 'labels': _parse_file,
    'resize_mode': _one_of(*RESIZE_MODES)}
