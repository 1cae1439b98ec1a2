"""The file formats and number formats that bench_data.py writes, on the standard library and NumPy."""
import json
import struct

import numpy as np

# --- safetensors ---------------------------------------------------------------------------------


def read_safetensors(path):
    """[(name, dtype, shape, bytes)] in file order."""
    raw = path.read_bytes()
    start = 8 + struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:start])
    header.pop("__metadata__", None)
    items = sorted(header.items(), key=lambda item: item[1]["data_offsets"])
    return [(name, t["dtype"], t["shape"], raw[start + t["data_offsets"][0]:start + t["data_offsets"][1]])
            for name, t in items]


def safetensors(items):
    """The file's bytes; items as read_safetensors() gives them, stored in that order."""
    header, blobs, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name, dtype, shape, raw in items:
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(raw)]}
        blobs.append(raw)
        at += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(blobs)


# --- numbers -------------------------------------------------------------------------------------


def widen_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def round_bf16(values):
    """fp32 to bf16 bits, to nearest even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def _e4m3_magnitudes():
    codes = np.arange(127)
    exponent, mantissa = codes >> 3, codes & 7
    return np.where(exponent == 0, mantissa / 8 * 2.0 ** -6, (1 + mantissa / 8) * 2.0 ** (exponent - 7.0))


_MAGNITUDES = _e4m3_magnitudes()
_MIDDLES = (_MAGNITUDES[:-1] + _MAGNITUDES[1:]) / 2


def to_e4m3(values):
    """fp32 to fp8 E4M3 codes, to nearest even, saturating at 448."""
    magnitude = np.abs(values).astype(np.float64)
    code = np.searchsorted(_MIDDLES, magnitude, "left")  # exactly between two: the lower one
    tie = (code < 126) & (magnitude == _MIDDLES[np.minimum(code, 125)])
    code += tie & (code & 1 == 1)
    return code.astype(np.uint8) | np.signbit(values).astype(np.uint8) << 7


# --- GGUF ----------------------------------------------------------------------------------------

# ggml_type number, elements and bytes of a block, general.file_type
GGUF_TYPES = {"F32": (0, 1, 4, 0), "BF16": (30, 1, 2, 32), "Q8_0": (8, 32, 34, 7), "Q4_0": (2, 32, 18, 2)}


def quantize_q8_0(values):
    """Blocks of 32: fp16 d = largest magnitude / 127, then 32 int8, halves rounded away from zero."""
    x = values.reshape(-1, 32)
    d = np.abs(x).max(1) / np.float32(127)
    scaled = (x * _inverse(d)[:, None]).astype(np.float64)
    q = np.copysign(np.floor(np.abs(scaled) + 0.5), scaled).astype(np.int8)
    return _blocks(d, q.view(np.uint8))


def quantize_q4_0(values):
    """Blocks of 32: fp16 d = the value of largest magnitude / -8, then 4-bit codes around 8, the
    first half of the block in the low nibbles."""
    x = values.reshape(-1, 32)
    extreme = x[np.arange(len(x)), np.abs(x).argmax(1)]
    d = extreme / np.float32(-8)
    q = np.minimum((x * _inverse(d)[:, None] + np.float32(8.5)).astype(np.int8), 15).astype(np.uint8)
    return _blocks(d, q[:, :16] | q[:, 16:] << 4)


def _inverse(d):
    return np.divide(np.float32(1), d, out=np.zeros_like(d), where=d != 0)


def _blocks(d, codes):
    scale = d.astype(np.float16).view(np.uint8).reshape(-1, 2)
    return np.concatenate([scale, codes], axis=1).tobytes()


_ENCODERS = {"F32": lambda x: x.tobytes(), "BF16": lambda x: round_bf16(x).tobytes(),
             "Q8_0": quantize_q8_0, "Q4_0": quantize_q4_0}
_LAYER = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
          "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
          "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
_TOP = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight"}


def _gguf_tensor(name, weight, config):
    """llama.cpp's name, and its order of rows: RoPE pairs neighbours within each head."""
    if name in _TOP:
        return _TOP[name], weight
    parts = name.split(".")
    kind = _LAYER[".".join(parts[3:-1])]
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}.get(kind)
    if heads:
        rows, columns = weight.shape
        weight = weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
    return f"blk.{parts[2]}.{kind}.weight", np.ascontiguousarray(weight)


def _string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _pair(key, value):
    if isinstance(value, str):
        return _string(key) + struct.pack("<I", 8) + _string(value)
    if isinstance(value, float):
        return _string(key) + struct.pack("<If", 6, value)
    return _string(key) + struct.pack("<II", 4, value)


def _metadata(config, kind):
    return [("general.architecture", "llama"), ("general.name", "reference"),
            ("general.file_type", GGUF_TYPES[kind][3]),
            ("llama.block_count", config["num_hidden_layers"]),
            ("llama.context_length", config["max_position_embeddings"]),
            ("llama.embedding_length", config["hidden_size"]),
            ("llama.feed_forward_length", config["intermediate_size"]),
            ("llama.attention.head_count", config["num_attention_heads"]),
            ("llama.attention.head_count_kv", config["num_key_value_heads"]),
            ("llama.attention.layer_norm_rms_epsilon", float(config["rms_norm_eps"])),
            ("llama.rope.freq_base", float(config["rope_theta"])),
            ("llama.vocab_size", config["vocab_size"])]


def gguf(tensors, config, kind):
    """A GGUF v3 file of a Llama model without vocabulary: matrices as `kind`, vectors as F32, as
    llama.cpp's converter does."""
    pairs = _metadata(config, kind)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(_pair(*p) for p in pairs)
    data, at = [], 0
    for source, shape, weight in tensors:
        name, weight = _gguf_tensor(source, weight.reshape(shape), config)
        stored = kind if weight.ndim > 1 else "F32"
        raw = _ENCODERS[stored](weight)
        head += _string(name) + struct.pack("<I", weight.ndim)
        head += b"".join(struct.pack("<Q", d) for d in weight.shape[::-1])
        head += struct.pack("<IQ", GGUF_TYPES[stored][0], at)
        raw += bytes(-len(raw) % 32)
        data.append(raw)
        at += len(raw)
    return head + bytes(-len(head) % 32) + b"".join(data)
