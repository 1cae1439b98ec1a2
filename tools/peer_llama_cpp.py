#!/usr/bin/env python3
"""Runs llama.cpp's shared libraries on a GGUF file, for `pith bench` and for comparisons of logits.

usage: peer_llama_cpp.py speed MODEL.gguf [--threads N] [--prefill N] [--decode N] [--runs N]
       peer_llama_cpp.py behind MODEL.gguf [--cache-type q4_0] [--threads N] [--prefill N] [--decode N] [--runs N]
                         [--cpu-time]
       peer_llama_cpp.py logits MODEL.gguf --ids 1,2,3 -o FILE [--threads N]
       peer_llama_cpp.py score MODEL.gguf --ids @FILE [--context N] [--reference FILE] [--save FILE] [--cache-type q4_0]
       peer_llama_cpp.py tokens MODEL.gguf --text TEXT
       peer_llama_cpp.py quantize MODEL.gguf -o FILE.gguf --type IQ3_XXS [--importance FILE.json] [--pure]
       peer_llama_cpp.py matrices FILE.f32 --columns N --types q4_K,iq2_xs

PITH_LLAMA_LIBS names the folder with libllama*.so and libggml*.so (a release of
https://github.com/ggml-org/llama.cpp, or the npm package @node-llama-cpp/linux-x64). Nothing is fetched.

Prints one line of JSON; {"error": ...} with exit code 0 where llama.cpp refuses or breaks down, for the work runs in
a child process.
  speed   seconds to load, tokens per second of a prompt of --prefill ids and of --decode ids one by one from an empty
          context, the best of --runs
  behind  seconds of each of --decode ids read one by one behind --prefill others and behind none, the best of --runs
  logits  of every id, float32 rows into FILE
  score   loss in nats over windows of --context ids, each id but the first of a window predicted from those before it;
          with --reference (from --save) also the mean KL divergence to it, its 99.9% quantile and the agreement of the
          most likely id
          --cache-type: of keys and values, with fused attention (also for behind)
  quantize  seconds and bytes of a file in one of its mixes of types; F32 takes any file back. --importance names the
          mean squares of the inputs of tensors; --pure, --output-type and --embedding-type are those of llama-quantize
  matrices  bits and mean squared error of a plain matrix in its types, every weight as important as the next
"""
import argparse
import ctypes as C
import json
import os
import subprocess
import sys
import time

CACHE_TYPES = {"f16": 1, "q4_0": 2, "q8_0": 8}
LIBRARIES = ("libggml-base", "libggml", "libllama")  # in the order in which they need each other


class Parameters(C.Structure):
    """Larger than any parameter structure of the library, of which only known fields are touched."""
    _fields_ = [("bytes", C.c_uint8 * 4096)]


class Batch(C.Structure):
    _fields_ = [("n_tokens", C.c_int32), ("token", C.c_void_p), ("embd", C.c_void_p), ("pos", C.c_void_p),
                ("n_seq_id", C.c_void_p), ("seq_id", C.c_void_p), ("logits", C.c_void_p)]


def open_libraries(folder):
    files = sorted(os.listdir(folder))
    opened = {}
    for name in LIBRARIES:
        found = [f for f in files if f.split(".")[0] == name and ".so" in f]
        if not found:
            raise RuntimeError(f"{folder}: there is no {name}*.so")
        opened[name] = C.CDLL(os.path.join(folder, found[0]), mode=C.RTLD_GLOBAL)
    return opened["libllama"], opened["libggml"], opened["libggml-base"]


def libraries():
    folder = os.environ.get("PITH_LLAMA_LIBS")
    if not folder:
        raise RuntimeError("set PITH_LLAMA_LIBS to the folder with llama.cpp's libraries")
    return folder, *open_libraries(folder)


class Llama:
    def __init__(self, model, threads, context, cache_type=None):
        folder, self.lib, ggml, _ = libraries()
        self.declare()
        self.quiet = C.CFUNCTYPE(None, C.c_int, C.c_char_p, C.c_void_p)(self.log)
        self.messages = []
        self.lib.llama_log_set(self.quiet, None)
        ggml.ggml_backend_load_all_from_path(os.path.join(folder, "").encode())
        self.lib.llama_backend_init()
        start = time.perf_counter()
        self.model = self.lib.llama_model_load_from_file(model.encode(), self.lib.llama_model_default_params())
        if not self.model:
            raise RuntimeError(f"{model}: not loaded: {' '.join(self.messages).strip()}")
        parameters = self.lib.llama_context_default_params()
        fields = (C.c_uint32 * 3).from_buffer(parameters)  # n_ctx, n_batch, n_ubatch
        fields[0], fields[1], fields[2] = context, context, min(context, 512)
        if cache_type:
            self.set_cache(parameters, CACHE_TYPES[cache_type])
        self.context = self.lib.llama_init_from_model(self.model, parameters)
        if not self.context:
            raise RuntimeError(f"{model}: no context: {' '.join(self.messages).strip()}")
        self.lib.llama_set_n_threads(self.context, threads, threads)
        self.load_seconds = time.perf_counter() - start
        self.memory = self.lib.llama_get_memory(self.context)
        self.vocabulary = self.lib.llama_vocab_n_tokens(self.lib.llama_model_get_vocab(self.model))

    @staticmethod
    def set_cache(parameters, cache_type):
        for at in (52, 36):  # of flash_attn_type, behind three others that are -1; versions differ
            modes = (C.c_int32 * 4).from_buffer(parameters, at - 12)
            types = (C.c_int32 * 2).from_buffer(parameters, at + 52)  # type_k, type_v
            if list(modes) == [-1] * 4 and list(types) == [1, 1]:
                modes[3], types[0], types[1] = 1, cache_type, cache_type
                return
        raise RuntimeError("the parameters of a context do not lie where they should")

    def log(self, level, text, _):
        if level >= 4 and text:  # errors
            self.messages.append(text.decode(errors="replace").strip())

    def declare(self):
        lib = self.lib
        pointers = ("llama_model_load_from_file", "llama_init_from_model", "llama_get_memory", "llama_model_get_vocab")
        for name in pointers:
            getattr(lib, name).restype = C.c_void_p
        for name in ("llama_get_memory", "llama_model_get_vocab", "llama_vocab_n_tokens", "llama_get_logits",
                     "llama_synchronize"):
            getattr(lib, name).argtypes = [C.c_void_p]
        for name in ("llama_model_default_params", "llama_context_default_params"):
            getattr(lib, name).restype = Parameters
        lib.llama_model_load_from_file.argtypes = [C.c_char_p, Parameters]
        lib.llama_init_from_model.argtypes = [C.c_void_p, Parameters]
        lib.llama_get_logits.restype = C.POINTER(C.c_float)
        lib.llama_decode.argtypes = [C.c_void_p, Batch]
        lib.llama_memory_clear.argtypes = [C.c_void_p, C.c_bool]
        lib.llama_set_n_threads.argtypes = [C.c_void_p, C.c_int32, C.c_int32]
        lib.llama_tokenize.argtypes = [C.c_void_p, C.c_char_p, C.c_int32, C.c_void_p, C.c_int32, C.c_bool, C.c_bool]

    def clear(self):
        self.lib.llama_memory_clear(self.memory, True)

    def feed(self, ids, first, every=False):
        """Ids at the positions first, first + 1, …; logits of all of them or of the last."""
        n = len(ids)
        zero = (C.c_int32 * 1)(0)
        arrays = [(C.c_int32 * n)(*ids), (C.c_int32 * n)(*range(first, first + n)), (C.c_int32 * n)(*[1] * n),
                  (C.c_void_p * n)(*[C.addressof(zero)] * n),
                  (C.c_int8 * n)(*[1 if every or k == n - 1 else 0 for k in range(n)])]
        token, pos, counts, sequences, wanted = (C.addressof(a) for a in arrays)
        code = self.lib.llama_decode(self.context, Batch(n, token, None, pos, counts, sequences, wanted))
        if code:
            raise RuntimeError(f"llama_decode gave {code}: {' '.join(self.messages).strip()}")

    def logits(self, rows):
        import numpy
        got = self.lib.llama_get_logits(self.context)
        return numpy.ctypeslib.as_array(got, (rows, self.vocabulary)).copy()

    def tokenize(self, text):
        raw, room = text.encode(), (C.c_int32 * (len(text.encode()) + 16))()
        vocabulary = self.lib.llama_model_get_vocab(self.model)
        n = self.lib.llama_tokenize(vocabulary, raw, len(raw), room, len(room), True, True)
        if n < 0:
            raise RuntimeError(f"llama_tokenize gave {n}")
        return list(room[:n])


def speed(args):
    llama = Llama(args.model, args.threads, max(args.prefill, args.decode) + 64)
    ids = [(7919 * k + 13) % llama.vocabulary for k in range(max(args.prefill, args.decode))]
    prefill = decode = float("inf")
    llama.feed(ids[:8], 0)  # the first call makes the work space and reads the file
    for _ in range(args.runs):
        llama.clear()
        start = time.perf_counter()
        llama.feed(ids[:args.prefill], 0)
        llama.lib.llama_get_logits(llama.context)
        prefill = min(prefill, time.perf_counter() - start)
        llama.clear()
        start = time.perf_counter()
        for k in range(args.decode):
            llama.feed(ids[k:k + 1], k)
            llama.lib.llama_get_logits(llama.context)
        decode = min(decode, time.perf_counter() - start)
    return {"load": llama.load_seconds, "prefill": args.prefill / prefill, "decode": args.decode / decode}


def behind(args):
    total = args.prefill + args.decode * args.runs
    llama = Llama(args.model, args.threads, total + 64, args.cache_type)
    ids = [(7919 * k + 13) % llama.vocabulary for k in range(total)]

    clock = time.process_time if args.cpu_time else time.perf_counter

    def best(first):
        seconds = float("inf")
        for run in range(args.runs):
            start = clock()
            for k in range(args.decode):
                at = first + run * args.decode + k
                llama.feed(ids[at:at + 1], at)
                llama.lib.llama_get_logits(llama.context)
            seconds = min(seconds, clock() - start)
        return seconds / args.decode

    shallow = best(0)
    llama.clear()
    for at in range(0, args.prefill, 512):
        llama.feed(ids[at:min(at + 512, args.prefill)], at)
    llama.lib.llama_get_logits(llama.context)
    return {"deep": best(args.prefill), "shallow": shallow}


def read_ids(text):
    if text.startswith("@"):
        with open(text[1:], encoding="ascii") as f:
            text = f.read()
    return [int(word) for word in text.replace(",", " ").split()]


def logits(args):
    ids = read_ids(args.ids)
    llama = Llama(args.model, args.threads, len(ids) + 8)
    llama.feed(ids, 0, every=True)
    llama.logits(len(ids)).tofile(args.output)
    return {"rows": len(ids), "vocabulary": llama.vocabulary}


def tokens(args):
    return {"ids": Llama(args.model, 1, 64).tokenize(args.text)}


def log_softmax(rows):
    import numpy
    rows = rows.astype(numpy.float64)
    rows -= rows.max(1, keepdims=True)
    return rows - numpy.log(numpy.exp(rows).sum(1, keepdims=True))


def score(args):
    import numpy
    ids = read_ids(args.ids)
    windows = len(ids) // args.context
    llama = Llama(args.model, args.threads, args.context + 8, args.cache_type)
    reference = None
    if args.reference:
        reference = numpy.fromfile(args.reference, numpy.float32).reshape(windows, args.context - 1, -1)
    losses, divergences, same, kept = [], [], [], []
    for w in range(windows):
        window = ids[w * args.context:(w + 1) * args.context]
        llama.clear()
        llama.feed(window, 0, every=True)
        own = log_softmax(llama.logits(len(window))[:-1])
        losses.append(-own[numpy.arange(len(window) - 1), window[1:]])
        if args.save:
            kept.append(own.astype(numpy.float32))
        if reference is not None:
            other = reference[w].astype(numpy.float64)
            divergences.append((numpy.exp(other) * (other - own)).sum(1))
            same.append(other.argmax(1) == own.argmax(1))
    result = {"windows": windows, "loss": float(numpy.mean(losses)), "perplexity": float(numpy.exp(numpy.mean(losses)))}
    if args.save:
        numpy.stack(kept).tofile(args.save)
    if reference is not None:
        result.update(kl=float(numpy.mean(divergences)), kl_999=float(numpy.quantile(divergences, 0.999)),
                      top1=float(numpy.mean(same)))
    return result


def quantize(args):
    import peer_llama_quantize
    return peer_llama_quantize.quantize(libraries()[1], args)


def matrices(args):
    import peer_llama_quantize
    return peer_llama_quantize.matrices(libraries()[3], args)


def in_child():
    done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--child"], capture_output=True, text=True,
                          check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        return lines[-1]
    reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return json.dumps({"error": f"ended with {done.returncode}: {reason}"})


WORK = {"speed": speed, "behind": behind, "logits": logits, "score": score, "tokens": tokens, "quantize": quantize,
        "matrices": matrices}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=sorted(WORK))
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=32)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--ids", help="separated by commas or spaces; @FILE: from a file")
    parser.add_argument("--text")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--cache-type", choices=sorted(CACHE_TYPES))
    parser.add_argument("--reference")
    parser.add_argument("--save")
    parser.add_argument("-o", "--output")
    parser.add_argument("--type", default="F32")
    parser.add_argument("--importance")
    parser.add_argument("--pure", action="store_true")
    parser.add_argument("--output-type")
    parser.add_argument("--embedding-type")
    parser.add_argument("--columns", type=int, default=4096)
    parser.add_argument("--types", default="q4_K")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    args = arguments()
    if not args.child:
        print(in_child())
        return
    try:
        print(json.dumps(WORK[args.what](args)))
    except Exception as e:  # whatever went wrong is the answer
        print(json.dumps({"error": f"{type(e).__name__}: {e}"}))


if __name__ == "__main__":
    main()
