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
Coverage-guided fuzzing of what takes bytes from the network, with atheris (libFuzzer).

    python fuzz_target.py TARGET [options of libFuzzer] CORPUS...

TARGET is a key of :data:`TARGETS`. Only our own modules are instrumented. Each run goes the whole
way of a message, to a tiny NV12 picture; anything raised but ImageMessageError ends the process.
"""

from __future__ import annotations

from pathlib import Path
import struct
import sys
from typing import Any, Callable, Dict
import zlib

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
# Looked for again with each unknown encoding, which takes longer than all the rest.
sys.modules['cv_bridge'] = None  # type: ignore[assignment]


def _import_instrumented() -> None:
    """Let atheris see which way our modules go; the import below then finds them."""
    import atheris
    with atheris.instrument_imports(include=[
            f'mobilenetv2_ros.{name}' for name in (
                'image_message', 'compressed_image', 'cv_bridge_fallback', 'nv12')]):
        import mobilenetv2_ros.compressed_image  # noqa: F401


if __name__ == '__main__':
    _import_instrumented()

from mobilenetv2_ros.compressed_image import decode_compressed  # noqa: E402
from mobilenetv2_ros.image_message import (  # noqa: E402
    ImageMessageError, parse_compressed_image, parse_image)
from mobilenetv2_ros.nv12 import Nv12, Nv12Converter, RESIZE_MODES  # noqa: E402
import numpy as np  # noqa: E402

SIDE = 16
MAX_PIXELS = 1 << 12

_TARGET = Nv12.over(np.zeros((SIDE * 3 // 2, SIDE), np.uint8), SIDE, SIDE)
_CONVERTER = Nv12Converter()


def convert_image(message: bytes) -> bool:
    """Go the way of a serialized Image; tells whether it was a picture."""
    try:
        view = parse_image(message, MAX_PIXELS)
        assert view.step * view.height <= view.data.size < len(message)
        _CONVERTER.convert(view, RESIZE_MODES[len(message) % 3], _TARGET)
    except ImageMessageError:
        return False
    return True


def convert_compressed_image(message: bytes) -> bool:
    """Go the way of a serialized CompressedImage; tells whether it was a picture."""
    mode = RESIZE_MODES[len(message) % 3]
    try:
        view = decode_compressed(parse_compressed_image(message), SIDE, SIDE, mode, MAX_PIXELS)
        assert view.width * view.height <= MAX_PIXELS
        _CONVERTER.convert(view, mode, _TARGET)
    except ImageMessageError:
        return False
    return True


TARGETS: Dict[str, Callable[[bytes], bool]] = {
    'image': convert_image, 'compressed_image': convert_compressed_image}


def repair_checksums(message: bytes) -> bytes:
    """Give each chunk of a PNG its right checksum, so that libpng looks at what is in it."""
    mended = bytearray(message)
    place = message.find(b'\x89PNG') + 8
    while 8 <= place <= len(mended) - 12:
        length, = struct.unpack_from('>I', mended, place)
        end = place + 8 + length
        if end + 4 > len(mended):
            break
        struct.pack_into('>I', mended, end, zlib.crc32(mended[place + 4:end]))
        place = end + 4
    return bytes(mended)


def main() -> None:
    """Fuzz the target named on the command line."""
    import atheris
    name = sys.argv.pop(1)
    options: Dict[str, Any] = {}
    if name == 'compressed_image':
        options['custom_mutator'] = lambda data, size, seed: repair_checksums(
            atheris.Mutate(data, size))
    atheris.Setup(sys.argv, TARGETS[name], **options)
    atheris.Fuzz()


if __name__ == '__main__':
    main()
