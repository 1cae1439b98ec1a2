#!/usr/bin/env python3
"""Makes a language model of random weights in the layout of Hugging Face: Llama, or Mixtral with --experts.

    tools/random_model.py build/bench-data/wide --like data/lm --width 2048 --layers 2

It says nothing; what is measured of it is speed. Norms are ones, matrices bf16 of variance 1 / columns, with
columns of different size, so that not all are alike to what is fitted. The same options give the same bytes.
"""
import argparse
import json
import os
import shutil
import struct

import numpy as np


def bf16(values):
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).tobytes()


def shapes(c):
    """The tensors in their order, with () for ones."""
    width, head = c["hidden_size"], c["head_dim"]
    kv, ff, experts = c["num_key_value_heads"] * head, c["intermediate_size"], c.get("num_local_experts", 0)
    yield "model.embed_tokens.weight", (c["vocab_size"], width)
    for layer in range(c["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        yield at + "input_layernorm.weight", (width,)
        yield at + "self_attn.q_proj.weight", (c["num_attention_heads"] * head, width)
        yield at + "self_attn.k_proj.weight", (kv, width)
        yield at + "self_attn.v_proj.weight", (kv, width)
        yield at + "self_attn.o_proj.weight", (width, c["num_attention_heads"] * head)
        yield at + "post_attention_layernorm.weight", (width,)
        parts = [("mlp.", ("gate_proj", "up_proj", "down_proj"))]
        if experts:
            yield at + "block_sparse_moe.gate.weight", (experts, width)
            parts = [(f"block_sparse_moe.experts.{e}.", ("w1", "w3", "w2")) for e in range(experts)]
        for part, (gate, up, down) in parts:
            yield f"{at}{part}{gate}.weight", (ff, width)
            yield f"{at}{part}{up}.weight", (ff, width)
            yield f"{at}{part}{down}.weight", (width, ff)
    yield "model.norm.weight", (width,)


def values(random, shape):
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    columns = np.exp(0.5 * random.standard_normal(shape[1], np.float32)) / np.sqrt(shape[1])
    return random.standard_normal(shape, np.float32) * columns


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder")
    p.add_argument("--like", default="data/lm", help="a model whose tokenizer and vocabulary it gets")
    p.add_argument("--width", type=int, default=2048)
    p.add_argument("--layers", type=int, default=2)
    p.add_argument("--feed-forward", type=int, default=8192, help="of each expert, where there are any")
    p.add_argument("--heads", type=int, default=32)
    p.add_argument("--kv-heads", type=int, default=8)
    p.add_argument("--experts", type=int, default=0, help="two of them for each token")
    a = p.parse_args()
    with open(os.path.join(a.like, "config.json")) as f:
        config = json.load(f)
    config.update(hidden_size=a.width, num_hidden_layers=a.layers, intermediate_size=a.feed_forward,
                  num_attention_heads=a.heads, num_key_value_heads=a.kv_heads, head_dim=a.width // a.heads,
                  tie_word_embeddings=True)
    if a.experts:
        config.update(model_type="mixtral", architectures=["MixtralForCausalLM"], num_local_experts=a.experts,
                      num_experts_per_tok=2)
    os.makedirs(a.folder, exist_ok=True)
    header, end = {}, 0
    for name, shape in shapes(config):
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    random = np.random.default_rng(1)
    with open(os.path.join(a.folder, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, shape in shapes(config):
            f.write(bf16(values(random, shape)))
    with open(os.path.join(a.folder, "config.json"), "w") as f:
        json.dump(config, f, indent=1)
    shutil.copy(os.path.join(a.like, "tokenizer.model"), a.folder)


if __name__ == "__main__":
    main()
