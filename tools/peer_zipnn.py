#!/usr/bin/env python3
"""Times an installed ZipNN (https://github.com/zipnn/zipnn) in memory, for `pith bench`.

usage: peer_zipnn.py TYPE FILE [--base FILE] [--runs N] [--threads N] [--cpu-time]

Prints one line of JSON: input and output bytes and the best times, or {"error": ...} with exit code
0 for what ZipNN refuses. ZipNN's byte interface knows float32, bfloat16, float16 and fp8; int8, uint8
and bytes go through its fp8 path, which is a plain Huffman coder of bytes ("as" says so). The timed
calls run in a child process: an abort of ZipNN's C code becomes an "error", too.

Fairness: the result of each run is freed before the next and the heap is told to keep its pages, so
that after the first run ZipNN writes to warm memory. The copy that ZipNN needs of its input, because
it reorders it in place, is made outside the timed part.
"""
import argparse
import ctypes
import json
import subprocess
import sys
import time

NAMES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "fp8": "float8_e4m3fn",
         "int8": "float8_e4m3fn", "uint8": "float8_e4m3fn", "bytes": "float8_e4m3fn"}
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_heap_warm():
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def timed(clock, call):
    start = clock()
    result = call()
    return result, clock() - start


def measure(args):
    from zipnn import ZipNN
    with open(args.file, "rb") as f:
        data = f.read()
    options = {"bytearray_dtype": NAMES[args.type], "threads": args.threads}
    extra = {}
    if args.base:
        with open(args.base, "rb") as f:
            extra["delta_second_data"] = f.read()
        if len(extra["delta_second_data"]) != len(data):
            return {"error": "the base has another size"}
        options["delta_compressed_type"] = "byte"
    clock = time.process_time if args.cpu_time else time.perf_counter
    encode = decode = float("inf")
    for _ in range(args.runs):
        coder, copy = ZipNN(**options), bytearray(data)
        packed, seconds = timed(clock, lambda: coder.compress(copy, **extra))
        encode = min(encode, seconds)
        coder = ZipNN(**options)
        back, seconds = timed(clock, lambda: coder.decompress(packed, **extra))
        decode = min(decode, seconds)
        if back != data:
            return {"error": "the round trip gives other bytes"}
        size = len(packed)
        del packed, back, copy
    result = {"input": len(data), "output": size, "encode": encode, "decode": decode}
    if args.type in ("int8", "uint8", "bytes"):
        result["as"] = "fp8"
    return result


def in_child():
    done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--child"], capture_output=True,
                          text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        return lines[-1]
    reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return json.dumps({"error": f"ended with {done.returncode}: {reason}"})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("type", choices=NAMES)
    parser.add_argument("file")
    parser.add_argument("--base")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu-time", action="store_true", help="count CPU time")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.child:
        print(in_child())
        return
    keep_heap_warm()
    try:
        print(json.dumps(measure(args)))
    except Exception as e:  # whatever ZipNN raises is the answer
        print(json.dumps({"error": f"{type(e).__name__}: {e}"}))


if __name__ == "__main__":
    main()
