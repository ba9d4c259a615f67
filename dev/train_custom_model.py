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
Train a small network on five shapes and export it, as docs/custom_model.md tells.

It stands for any model that was trained elsewhere: a convolutional network on the CPU, 300 KB, in
some minutes. Run it in a virtual environment of its own, outside the source tree::

    pip install -r dev/train_custom_model_requirements.txt
    python dev/train_custom_model.py OUTPUT

OUTPUT gets the model ``shapes.onnx`` with its ``shapes.onnx.json`` and ``shapes.txt``, the images
it was trained on and tested with (``train/``, ``test/``, a folder for each class), and
``calibration/``, the samples that the vendor's converter wants.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch

CLASSES = ['circle', 'cross', 'square', 'star', 'triangle']
SIZE = 64
TRAINING_IMAGES = 400
TEST_IMAGES = 100
CALIBRATION_IMAGES = 20
"""Each for each class."""

EPOCHS = 12
BATCH = 40
MEAN, STD = 0.5, 0.5
"""Of values from 0 to 1, for each channel; not ImageNet's, so the model needs a file beside it."""


def draw(class_index: int, random: np.random.Generator) -> np.ndarray:
    """
    Draw a dark shape of any size and angle on a bright, noisy ground with lines across it.

    :returns: uint8, shape (240, 320, 3), BGR.
    """
    image = np.full((240, 320, 3), random.integers(140, 256, 3), np.uint8)
    for _ in range(3):
        start, end = random.integers(0, 320, (2, 2)).tolist()
        cv2.line(image, start, end, random.integers(0, 256, 3).tolist(), 2)
    radius = random.uniform(35, 90)
    centre = random.uniform([100, 90], [220, 150])
    points = centre + radius * turn(outline(CLASSES[class_index]), random.uniform(0, 2 * np.pi))
    colour = random.integers(0, 110, 3).tolist()
    cv2.fillPoly(image, [points.round().astype(np.int32)], colour, cv2.LINE_AA)
    noise = random.normal(0, random.uniform(0, 20), image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8)


def outline(name: str) -> np.ndarray:
    """
    Outline a shape of radius 1.

    :returns: float64, shape (points, 2).
    """
    if name == 'cross':
        arm = 0.3
        quarter = np.array([[arm, arm], [arm, 1], [-arm, 1]])
        return np.concatenate([turn(quarter, angle * np.pi / 2) for angle in range(4)])
    corners, inner = {
        'circle': (60, 1.0), 'square': (4, 1.0), 'triangle': (3, 1.0), 'star': (10, 0.45)}[name]
    angles = np.arange(corners) * 2 * np.pi / corners
    radii = np.where(np.arange(corners) % 2, inner, 1.0)
    return np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None]


def turn(points: np.ndarray, angle: float) -> np.ndarray:
    """Turn points around the origin."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return points @ np.array([[cosine, sine], [-sine, cosine]])


def write_images(folder: Path, count: int, random: np.random.Generator) -> None:
    """Write JPEG images, a folder for each class."""
    for class_index, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(str(folder / name / f'{number:03d}.jpg'), draw(class_index, random))


def read_images(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """
    Read images as the model takes them, but for the normalisation.

    :returns: uint8, shape (n, 3, SIZE, SIZE), RGB; int64, shape (n,), class indices.
    """
    images, classes = [], []
    for class_index, name in enumerate(CLASSES):
        for path in sorted((folder / name).iterdir()):
            bgr = np.asarray(cv2.imread(str(path)), np.uint8)
            rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
            # As the node does with resize_mode "stretch".
            images.append(cv2.resize(rgb, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR))
            classes.append(class_index)
    return np.stack(images).transpose(0, 3, 1, 2), np.array(classes)


def normalize(images: np.ndarray) -> torch.Tensor:
    """
    Make of pixels what the model takes.

    :returns: float32 of the same shape.
    """
    return (torch.from_numpy(images.copy()).float() / 255 - MEAN) / STD


def make_network() -> torch.nn.Sequential:
    """Make a network of operators that the BPU has; it gives logits."""
    channels = [3, 16, 32, 64, 128]
    layers: list[torch.nn.Module] = []
    for before, after in zip(channels, channels[1:]):
        layers += [torch.nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
                   torch.nn.BatchNorm2d(after), torch.nn.ReLU()]
    return torch.nn.Sequential(
        *layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(channels[-1], len(CLASSES)))


def train(network: torch.nn.Module, images: np.ndarray, classes: np.ndarray) -> None:
    """Train with a rate that rises and falls, on images that are mirrored at random."""
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    steps = len(images) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=EPOCHS * steps)
    targets = torch.from_numpy(classes)
    for epoch in range(EPOCHS):
        network.train()
        losses = 0.0
        for chosen in torch.randperm(len(images))[:steps * BATCH].split(BATCH):
            batch = normalize(images[chosen.numpy()])
            if torch.rand(()) < 0.5:
                batch = batch.flip(3)
            loss = torch.nn.functional.cross_entropy(network(batch), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses += loss.item()
        print(f'epoch {epoch + 1:2d} of {EPOCHS}: loss {losses / steps:.3f}')


def measure(network: torch.nn.Module, images: np.ndarray, classes: np.ndarray) -> float:
    """Compute the fraction of images that are recognised."""
    network.eval()
    with torch.no_grad():
        found = torch.cat([
            network(normalize(images[start:start + BATCH])).argmax(1)
            for start in range(0, len(images), BATCH)])
    return float((found.numpy() == classes).mean())


def export(network: torch.nn.Module, path: Path) -> None:
    """Export as the vendor's converter takes it: opset 11, one image, all in one file."""
    network.eval()
    torch.onnx.export(
        network, (torch.zeros(1, 3, SIZE, SIZE),), str(path), opset_version=11, dynamo=False,
        input_names=['image'], output_names=['scores'])


def write_calibration(folder: Path, images: np.ndarray) -> None:
    """
    Write samples for the vendor's converter: RGB, NCHW, float32 from 0 to 255.

    The normalisation is the converter's: it becomes a part of the model on the BPU.
    """
    folder.mkdir()
    step = TRAINING_IMAGES // CALIBRATION_IMAGES
    for number, image in enumerate(images[::step]):
        image.astype(np.float32).tofile(folder / f'{number:03d}.rgb')


def main() -> None:
    """Draw, train, export."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('output', type=Path, metavar='OUTPUT', help='a new folder')
    output = parser.parse_args().output
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    write_images(output / 'train', TRAINING_IMAGES, random)
    write_images(output / 'test', TEST_IMAGES, random)
    network = make_network()
    images, classes = read_images(output / 'train')
    train(network, images, classes)
    print(f'test images recognised: {measure(network, *read_images(output / "test")):.2%}')
    export(network, output / 'shapes.onnx')
    (output / 'shapes.onnx.json').write_text(json.dumps({
        'mean': [MEAN] * 3, 'std': [STD] * 3, 'labels': 'shapes.txt', 'resize_mode': 'stretch'}))
    (output / 'shapes.txt').write_text(''.join(f'{name}\n' for name in CLASSES), 'utf-8')
    write_calibration(output / 'calibration', images)


if __name__ == '__main__':
    main()
