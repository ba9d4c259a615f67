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
What every inference engine looks like to the rest of the package.

A :class:`Backend` is an opened model file; it hands out sessions, one to each worker. A
:class:`Session` owns the memory of one frame in flight: an NV12 input that the worker writes
into, and the scores of the last run. Sessions of one backend may run at the same time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Callable, NamedTuple, Sequence

from mobilenetv2_ros.nv12 import Nv12
from mobilenetv2_ros.ranking import Scores
import numpy as np


class BackendError(RuntimeError):
    """An engine failed; the text names the call, the cause and what to do."""


class BackendMissingError(BackendError):
    """An engine is not installed on this machine; the text says what to install."""


class ModelError(BackendError):
    """A model file is missing, damaged or of a shape that cannot classify pictures."""


class InferenceTimeoutError(BackendError):
    """An inference did not finish in time."""


class InferenceCancelledError(BackendError):
    """An inference was given up on request; see :attr:`Backend.is_cancelled`."""


class ModelInfo(NamedTuple):
    """
    What a model takes and gives.

    :param name: as the model file calls itself, or the file's name.
    :param height: of the input in pixels, even, like ``width``.
    :param score_count: length of the scores, a background class included.
    """

    name: str
    height: int
    width: int
    score_count: int


class Session(ABC):
    """One frame in flight."""

    @property
    @abstractmethod
    def input(self) -> Nv12:  # noqa: A003
        """Writable memory for the next picture; the same object from run to run if possible."""

    @abstractmethod
    def run(self, timeout: float) -> Scores:
        """
        Classify the picture in :attr:`input`.

        :param timeout: seconds to wait for the engine, where it can be waited for in part.
        :returns: float32, shape (score_count,), valid until the next run.
        :raises InferenceTimeoutError: the engine did not answer in time.
        :raises InferenceCancelledError: :attr:`Backend.is_cancelled` said so during a long wait.
        :raises BackendError: it failed otherwise.
        """

    @abstractmethod
    def close(self) -> None:
        """Give the memory back; the session cannot be used any more."""


def _never() -> bool:
    return False


class Backend(ABC):
    """An opened model."""

    kind: str
    """Its name in the parameter ``backend``."""

    info: ModelInfo

    notice: str = ''
    """What the user should be told at start; empty if all is as it should be."""

    is_cancelled: Callable[[], bool] = staticmethod(_never)
    """Asked now and then by sessions that can wait in part: whether to give a long wait up."""

    @abstractmethod
    def open_session(self) -> Session:
        """
        Make a session.

        :raises BackendError: the engine has no memory for it, or fails.
        """

    def settle(self) -> None:
        """
        Free what models that were closed before had to leave; an inference has just succeeded.

        :raises BackendError: something could not be freed.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the model; all its sessions must be closed before."""


def read_model_file(path: Path) -> bytes:
    """
    Read a model file; not mapped: one that is replaced while it is mapped kills the process.

    :raises ModelError: it cannot be read or is empty.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"model '{path}' cannot be read: {error}") from None
    if not content:
        raise ModelError(f"model '{path}' is empty; copy or download it again")
    return content


def count_scores(path: Path, shape: Sequence[int]) -> int:
    """
    Count the scores of an output of which only one side is longer than 1.

    :raises ModelError: the output has another shape.
    """
    count = int(np.prod(shape)) if shape else 0
    if count < 2 or max(shape) != count:
        raise ModelError(
            f"model '{path}' has an output of shape {list(shape)}; expected one list of class "
            'scores')
    return count


def check_input_size(path: Path, height: int, width: int) -> None:
    """
    Refuse a model whose input NV12 cannot express.

    :raises ModelError: a side is odd or not positive.
    """
    if height < 2 or width < 2 or height % 2 or width % 2:
        raise ModelError(
            f"model '{path}' takes pictures of {width}x{height}; NV12 needs even sides")
