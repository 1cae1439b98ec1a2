"""llama.cpp's quantizer, for tools/peer_llama_cpp.py: whole files with its own mixes of types, and plain matrices."""
import ctypes as C
import json
import os
import time

# llama.cpp's enumerations llama_ftype (mixes of types in a file) and ggml_type (of one tensor).
MIXES = {"F32": 0, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_S": 11, "Q3_K_M": 12,
         "Q3_K_L": 13, "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "IQ2_XXS": 19,
         "IQ2_XS": 20, "Q2_K_S": 21, "IQ3_XS": 22, "IQ3_XXS": 23, "IQ1_S": 24, "IQ4_NL": 25, "IQ3_S": 26, "IQ3_M": 27,
         "IQ2_S": 28, "IQ2_M": 29, "IQ4_XS": 30, "IQ1_M": 31}
TYPES = {"q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "q2_K": 10, "q3_K": 11, "q4_K": 12, "q5_K": 13,
         "q6_K": 14, "iq2_xxs": 16, "iq2_xs": 17, "iq3_xxs": 18, "iq1_s": 19, "iq4_nl": 20, "iq3_s": 21, "iq2_s": 22,
         "iq4_xs": 23, "iq1_m": 29, "mxfp4": 39}


class Importance(C.Structure):  # llama_model_imatrix_data
    _fields_ = [("name", C.c_char_p), ("data", C.POINTER(C.c_float)), ("size", C.c_size_t)]


class QuantizeParameters(C.Structure):  # llama_model_quantize_params, of which later fields stay as they are given
    _fields_ = [("threads", C.c_int32), ("mix", C.c_int32), ("output_type", C.c_int32), ("embedding_type", C.c_int32),
                ("allow_requantize", C.c_bool), ("quantize_output", C.c_bool), ("only_copy", C.c_bool),
                ("pure", C.c_bool), ("keep_split", C.c_bool), ("dry_run", C.c_bool),
                ("importance", C.POINTER(Importance)), ("rest", C.c_uint8 * 4096)]


def read_importance(path):
    """{"blk.0.attn_q.weight": [mean square of each input, ...], ...}, as JSON."""
    with open(path, encoding="utf-8") as f:
        squares = json.load(f)
    entries = (Importance * (len(squares) + 1))()  # a null name ends them
    for entry, (name, values) in zip(entries, squares.items()):
        entry.name, entry.size = name.encode(), len(values)
        entry.data = C.cast((C.c_float * len(values))(*values), C.POINTER(C.c_float))
    return entries


def messages(lib):
    """What the library logs as warnings and errors."""
    kept = []

    def log(level, text, _):
        if level in (3, 4) and text:
            kept.append(text.decode(errors="replace").strip())
    callback = C.CFUNCTYPE(None, C.c_int, C.c_char_p, C.c_void_p)(log)
    lib.llama_log_set(callback, None)
    return kept, callback


def quantize(lib, args):
    kept, _callback = messages(lib)
    lib.llama_backend_init()
    lib.llama_model_quantize_default_params.restype = QuantizeParameters
    lib.llama_model_quantize.argtypes = [C.c_char_p, C.c_char_p, C.c_void_p]
    parameters = lib.llama_model_quantize_default_params()
    parameters.threads, parameters.mix = args.threads, MIXES[args.type]
    parameters.allow_requantize = args.type == "F32"  # back from any type, to look at what it kept
    parameters.pure = args.pure
    for name, given in (("output_type", args.output_type), ("embedding_type", args.embedding_type)):
        if given:
            setattr(parameters, name, TYPES[given])
    if args.importance:
        importance = read_importance(args.importance)
        parameters.importance = C.cast(importance, C.POINTER(Importance))
    unfinished = args.output + ".unfinished"
    start = time.perf_counter()
    if lib.llama_model_quantize(args.model.encode(), unfinished.encode(), C.byref(parameters)):
        raise RuntimeError(" ".join(kept) or "llama_model_quantize failed")
    seconds = time.perf_counter() - start
    os.rename(unfinished, args.output)
    return {"bytes": os.path.getsize(args.output), "seconds": seconds, "warnings": kept}


class TypeTraits(C.Structure):  # ggml_type_traits
    _fields_ = [("name", C.c_char_p), ("block", C.c_int64), ("interleave", C.c_int64), ("bytes", C.c_size_t),
                ("is_quantized", C.c_bool), ("to_float", C.c_void_p), ("from_float_reference", C.c_void_p)]


def matrices(base, args):
    """Of a file of floats, rows of --columns: bits of a weight and mean squared error in each type of --types."""
    import numpy
    base.ggml_get_type_traits.restype = C.POINTER(TypeTraits)
    base.ggml_quantize_chunk.restype = C.c_size_t
    base.ggml_quantize_chunk.argtypes = [C.c_int, C.c_void_p, C.c_void_p, C.c_int64, C.c_int64, C.c_int64, C.c_void_p]
    values = numpy.fromfile(args.model, numpy.float32).reshape(-1, args.columns)
    ones = numpy.ones(args.columns, numpy.float32)
    result = {}
    for name in args.types.split(","):
        traits = base.ggml_get_type_traits(TYPES[name]).contents
        size = values.size // traits.block * traits.bytes
        coded, back = numpy.empty(size, numpy.uint8), numpy.empty_like(values)
        start = time.perf_counter()
        got = base.ggml_quantize_chunk(TYPES[name], values.ctypes.data, coded.ctypes.data, 0, *values.shape,
                                       ones.ctypes.data)
        seconds = time.perf_counter() - start
        if got != size:
            raise RuntimeError(f"{name}: {got} bytes, not {size}")
        C.CFUNCTYPE(None, C.c_void_p, C.c_void_p, C.c_int64)(traits.to_float)(coded.ctypes.data, back.ctypes.data,
                                                                               values.size)
        error = float(numpy.square(back.astype(numpy.float64) - values).mean())
        result[name] = {"bits": 8 * size / values.size, "error": error, "seconds": seconds}
    return result
