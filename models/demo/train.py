"""Trains the demonstration detector on drawn scenes and writes its ONNX file, card.toml and figures.

A tool of the developers: the only module that imports torch, which is no dependency of the product. It runs in an
environment of its own (see README.md beside it):  python -m models.demo.train --minutes 25
"""

# mypy: disable-error-code="misc, untyped-decorator"
from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from annotation import quality, scenes
from annotation.core import Box
from models import batch, demo
from models.recipe import Recipe
from models.recognise import recognise

INPUT_WH = (512, 288)
"""16:9 as the scenes are, so that no input pixel is spent on padding."""
STRIDES = (8, 16, 32)
TEST_SEED = 1_000_000
"""Scenes from here on are never trained on."""


class Conv(nn.Sequential):
    """Convolution, batch norm, ReLU: the cheapest on a CPU."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> None:
        conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(c_out), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """x + two convolutions through half the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(Conv(channels, channels // 2, 1), Conv(channels // 2, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Head(nn.Module):
    """Box distances (left, top, right, bottom in strides) and class logits at every cell of one grid."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = Conv(channels, channels)
        self.box = nn.Conv2d(channels, 4, 1)
        self.label = nn.Conv2d(channels, classes, 1)
        nn.init.constant_(self.label.bias, -math.log(99.0))  # begin with "1 % of the cells": a calm start
        nn.init.constant_(self.box.bias, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return torch.cat([functional.softplus(self.box(x)), self.label(x)], 1).flatten(2)


class Detector(nn.Module):
    """Anchor-free detector. Training gives (B, 4 + classes, cells); see `Export` for what the ONNX file gives."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.to8 = nn.Sequential(
            Conv(3, 12, 3, 2),
            Conv(12, 24, 3, 2),
            Residual(24),
            Conv(24, 40, 3, 2),
            Residual(40),
            Residual(40),
        )
        self.to16 = nn.Sequential(Conv(40, 56, 3, 2), Residual(56), Residual(56))
        self.to32 = nn.Sequential(Conv(56, 72, 3, 2), Residual(72))
        self.side32, self.side16, self.side8 = Conv(72, 32, 1), Conv(56, 32, 1), Conv(40, 32, 1)
        self.heads = nn.ModuleList(Head(32, classes) for _ in STRIDES)

    def forward(self, x: Tensor) -> Tensor:
        p8 = self.to8(x)
        p16 = self.to16(p8)
        p32 = self.side32(self.to32(p16))
        p16 = self.side16(p16) + functional.interpolate(p32, scale_factor=2.0)
        p8 = self.side8(p8) + functional.interpolate(p16, scale_factor=2.0)
        return torch.cat([head(p) for head, p in zip(self.heads, (p8, p16, p32), strict=True)], 2)


def grid(w: int, h: int) -> tuple[Tensor, Tensor]:
    """Cell centres in px (cells, 2) and strides (cells,)."""
    centres, strides = [], []
    for stride in STRIDES:
        ys, xs = torch.meshgrid(torch.arange(h // stride), torch.arange(w // stride), indexing="ij")
        centres.append((torch.stack([xs, ys], -1).reshape(-1, 2) + 0.5) * stride)
        strides.append(torch.full((xs.numel(),), float(stride)))
    return torch.cat(centres), torch.cat(strides)


class Export(nn.Module):
    """What the file gives, in YOLOv8's layout: (1, 4 + classes, cells) with cx, cy, w, h in px and scores 0..1."""

    def __init__(self, inner: Detector) -> None:
        super().__init__()
        self.inner = inner
        centres, strides = grid(*INPUT_WH)
        self.register_buffer("centres", centres.T[None].contiguous())
        self.register_buffer("strides", strides[None, None])

    def forward(self, x: Tensor) -> Tensor:
        raw = self.inner(x)
        low = self.centres - raw[:, 0:2] * self.strides
        high = self.centres + raw[:, 2:4] * self.strides
        return torch.cat([(low + high) / 2, high - low, raw[:, 4:].sigmoid()], 1)


def pairwise_giou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and GIoU of xyxy boxes, broadcast over all but the last dimension."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    iou = shared / union.clamp(min=1e-6)
    return iou, iou - (hull - union) / hull.clamp(min=1e-6)


def loss(raw: Tensor, boxes: Tensor, labels: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Task-aligned assignment: for each truth the ten cells inside it with the best score^0.5 * IoU^4 learn it.

    Args:
        raw: (B, 4 + classes, cells).
        boxes: (B, M, 4) xyxy px; labels: (B, M), -1 where there is no box.
    """
    raw = raw.transpose(1, 2)
    reach = raw[..., :4] * strides[:, None]
    predicted = torch.cat([centres - reach[..., :2], centres + reach[..., 2:]], -1)
    scores = raw[..., 4:]
    with torch.no_grad():
        real = labels >= 0
        inside = (
            torch.cat([centres - boxes[:, :, None, :2], boxes[:, :, None, 2:] - centres], -1).amin(-1) > 0
        )
        middle = (boxes[..., :2] + boxes[..., 2:]) / 2
        near = (centres - middle[:, :, None]).abs().amax(
            -1
        ) < strides  # small objects may hold no cell's centre
        overlap, _ = pairwise_giou(boxes[:, :, None], predicted[:, None])
        chance = (
            scores.sigmoid()
            .transpose(1, 2)
            .gather(1, labels.clamp(min=0)[..., None].expand(-1, -1, scores.shape[1]))
        )
        align = chance.sqrt() * overlap.clamp(min=1e-4) ** 4 * ((inside | near) & real[..., None])
        best = align.topk(10, dim=-1)
        chosen = torch.zeros_like(align).scatter_(-1, best.indices, 1.0) * (align > 0)
        align = align * chosen
        owner = align.argmax(1)  # a cell wanted twice goes to the better fit
        positive = align.amax(1) > 0
        peak = (overlap * chosen).amax(-1) / align.amax(-1).clamp(min=1e-9)
        quality_of = align.gather(1, owner[:, None]).squeeze(1) * peak.gather(1, owner)
        wanted = (
            functional.one_hot(labels.gather(1, owner).clamp(min=0), scores.shape[-1])
            * (quality_of.clamp(0, 1) * positive)[..., None]
        )
        target = boxes.gather(1, owner[..., None].expand(-1, -1, 4))
    total = wanted.sum().clamp(min=1.0)
    hard = functional.binary_cross_entropy_with_logits(scores, wanted, reduction="none")
    focus = torch.where(wanted > 0, wanted, 0.75 * scores.sigmoid().detach() ** 2)  # varifocal
    _, giou = pairwise_giou(predicted[positive], target[positive])
    weight = wanted.sum(-1)[positive]
    return (hard * focus).sum() / total + 2.0 * ((1 - giou) * weight).sum() / total


def draw_set(n: int, first_seed: int) -> tuple[np.ndarray[Any, Any], list[np.ndarray[Any, Any]]]:
    """n scenes at the input's size, uint8 (n, h, w, 3) RGB, and per scene rows (label, x0, y0, x1, y1) in its px."""
    w, h = INPUT_WH
    pictures = np.empty((n, h, w, 3), np.uint8)
    truth = []
    for i in range(n):
        scene = scenes.draw(first_seed + i)
        scale = w / scene.picture.shape[1]
        pictures[i] = cv2.resize(scene.picture, (w, h), interpolation=cv2.INTER_LINEAR)[:, :, ::-1]
        rows = [
            (
                scenes.LABELS.index(a.label),
                *(v * scale for v in (a.shape.x0, a.shape.y0, a.shape.x1, a.shape.y1)),
            )
            for a in scene.annotations
            if isinstance(a.shape, Box)
        ]
        truth.append(np.array(rows, np.float32).reshape(-1, 5))
    return pictures, truth


def batches(
    pictures: np.ndarray[Any, Any], truth: list[np.ndarray[Any, Any]], size: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Shuffled batches of (pictures, boxes, labels), each picture mirrored and brightened at random."""
    w = INPUT_WH[0]
    order = rng.permutation(len(pictures))
    for start in range(0, len(order) - size + 1, size):
        chosen = order[start : start + size]
        most = max(1, *(len(truth[i]) for i in chosen))
        boxes, labels = np.zeros((size, most, 4), np.float32), np.full((size, most), -1, np.int64)
        stack = np.empty((size, *pictures.shape[1:]), np.float32)
        for k, i in enumerate(chosen):
            picture, rows = pictures[i], truth[i].copy()
            if rng.random() < 0.5:
                picture = picture[:, ::-1]
                rows[:, [1, 3]] = w - rows[:, [3, 1]]
            np.multiply(picture, np.float32(rng.uniform(0.7, 1.3) / 255), out=stack[k])
            boxes[k, : len(rows)], labels[k, : len(rows)] = rows[:, 1:], rows[:, 0]
        inputs = torch.from_numpy(np.minimum(stack, 1, out=stack)).permute(0, 3, 1, 2)
        yield (
            inputs.contiguous(memory_format=torch.channels_last),
            torch.from_numpy(boxes),
            torch.from_numpy(labels),
        )


@torch.no_grad()
def follow(average: Detector, model: Detector, *, keep: float) -> None:
    """Move the averaged weights towards the model's; counters of the batch norms are copied."""
    for mean, now in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(now, 1 - keep)
        else:
            mean.copy_(now)


def train(n_scenes: int, minutes: float, size: int = 16) -> tuple[Detector, int]:
    """Train for some minutes with a one-cycle rate driven by the clock; the averaged weights and the steps taken."""
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    pictures, truth = draw_set(n_scenes, 0)
    print(f"{n_scenes} scenes drawn", flush=True)
    model = Detector(len(scenes.LABELS)).to(memory_format=torch.channels_last)
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    average = copy.deepcopy(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02)
    centres, strides = grid(*INPUT_WH)
    start, steps, running = time.monotonic(), 0, 0.0
    while (share := (time.monotonic() - start) / (60 * minutes)) < 1:
        for inputs, boxes, labels in batches(pictures, truth, size, rng):
            share = min(1.0, (time.monotonic() - start) / (60 * minutes))
            rate = 2.5e-3 * min(1.0, (steps + 1) / 150) * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)
            for group in optimiser.param_groups:
                group["lr"] = rate
            value = loss(model(inputs), boxes, labels, centres, strides)
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimiser.step()
            steps += 1
            follow(average, model, keep=min(0.998, steps / (steps + 10)))
            running += value.item()
            if steps % 100 == 0:
                print(f"step {steps}, {share:.0%} of the time, loss {running / 100:.3f}", flush=True)
                running = 0.0
            if share >= 1:
                break
    return average, steps


def write(model: Detector, out: Path) -> None:
    """Export to ONNX with the class names and the note in its metadata, as `models.card` reads them."""
    w, h = INPUT_WH
    torch.onnx.export(
        Export(model).eval().to(memory_format=torch.contiguous_format),
        (torch.zeros(1, 3, h, w),),
        str(out),
        dynamo=False,  # the newer exporter writes the weights into a second file
        opset_version=17,
        input_names=["images"],
        output_names=["boxes"],
    )
    file = onnx.load(str(out))
    metadata = {
        "task": "detect",
        "names": repr(dict(enumerate(scenes.LABELS))),
        "license": "Apache-2.0",
        "note": "drawn scenes; demonstration; not for safety use",
    }
    onnx.helper.set_model_props(file, metadata)
    onnx.save(file, str(out))


def evaluate(model: Path, n: int = 500) -> dict[str, quality.LabelScore]:
    """Scores on scenes never trained on, through the product's own pipeline (JPEG 92, decode, letterbox, NMS)."""
    pages = {i: scenes.draw(TEST_SEED + i) for i in range(n)}

    def decode(data: bytes) -> np.ndarray[Any, Any]:
        picture: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        return np.asarray(picture)

    encoded = {
        i: cv2.imencode(".jpg", s.picture, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
        for i, s in pages.items()
    }
    run = batch.predict(
        [(i, i) for i in pages],
        encoded.__getitem__,
        model,
        recognise(model).card,
        decode=decode,
        recipe=Recipe(score_micro=50_000),
    )
    return quality.score((pages[result.id].annotations, result.annotations) for result in run)


def main() -> None:
    """Train, export, measure, write the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=5000)
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--out", type=Path, default=demo.path())
    options = parser.parse_args()
    torch.set_num_threads(2)
    cv2.setNumThreads(1)
    model, steps = train(options.scenes, options.minutes)
    write(model, options.out)
    scores = evaluate(options.out)
    lines = [
        "# How the demonstration detector was made and what it reached. Written by train.py.",
        'note = "drawn scenes; demonstration; not for safety use"',
        'licence = "Apache-2.0"',
        f'sha256 = "{recognise(options.out).card.sha256}"',
        f"size_bytes = {options.out.stat().st_size}",
        f"trained_on_drawn_scenes = {options.scenes}",
        f"steps_of_16 = {steps}",
        f"minutes = {options.minutes}",
        f'torch = "{torch.__version__}"',
        f"measured_on_unseen_drawn_scenes = 500  # seeds from {TEST_SEED}",
        f"map50 = {sum(s.ap for s in scores.values()) / len(scores):.3f}",
    ]
    for label, s in sorted(scores.items()):
        lines += [
            "",
            f"[labels.{label}]",
            f"objects = {s.truth}",
            f"ap50 = {s.ap:.3f}",
            f"recall50 = {s.recall:.3f}",
        ]
    options.out.with_name("card.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
