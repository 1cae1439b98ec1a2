#!/usr/bin/env python3
"""Codes 8-bit luma frames with an installed ffmpeg's intra coders, for `pith bench video`.

usage: peer_video.py FRAMES WIDTH HEIGHT ENCODER BYTES DECODED

FRAMES holds frames of WIDTH x HEIGHT bytes, one after the other. Every frame is coded by itself, with the quantizer of
the best quality that takes no more than BYTES of packets for all; what decodes from it goes to DECODED. ENCODER is a
name of ffmpeg's: libx264, libx265, libaom-av1; libx264+vlc codes without arithmetic coding in contexts, libx264+16x16
predicts whole blocks of 16 x 16 only. Prints one line of JSON: {"bytes", "quantizer"}, or {"error": ...} with exit code
0 where the encoder is missing, refuses, or has no quantizer that is coarse enough.
"""
import json
import os
import subprocess
import sys
import tempfile


def x264(*more):
    return (1, 51, lambda q: ["-preset", "slow", "-tune", "psnr", "-g", "1", "-qp", str(q), *more])


# Quantizers from the finest on, and how an encoder is told: intra frames only, one fixed quantizer, no psychovisual
# choices, which spend bits on looks instead of on squared error.
ENCODERS = {
    "libx264": x264(),
    "libx264+vlc": x264("-coder", "vlc"),
    "libx264+16x16": x264("-x264-params", "partitions=none"),
    "libx265": (1, 51, lambda q: ["-preset", "slow", "-tune", "psnr",
                                  "-x265-params", f"log-level=none:range=full:keyint=1:ipratio=1:qp={q}"]),
    "libaom-av1": (1, 63, lambda q: ["-cpu-used", "6", "-g", "1", "-b:v", "0", "-crf", str(q), "-qmin", str(q),
                                     "-qmax", str(q)]),
}


def run(command):
    done = subprocess.run(command, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode(errors="replace").strip().splitlines()[-1][:200] or "ffmpeg failed")
    return done.stdout


def encode(frames, size, encoder, arguments, to):
    run(["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "gray", "-color_range", "pc", "-s", size, "-r",
         "25", "-i", frames, "-c:v", encoder.partition("+")[0], "-pix_fmt", "gray", *arguments, to])
    sizes = run(["ffprobe", "-v", "error", "-show_entries", "packet=size", "-of", "csv=p=0", to]).decode().split()
    return sum(int(s.strip(",")) for s in sizes)


def measure(frames, width, height, encoder, most, decoded):
    if encoder not in ENCODERS:
        raise RuntimeError(f"no settings for {encoder}")
    low, high, arguments = ENCODERS[encoder]
    with tempfile.TemporaryDirectory() as folder:
        video = os.path.join(folder, "frames.mkv")

        def size_with(q):
            return encode(frames, f"{width}x{height}", encoder, arguments(q), video)

        if size_with(high) > most:
            raise RuntimeError("more bytes at the coarsest quantizer")
        while low < high:
            middle = (low + high) // 2
            if size_with(middle) <= most:
                high = middle
            else:
                low = middle + 1
        size = size_with(low)
        out = run(["ffmpeg", "-v", "error", "-i", video, "-f", "rawvideo", "-pix_fmt", "gray", "-"])
    if len(out) != os.path.getsize(frames):
        raise RuntimeError(f"{len(out)} bytes decoded of {os.path.getsize(frames)}")
    with open(decoded, "wb") as f:
        f.write(out)
    return {"bytes": size, "quantizer": low}


def main():
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    frames, width, height, encoder, most, decoded = sys.argv[1:]
    try:
        answer = measure(frames, int(width), int(height), encoder, int(most), decoded)
    except (RuntimeError, OSError, IndexError) as error:
        answer = {"error": str(error) or "failed"}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
