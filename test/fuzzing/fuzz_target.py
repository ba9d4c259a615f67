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

    (cd test && python -m fuzzing.fuzz_target TARGET [options of libFuzzer] CORPUS...)

TARGET is a key of :data:`fuzzing.targets.TARGETS`. Only our own modules are instrumented. Each run
goes the whole way of a message, to a tiny NV12 image; anything raised but ImageMessageError ends
the process.
"""

from __future__ import annotations

import sys
from typing import Any, Dict


def main() -> None:
    """Fuzz the target named on the command line."""
    import atheris

    # Looked for again with each unknown encoding, which takes longer than all the rest.
    sys.modules['cv_bridge'] = None  # type: ignore[assignment]
    with atheris.instrument_imports(include=['mobilenetv2_ros.image']):
        from fuzzing.targets import repair_checksums, TARGETS

    name = sys.argv.pop(1)
    options: Dict[str, Any] = {}
    if name == 'compressed_image':
        options['custom_mutator'] = lambda data, size, seed: repair_checksums(
            atheris.Mutate(data, size))
    atheris.Setup(sys.argv, TARGETS[name], **options)
    atheris.Fuzz()


if __name__ == '__main__':
    main()
