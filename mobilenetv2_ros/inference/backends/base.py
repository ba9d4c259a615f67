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
from typing import NamedTuple, Optional, Sequence, Tuple, TYPE_CHECKING, Union

from mobilenetv2_ros.cancellation import CancelToken
from mobilenetv2_ros.image.nv12 import Nv12
from mobilenetv2_ros.inference.ranking import Scores
from mobilenetv2_ros.inference.score_meaning import ScoreType
import numpy as np

if TYPE_CHECKING:  # it raises the errors below
    from mobilenetv2_ros.inference.model_description import ModelDescription


class BackendError(RuntimeError):
    """An engine failed; the text names the call, the cause and what to do."""


class BackendMissingError(BackendError):
    """An engine is not installed on this machine; the text says what to install."""


class ModelError(BackendError):
    """A model file is missing, damaged or of a shape that cannot classify images."""


class InferenceTimeoutError(BackendError):
    """An inference did not finish in time."""


class InferenceCancelledError(BackendError):
    """An inference was given up on request; see :attr:`Backend.cancel_token`."""


class ModelInfo(NamedTuple):
    """
    What a model takes and gives.

    :param name: as the model file calls itself, or the file's name.
    :param height: of the NV12 input in pixels, even, like ``width``.
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
        """Writable memory for the next image; the same object from run to run if possible."""

    @abstractmethod
    def run(self, timeout: float) -> Scores:
        """
        Classify the image in :attr:`input`.

        :param timeout: seconds to wait for the engine, where it can be waited for in part.
        :returns: float32, shape (score_count,), valid until the next run.
        :raises InferenceTimeoutError: the engine did not answer in time.
        :raises InferenceCancelledError: :attr:`Backend.cancel_token` said so during a long wait.
        :raises BackendError: it failed otherwise.
        """

    @abstractmethod
    def close(self) -> None:
        """Give the memory back; the session cannot be used any more."""


class Backend(ABC):
    """An opened model."""

    kind: str
    """Its name in the parameter ``backend``."""

    info: ModelInfo

    notice: str = ''
    """What the user should be told at start; empty if all is as it should be."""

    description: ModelDescription
    """What is known of the model and does not stand in its file."""

    input_text: str = ''
    """How images become the input, for people; empty where the model file alone knows."""

    score_type: Optional[ScoreType] = None
    """What the scores are, where the graph shows it."""

    score_step: float = 0.0
    """Between two scores, where they are rounded to so few that it counts."""

    packed_labels: str = ''
    """The text of a label file inside the model file."""

    has_inferred: bool = False
    """Whether an inference of this model has succeeded, also before it was opened again."""

    cancel_token: CancelToken = CancelToken()
    """Looked at now and then by sessions that can wait in part: whether to give a long wait up."""

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
    Count the scores of an output of which at most one side is longer than 1.

    :raises ModelError: the output has another shape.
    """
    count = int(np.prod(shape)) if shape else 0
    if count < 1 or max(shape) != count:
        raise ModelError(
            f"model '{path}' has an output of shape {list(shape)}; expected one list of class "
            'scores')
    return count


class OutputInfo(NamedTuple):
    """
    An output of a model.

    :param shape: sizes that are left open are no integers or not positive.
    """

    name: str
    dtype: str
    shape: Sequence[Union[int, str, None]]


def choose_output(
        path: Path, outputs: Sequence[OutputInfo], wanted: Union[str, int, None]) -> int:
    """
    Choose the output with the scores.

    :param wanted: its name or index; None for the only one.
    :returns: its index.
    :raises ModelError: there is no such output, or there are several to choose from.
    """
    names = [output.name for output in outputs]
    listed = ', '.join(f"'{one.name}' {one.dtype} {list(one.shape)}" for one in outputs)
    if wanted in names:
        return names.index(str(wanted))
    if isinstance(wanted, int) and 0 <= wanted < len(outputs):
        return wanted
    if wanted is not None:
        raise ModelError(f"model '{path}' has no output {wanted!r}; it has {listed or 'none'}")
    if len(outputs) != 1:
        raise ModelError(
            f"model '{path}' has {len(outputs)} outputs{f': {listed}' if listed else ''}; "
            f"expected one list of class scores, or \"output\" in '{path}.json' to say which it "
            'is')
    return 0


def even_size(height: int, width: int) -> Tuple[int, int]:
    """Tell the size of the NV12 image that a CPU engine's input of any size is made of."""
    return height + height % 2, width + width % 2


def check_input_size(path: Path, height: int, width: int) -> None:
    """
    Refuse a model whose input NV12 cannot express.

    :raises ModelError: a side is odd or not positive.
    """
    if height < 2 or width < 2 or height % 2 or width % 2:
        raise ModelError(
            f"model '{path}' takes images of {width}x{height}; NV12 needs even sides")
