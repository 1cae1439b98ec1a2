#!/usr/bin/env python3
"""Trains the two small networks of data/networks on drawn shapes and writes them as ONNX files.

usage: train_networks.py FOLDER [--only NAME]      (python3-torch 1.13; ten minutes on one core)

residual.onnx: a residual CNN with its batch norms unfolded. vit.onnx: a vision transformer whose layer norms and
GELUs are taken apart, as opset 13 has them. Inputs are [n, 1, 24, 24] in [-1, 1), outputs [n, 10] logits.
"""
import argparse
import pathlib

import numpy as np
import torch
from torch import nn

SIDE = 24
HELD_OUT = 1 << 20  # images from here on are for tests only


def random_bits(n):
    """As pith/base/random.h with seed 0."""
    with np.errstate(over="ignore"):
        z = (n.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def draw(first, count):
    """Images and classes of these numbers; src/network/testing_images.h draws the same."""
    ids = np.arange(first, first + count, dtype=np.uint64) * np.uint64(1024)

    def pick(k, least, most):
        return (least + (random_bits(ids + np.uint64(k)) >> np.uint64(40)).astype(np.int64) % (most - least + 1))[:, None, None]

    shape, radius = pick(0, 0, 9), pick(1, 4, 8)
    cx, cy, light, contrast, sign, phase = (pick(2, 8, 15), pick(3, 8, 15), pick(4, 96, 160), pick(5, 14, 60),
                                            pick(6, 0, 1), pick(7, 0, 3))
    at = np.arange(SIDE)
    dx, dy = at[None, None, :] - cx, at[None, :, None] - cy
    ax, ay, far = np.abs(dx), np.abs(dy), dx * dx + dy * dy
    most = np.maximum(ax, ay)
    inside = most <= radius
    masks = [far <= radius * radius, (far <= radius * radius) & (far > (radius - 2) ** 2),
             inside, inside & (most > radius - 2), ax + ay <= radius,
             inside & (np.minimum(ax, ay) <= 1), inside & (np.abs(ax - ay) <= 1),
             inside & ((dy + phase + 32) % 4 < 2), inside & ((dx + phase + 32) % 4 < 2),
             inside & (((dx + 32) // 2 + (dy + 32) // 2) % 2 == 0)]
    mask = np.select([shape == k for k in range(10)], masks)
    pixel = np.arange(SIDE * SIDE, dtype=np.uint64).reshape(1, SIDE, SIDE) + np.uint64(16)
    noise = random_bits(ids[:, None, None] + pixel)
    noise = sum(((noise >> np.uint64(8 * k)) & np.uint64(63)).astype(np.int64) for k in range(4)) - 126
    image = np.clip(light + contrast * (2 * sign - 1) * mask + noise // 2, 0, 255)
    return ((image - 128) / 128).astype(np.float32)[:, None], shape[:, 0, 0]


class Block(nn.Module):
    def __init__(self, ins, outs, stride):
        super().__init__()
        self.main = nn.Sequential(nn.Conv2d(ins, outs, 3, stride, 1, bias=False), nn.BatchNorm2d(outs), nn.ReLU(),
                                  nn.Conv2d(outs, outs, 3, 1, 1, bias=False), nn.BatchNorm2d(outs))
        self.skip = nn.Identity() if stride == 1 else nn.Sequential(
            nn.Conv2d(ins, outs, 1, stride, bias=False), nn.BatchNorm2d(outs))

    def forward(self, x):
        return torch.relu(self.main(x) + self.skip(x))


def residual():
    return nn.Sequential(nn.Conv2d(1, 12, 3, 1, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
                         Block(12, 12, 1), Block(12, 24, 2), Block(24, 36, 2),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(36, 10))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q @ k.transpose(-2, -1)) * (width // self.heads) ** -0.5
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(n, tokens, width))


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.first, self.attention, self.second = nn.LayerNorm(width), Attention(width, heads), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        x = x + self.attention(self.first(x))
        return x + self.mlp(self.second(x))


class ViT(nn.Module):
    def __init__(self, width=32, heads=4, layers=3, patch=4):
        super().__init__()
        self.patches = nn.Conv2d(1, width, patch, patch)
        self.mark = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, (SIDE // patch) ** 2 + 1, width) * 0.02)
        self.layers = nn.Sequential(*[Layer(width, heads) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.mark.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.head(self.norm(self.layers(x))[:, 0])


def train(model, steps, rate, batch):
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for step in range(steps):
        images, classes = draw(step * batch, batch)
        loss = nn.functional.cross_entropy(model(torch.from_numpy(images)), torch.from_numpy(classes))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            print(step, float(loss), flush=True)
    model.eval()
    images, classes = draw(HELD_OUT, 4000)
    with torch.no_grad():
        right = model(torch.from_numpy(images)).argmax(1).numpy() == classes
    print(f"held out: {right.mean():.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", choices=["residual", "vit"])
    a = parser.parse_args()
    for name, make, rate, steps, batch in (("residual", residual, 8e-3, 2000, 128), ("vit", ViT, 3e-3, 6000, 64)):
        if a.only and a.only != name:
            continue
        torch.manual_seed(1)
        model = make()
        print(name, sum(p.numel() for p in model.parameters()), "parameters")
        train(model, steps, rate, batch)
        torch.onnx.export(model, torch.from_numpy(draw(0, 2)[0]), str(a.folder / f"{name}.onnx"), opset_version=13,
                          training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
                          input_names=["images"], output_names=["logits"],
                          dynamic_axes={"images": {0: "n"}, "logits": {0: "n"}})


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
