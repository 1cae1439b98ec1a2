#!/usr/bin/env python3
"""Trains the small diffusion of data/networks that draws what words say, and who judges its drawings.

usage: train_diffusion.py FOLDER      (python3-torch 1.13; ten minutes on one core)

words.onnx: an encoder of bags of words, [n, 16] of zeros and ones. denoiser.onnx: the noise in [n, 64] pixels, given
[n, 8] features of the time and [n, 24] codes of words. judge.onnx: 32 features of an image, and logits of 16 classes.
"""
import argparse
import math
import pathlib

import numpy as np
import torch
from torch import nn

from train_networks import random_bits

SIDE, WORDS, CODE, TIME, CLASSES = 8, 16, 24, 8, 16
SEED_OFFSET = 1 << 40


def draw(first, count):
    """Images, words and classes of these numbers; src/network/testing_drawings.h draws the same."""
    ids = np.arange(first, first + count, dtype=np.uint64) * np.uint64(256) + np.uint64(SEED_OFFSET)

    def pick(k, most):
        return ((random_bits(ids + np.uint64(k)) >> np.uint64(40)) % np.uint64(most + 1)).astype(np.int64)

    shape, dark, right, cy = pick(0, 3), pick(1, 1), pick(2, 1), 2 + pick(3, 3)
    level = (10 + pick(4, 10)) / 20 * (1 - 2 * dark)
    words = np.zeros((count, WORDS), np.float32)
    for k, concept in ((5, shape), (6, 4 + dark), (7, 6 + right)):  # each has two words
        words[np.arange(count), 2 * concept + pick(k, 1)] = 1
    at = np.arange(SIDE)
    dx, dy = at[None, None, :] - (2 + 3 * right)[:, None, None], at[None, :, None] - cy[:, None, None]
    ax, ay = np.abs(dx), np.abs(dy)
    most = np.maximum(ax, ay)
    masks = [dx * dx + dy * dy <= 5, most == 2, (most <= 2) & (np.minimum(ax, ay) == 0), (most <= 2) & (ay % 2 == 0)]
    mask = np.select([(shape == k)[:, None, None] for k in range(4)], masks)
    pixel = np.arange(SIDE * SIDE, dtype=np.uint64).reshape(1, SIDE, SIDE) + np.uint64(16)
    noise = ((random_bits(ids[:, None, None] + pixel) >> np.uint64(40)) % np.uint64(41)).astype(np.int64) - 20
    images = level[:, None, None] * mask + noise / 200
    return images.astype(np.float32).reshape(count, -1), words, shape * 4 + dark * 2 + right


def time_features(t):
    waves = [f(math.pi * k * t) for k in (1, 2, 4) for f in (torch.sin, torch.cos)]
    return torch.stack([torch.ones_like(t), t, *waves], 1)


def alpha(t):
    return torch.cos(0.49 * math.pi * t)


def layers(*widths):
    parts = []
    for a, b in zip(widths, widths[1:]):
        parts += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*parts[:-1])


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = layers(SIDE * SIDE + TIME + CODE, 128, 128, SIDE * SIDE)

    def forward(self, pixels, time, code):
        return self.layers(torch.cat([pixels, time, code], 1))


class Judge(nn.Module):
    def __init__(self):
        super().__init__()
        self.features, self.classes = nn.Sequential(nn.Linear(SIDE * SIDE, 32), nn.ReLU()), nn.Linear(32, CLASSES)

    def forward(self, pixels):
        features = self.features(pixels)
        return features, self.classes(features)


def fit(parameters, steps, rate, loss_of):
    parameters = list(parameters)
    optimizer = torch.optim.AdamW(parameters, rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for step in range(steps):
        loss = loss_of(step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 1000 == 0:
            print(step, float(loss), flush=True)


def save(model, inputs, names, outputs, path):
    axes = {name: {0: "n"} for name in names + outputs}
    torch.onnx.export(model, inputs, str(path), opset_version=13, input_names=names, output_names=outputs, dynamic_axes=axes)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=20000)
    a = parser.parse_args()
    torch.manual_seed(1)
    encoder, denoiser, judge = layers(WORDS, 96, 96, CODE), Denoiser(), Judge()
    images, words, classes = map(torch.from_numpy, draw(0, 20000))
    batch = 128

    def judged(step):
        pick = torch.randint(len(images), (batch,))
        noisy = images[pick] + 0.1 * torch.randn(batch, SIDE * SIDE)
        return nn.functional.cross_entropy(judge(noisy)[1], classes[pick])

    def denoised(step):
        pick = torch.randint(len(images), (batch,))
        t = torch.rand(batch)
        noise = torch.randn(batch, SIDE * SIDE)
        scale = alpha(t)[:, None]
        noisy = scale * images[pick] + (1 - scale ** 2).sqrt() * noise
        return ((denoiser(noisy, time_features(t), encoder(words[pick])) - noise) ** 2).mean()

    fit(judge.parameters(), 2000, 3e-3, judged)
    fit([*encoder.parameters(), *denoiser.parameters()], a.steps, 2e-3, denoised)
    held, held_words, held_classes = map(torch.from_numpy, draw(1 << 20, 2000))
    with torch.no_grad():
        print("judge", float((judge(held)[1].argmax(1) == held_classes).float().mean()))
        x, code, steps = torch.randn(2000, SIDE * SIDE), encoder(held_words), 16
        for k in range(steps):
            t = torch.full((2000,), 1 - k / steps)
            now, then = alpha(t)[:, None], alpha(t - 1 / steps)[:, None]
            noise = denoiser(x, time_features(t), code)
            data = ((x - (1 - now ** 2).sqrt() * noise) / now).clamp(-1.2, 1.2)
            left = (x - now * data) / (1 - now ** 2).sqrt()
            x = then * data + (1 - then ** 2).clamp(min=0).sqrt() * left
        print("drawn as asked", float((judge(x)[1].argmax(1) == held_classes).float().mean()))
    pixels = torch.zeros(2, SIDE * SIDE)
    save(encoder, (torch.zeros(2, WORDS),), ["words"], ["code"], a.folder / "words.onnx")
    save(denoiser, (pixels, torch.zeros(2, TIME), torch.zeros(2, CODE)), ["pixels", "time", "code"], ["noise"], a.folder / "denoiser.onnx")
    save(judge, (pixels,), ["pixels"], ["features", "logits"], a.folder / "judge.onnx")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
