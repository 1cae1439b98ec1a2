#!/usr/bin/env python3
"""Trains small surrogates of waves in a box, which differ in the form and number of their kernels alone, from three seeds each.

usage: train_waves.py FOLDER [--only NAME]      (python3-torch 1.13; some minutes on one core)

Input [n, 2, 24, 24]: the heights of a membrane that is held at its edges, a step ago and now; output [n, 1, 24, 24]: those a
step later. All have three convolutions of 5 x 5 with hyperbolic tangents between them. waves_full_16_SEED.onnx: full kernels
with 16 channels. waves_separable_16_SEED.onnx: as many kernels, each a product of one filter over channels, one along the
height and one along the width, trained so from the beginning. waves_full_4_SEED.onnx: full kernels with so few channels that
they have about as many weights as the separable ones.
"""
import argparse
import pathlib

import numpy as np
import torch
from torch import nn

from train_networks import random_bits

SIDE, SUBSTEPS, COURANT, SIZE = 24, 4, 0.5, 5


def drops(first, count):
    """Membranes at rest with three drops each; src/network/testing_waves.h makes the same."""
    ids = np.arange(first, first + count, dtype=np.uint64) * np.uint64(16) + np.uint64(1 << 41)

    def unit(k):
        return ((random_bits(ids + np.uint64(k)) >> np.uint64(40)).astype(np.float64) / (1 << 24))[:, None, None]

    at = np.arange(SIDE)
    y, x, out = at[None, :, None], at[None, None, :], np.zeros((count, SIDE, SIDE))
    for k in range(3):
        cy, cx, height = 4 + 15 * unit(3 * k), 4 + 15 * unit(3 * k + 1), 2 * unit(3 * k + 2) - 1
        out += height * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 6)
    return out.astype(np.float32)


def motions(first, count, steps):
    """[count, steps + 1, SIDE, SIDE], by second differences in time and space."""
    before = now = drops(first, count)
    states = [now]
    for _ in range(steps * SUBSTEPS):
        p = np.pad(now, ((0, 0), (1, 1), (1, 1)))
        laplace = p[:, 2:, 1:-1] + p[:, :-2, 1:-1] + p[:, 1:-1, 2:] + p[:, 1:-1, :-2] - 4 * now
        before, now = now, 2 * now - before + np.float32(COURANT ** 2) * laplace
        states.append(now)
    return np.stack(states[::SUBSTEPS], 1)


def full(ins, outs):
    layer = nn.Conv2d(ins, outs, SIZE, padding=SIZE // 2, bias=False)
    nn.init.normal_(layer.weight, std=(ins * SIZE ** 2) ** -0.5)
    return layer


class Separable(nn.Module):
    """Kernels that are products of three filters: one convolution while it is trained, three of them in the file."""
    def __init__(self, ins, outs):
        super().__init__()
        self.outs = outs
        self.across = nn.Parameter(torch.randn(outs, ins, 1, 1) * ins ** -0.5)
        middle = torch.eye(SIZE)[SIZE // 2]  # filters begin close to what leaves everything where it is
        self.down, self.along = (nn.Parameter((middle + 0.3 * SIZE ** -0.5 * torch.randn(outs, 1, SIZE)).reshape(outs, 1, *shape))
                                 for shape in ((SIZE, 1), (1, SIZE)))

    def forward(self, x):
        if not torch.onnx.is_in_onnx_export():
            return nn.functional.conv2d(x, self.across * self.down * self.along, padding=SIZE // 2)
        x = nn.functional.conv2d(x, self.across)
        x = nn.functional.conv2d(x, self.down, padding=(SIZE // 2, 0), groups=self.outs)
        return nn.functional.conv2d(x, self.along, padding=(0, SIZE // 2), groups=self.outs)


def surrogate(kernel, channels):
    return nn.Sequential(kernel(2, channels), nn.Tanh(), kernel(channels, channels), nn.Tanh(), kernel(channels, 1))


def rollout(model, states, steps):
    """[n, steps, SIDE, SIDE] from the first two states on."""
    states = list(states.split(1, 1))
    for _ in range(steps):
        states.append(model(torch.cat(states[-2:], 1)))
    return torch.cat(states[2:], 1)


def train(model, steps, rate, data, batch=4, most=6, noise=0.005):
    """Ever further ahead: after one step alone errors grow. What is short is in no motion, so that noise must teach to damp it."""
    optimizer = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        ahead = 1 + most * step // steps
        pick, at = torch.randint(len(data), (batch,)), int(torch.randint(data.shape[1] - ahead - 1, ()))
        some = data[pick, at:at + ahead + 2]
        found = rollout(model, some[:, :2] + noise * torch.randn(batch, 2, SIDE, SIDE), ahead)
        loss = ((found - some[:, 2:]) ** 2).mean() / (some ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1)
        optimizer.step()
        schedule.step()


def errors(model, held, at):
    with torch.no_grad():
        wrong = (rollout(model, held[:, :2], max(at)) - held[:, 2:2 + max(at)]) ** 2
        shares = (wrong.sum((0, 2, 3)) / (held[:, 2:2 + max(at)] ** 2).sum((0, 2, 3))).sqrt()
    return [float(shares[k - 1]) for k in at]


KINDS = {"full_16": (full, 16), "separable_16": (Separable, 16), "full_4": (full, 4)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=1e-2)
    a = parser.parse_args()
    data, held = torch.from_numpy(motions(0, 2000, 30)), torch.from_numpy(motions(1 << 20, 100, 21))
    for seed in a.seeds:
        for name, (kernel, channels) in KINDS.items():
            if a.only and a.only != name:
                continue
            torch.manual_seed(seed)
            model = surrogate(kernel, channels)
            train(model, a.steps, a.rate, data)
            shown = " ".join(f"{e:.4f}" for e in errors(model, held, (1, 5, 10, 20)))
            print(f"{name} {seed}: {sum(p.numel() for p in model.parameters())} weights, errors after 1, 5, 10, 20: {shown}", flush=True)
            torch.onnx.export(model, held[:2, :2], str(a.folder / f"waves_{name}_{seed}.onnx"), opset_version=13,
                              input_names=["states"], output_names=["next"], dynamic_axes={"states": {0: "n"}, "next": {0: "n"}})


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
