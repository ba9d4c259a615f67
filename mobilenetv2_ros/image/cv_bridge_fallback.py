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

"""Encodings without a converter of our own, by way of cv_bridge where it is installed."""

from __future__ import annotations

import sys
from typing import Any

from mobilenetv2_ros.image.image_message import ImageMessageError, ImageView, shorten
import numpy as np


class UnsupportedEncodingError(ImageMessageError):
    """Nothing on this machine can read the encoding of an image."""


def decode_by_cv_bridge(view: ImageView) -> ImageView:
    """
    Let cv_bridge turn an image into bgr8.

    :param view: rows may be padded and samples of either byte order; cv_bridge gets neither.
    :returns: the same image, encoding ``bgr8``.
    :raises UnsupportedEncodingError: cv_bridge is not installed or refuses the encoding.
    :raises ImageMessageError: a row is shorter than its pixels.
    """
    name = shorten(view.encoding)
    try:
        import cv_bridge
    except ImportError as error:
        raise UnsupportedEncodingError(
            f"encoding '{name}' is not supported without cv_bridge ({error}); install "
            'ros-$ROS_DISTRO-cv-bridge or let the camera publish bgr8, nv12 or mono8') from None
    bridge = cv_bridge.CvBridge()
    try:
        bgr = bridge.imgmsg_to_cv2(_compact(view, bridge), 'bgr8')
    except ImageMessageError:
        raise
    except Exception as error:  # noqa: B902, who knows what it raises for anyone's encodings
        raise UnsupportedEncodingError(
            f"encoding '{name}' is not supported: cv_bridge says '{shorten(str(error), 200)}'; "
            'let the camera publish bgr8, nv12 or mono8') from None
    pixels = np.ascontiguousarray(bgr, np.uint8)
    height, width = pixels.shape[:2]
    return view._replace(height=height, width=width, encoding='bgr8', step=3 * width,
                         data=pixels.reshape(-1))


def _compact(view: ImageView, bridge: Any) -> ImageView:
    """
    Copy an image to rows without padding in this machine's byte order.

    cv_bridge shears padded rows whose length is no multiple of a pixel, silently, and its byte
    swapping does not work with numpy 2.
    """
    dtype, channels = bridge.encoding_to_dtype_with_channels(view.encoding)
    sample = np.dtype(dtype).newbyteorder('>' if view.is_bigendian else '<')
    used = view.width * channels * sample.itemsize
    if view.step < used:
        raise ImageMessageError(
            f'a {view.width}x{view.height} {shorten(view.encoding)} image needs rows of at '
            f'least {used} bytes, but step is {view.step}')
    rows = view.data[:view.step * view.height].reshape(view.height, view.step)[:, :used]
    samples = np.ascontiguousarray(rows).view(sample).astype(sample.newbyteorder('='))
    return view._replace(is_bigendian=sys.byteorder == 'big', step=used,
                         data=samples.view(np.uint8).reshape(-1))
