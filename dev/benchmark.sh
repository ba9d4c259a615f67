#!/usr/bin/env bash
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

# The measurements of docs/performance.md, on the emulated BPU that LD_LIBRARY_PATH leads to.
set -euo pipefail
cd "$(dirname "$0")/.."
model=test/emulated_libdnn/mobilenetv2_224x224_nv12.bin
measure() { "$PYTHON" -m mobilenetv2_ros.tools.benchmark "$@"; echo; }
compare() { "$PYTHON" dev/comparison/compare.py "$@"; echo; }

for threads in 1 2 4 8; do
    build/emulated_libdnn/bare_calls $model $threads 5
    compare backend --model $model --threads $threads
done
measure backend --model $model --threads 4 --busy
for case in '--rate flood' '--encoding bgr8 --size 640x480 --rate flood' \
        '--encoding nv12 --size 1920x1080 --rate 60' '--encoding bgr8 --size 640x480 --rate 30'; do
    # Each case is a list of options.
    # shellcheck disable=SC2086
    compare node --model $model --threads 4 $case
done
for cameras in 1 2 4; do
    measure node --model $model --encoding bgr8 --size 640x480 --rate 30 --cameras $cameras \
        --one-process
done
compare convert
