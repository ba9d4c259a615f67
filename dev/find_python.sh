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

# Print the path of a Python of a version; the exit code is 1 where there is none.
# usage: dev/find_python.sh 3.10
set -euo pipefail
version=$1

# A shim of pyenv is on PATH also while it is not allowed to run, hence its own folder too.
for python in "python$version" "$(pyenv root 2>/dev/null)/versions/$version".*/bin/python; do
    "$python" -c 'import ensurepip, sys, venv; print(sys.executable)' 2>/dev/null && exit
done
exit 1
