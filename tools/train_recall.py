#!/usr/bin/env python3
"""Trains a small Llama-layout model to recall: prose with planted facts that are asked for at its end.

    tools/train_recall.py BOOKS.txt data/lm/tokenizer.model OUT --minutes 60 [--valid OTHER.txt]

Facts are «The password of Alice is lemon.», with names and words paired anew in every document, so that the context
alone knows the answer. Documents start short and dense in facts and grow to --length tokens; the loss is taken at the
answers and at a share of the prose. OUT is a folder in the layout of Hugging Face (bf16 safetensors). --valid asks of
prose that the training has not seen. Wants PyTorch 1.13 or later and sentencepiece; an interrupted run goes on from
OUT/state.pt.
"""
import argparse
import json
import math
import os
import random
import re
import shutil
import struct
import time

import numpy as np
import sentencepiece
import torch
import torch.nn.functional as F

NAMES = ("Alice Arthur Bertha Cecil Clara Edgar Edith Edmund Eliza Emily Ernest Fanny Felix Flora Frank George Grace "
         "Harold Harriet Henry Herbert Hugh Ida Isabel James Jane Julia Laura Lewis Lucy Mabel Martha Maud Nora Oliver "
         "Oscar Peter Philip Ralph Robert Rose Ruth Samuel Sophia Susan Thomas Victor Walter William Winifred").split()
WORDS = ("lemon river candle hammer silver garden window bottle copper feather marble ribbon saddle thunder velvet "
         "walnut anchor basket button carpet cherry cotton engine forest ginger hollow island jacket kettle ladder "
         "lantern mirror needle orange pepper pillow pocket rabbit shadow spider stable summer temple timber tunnel "
         "violet winter barrel castle falcon").split()


# Tokens of documents: to recall is learned from repetitions and facts alone, then among more and more prose.
ANSWER, COPY = 1, 2
LENGTHS = (128, 192, 256, 384, 512, 768, 1024, 1536, 2048)


class Texts:
    """Documents of tokens, from the sentences of a text."""

    def __init__(self, path, tokenizer):
        prose = re.sub(r"\s+", " ", open(path, encoding="utf-8").read())
        sentences = [s for s in re.split(r"(?<=[.!?]) ", prose) if 20 < len(s) < 300 and "password" not in s]
        self.vocabulary = tokenizer.vocab_size()
        self.sentences = tokenizer.encode(sentences)
        self.facts = {n: {w: tokenizer.encode(f"The password of {n} is {w}.") for w in WORDS} for n in NAMES}
        # Tokens of the question, which are the same for all words: those of the answer begin behind them.
        self.asked = {n: len(tokenizer.encode(f"The password of {n} is")) for n in NAMES}

    def repeated(self, rng, length):
        """Tokens without sense, twice: to copy is learned from these. Few different ones ask for long matches."""
        some = rng.sample(range(3, self.vocabulary), rng.choice((4, 8, 16, 32, 64, 512)))
        # At any distance: else it is that which is learned.
        size = rng.randint(10, (length - 1) // 2)
        gap = rng.randint(0, length - 1 - 2 * size)
        told, between = ([rng.choice(some) for _ in range(n)] for n in (size, gap))
        return [1] + told + between + told, [0] * (1 + size + gap + 5) + [COPY] * (size - 5)

    def document(self, rng, length, facts, asked, prose):
        """Ids, at most `length`, and what is asked at each: the first token of an answer, a copy, or nothing."""
        if rng.random() < (0.15 if prose else 0.5):
            return self.repeated(rng, length)
        pairs = list(zip(rng.sample(NAMES, facts), rng.sample(WORDS, facts)))
        tail, marks = [], []
        for name, word in rng.sample(pairs, asked):
            fact = self.facts[name][word]
            marks += [ANSWER if i == self.asked[name] else 0 for i in range(len(fact))]
            tail += fact
        body = [self.facts[n][w] for n, w in pairs]
        room = length - 1 - len(tail) - sum(map(len, body))
        at = rng.randrange(len(self.sentences) - 400)
        told = []
        while prose and len(self.sentences[at]) <= room:
            told.append(self.sentences[at])
            room -= len(self.sentences[at])
            at += 1
        for fact in body:
            told.insert(rng.randrange(len(told) + 1), fact)
        ids = [1] + [t for s in told for t in s]
        return ids + tail, [0] * len(ids) + marks

    def batch(self, rng, length, facts, asked, count, prose):
        ids = torch.zeros((count, length), dtype=torch.long)
        marks = torch.zeros((count, length), dtype=torch.long)
        there = torch.zeros((count, length), dtype=torch.bool)
        for i in range(count):
            n = rng.randint(*facts)
            d, m = self.document(rng, length, n, min(n, asked), prose)
            ids[i, :len(d)], marks[i, :len(d)], there[i, :len(d)] = torch.tensor(d), torch.tensor(m), True
        return ids, marks, there


def parameters(c):
    g, w, h = torch.Generator().manual_seed(1), c["hidden_size"], c["head_dim"]
    heads, kv, ff = c["num_attention_heads"] * h, c["num_key_value_heads"] * h, c["intermediate_size"]
    p = {"model.embed_tokens.weight": (c["vocab_size"], w), "model.norm.weight": (w,)}
    for i in range(c["num_hidden_layers"]):
        p.update({f"model.layers.{i}.{k}.weight": s for k, s in {
            "input_layernorm": (w,), "post_attention_layernorm": (w,), "self_attn.q_proj": (heads, w),
            "self_attn.k_proj": (kv, w), "self_attn.v_proj": (kv, w), "self_attn.o_proj": (w, heads),
            "mlp.gate_proj": (ff, w), "mlp.up_proj": (ff, w), "mlp.down_proj": (w, ff)}.items()})
    deep = math.sqrt(2 * c["num_hidden_layers"])
    made = {}
    for k, s in p.items():
        spread = 0.02 if "embed" in k else s[-1] ** -0.5 / (deep if "o_proj" in k or "down" in k else 1)
        made[k] = torch.nn.Parameter(torch.ones(s) if len(s) == 1 else torch.randn(s, generator=g) * spread)
    return made


def norm(x, weight, eps):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def linear(x, weight):  # bf16 products are much faster where the processor has them
    return F.linear(x.bfloat16(), weight.bfloat16()).float()


def hidden(c, p, ids):
    """States before the last projection."""
    b, t = ids.shape
    h, heads, kv = c["head_dim"], c["num_attention_heads"], c["num_key_value_heads"]
    angle = torch.arange(t)[:, None] * c["rope_theta"] ** (-torch.arange(0, h, 2) / h)
    cos, sin = torch.cat([angle.cos()] * 2, -1), torch.cat([angle.sin()] * 2, -1)
    mask = torch.full((t, t), -1e9).triu(1).bfloat16()
    x = p["model.embed_tokens.weight"][ids]
    for i in range(c["num_hidden_layers"]):
        w = {k: p[f"model.layers.{i}.{k}.weight"] for k in (
            "input_layernorm", "post_attention_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
            "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")}
        y = norm(x, w["input_layernorm"], c["rms_norm_eps"])

        def split(name, n, turn):
            z = linear(y, w[name]).view(b, t, n, h).transpose(1, 2)
            if turn:
                z = z * cos + torch.cat([-z[..., h // 2:], z[..., :h // 2]], -1) * sin
            return z.bfloat16().repeat_interleave(heads // n, 1).reshape(b * heads, t, h)

        q, k, v = (split("self_attn.q_proj", heads, True), split("self_attn.k_proj", kv, True),
                   split("self_attn.v_proj", kv, False))
        weights = torch.softmax(torch.baddbmm(mask.expand(b * heads, t, t), q, k.transpose(1, 2), alpha=h ** -0.5), -1)
        y = torch.bmm(weights, v).view(b, heads, t, h).transpose(1, 2).reshape(b, t, heads * h)
        x = x + linear(y, w["self_attn.o_proj"])
        y = norm(x, w["post_attention_layernorm"], c["rms_norm_eps"])
        x = x + linear(F.silu(linear(y, w["mlp.gate_proj"])) * linear(y, w["mlp.up_proj"]), w["mlp.down_proj"])
    return norm(x, p["model.norm.weight"], c["rms_norm_eps"])


def losses(c, p, texts, rng, length, facts, asked, count, prose):
    """Mean loss at answers, the share that is right, and mean losses at copies and a share of the prose."""
    ids, marks, there = texts.batch(rng, length, facts, asked, count, prose > 0)
    states, wanted = hidden(c, p, ids)[:, :-1], ids[:, 1:]

    def at(which):
        logits = linear(states[which], p["model.embed_tokens.weight"])
        return F.cross_entropy(logits, wanted[which]), (logits.argmax(-1) == wanted[which]).float().mean()

    marks = marks[:, 1:]
    answers, right = at(marks == ANSWER)
    some = there[:, 1:] & (marks == 0) & (torch.rand(wanted.shape) < prose)
    copies = at(marks == COPY)[0] if (marks == COPY).any() else answers * 0
    return answers, right, copies, at(some)[0] if prose > 0 else answers * 0


def save(c, p, tokenizer, out):
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump(c, f, indent=1)
    if not os.path.exists(os.path.join(out, "tokenizer.model")):
        shutil.copy(tokenizer, os.path.join(out, "tokenizer.model"))
    header, blobs, at = {}, [], 0
    for name in sorted(p):
        blob = p[name].detach().bfloat16().view(torch.int16).numpy().tobytes()
        header[name] = {"dtype": "BF16", "shape": list(p[name].shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(out, "model.safetensors.part"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))
    os.replace(os.path.join(out, "model.safetensors.part"), os.path.join(out, "model.safetensors"))


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("text"), a.add_argument("tokenizer"), a.add_argument("out"), a.add_argument("--valid")
    for name, value in (("minutes", 60), ("width", 128), ("layers", 4), ("heads", 4), ("kv-heads", 2), ("ffn", 384),
                        ("length", 1024), ("tokens", 8192), ("threads", 1), ("seed", 1)):
        a.add_argument("--" + name, type=int, default=value)
    a.add_argument("--rate", type=float, default=2e-3)
    a = a.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    rng = random.Random(a.seed)
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=a.tokenizer)
    c = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": a.width,
         "num_hidden_layers": a.layers, "num_attention_heads": a.heads, "num_key_value_heads": a.kv_heads,
         "head_dim": a.width // a.heads, "intermediate_size": a.ffn, "vocab_size": tokenizer.vocab_size(),
         "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": a.length,
         "tie_word_embeddings": True, "hidden_act": "silu", "torch_dtype": "bfloat16", "bos_token_id": 1,
         "eos_token_id": 2}
    os.makedirs(a.out, exist_ok=True)
    p = parameters(c)
    steps = torch.optim.AdamW([{"params": [v for v in p.values() if v.dim() == 2], "weight_decay": 0.05},
                               {"params": [v for v in p.values() if v.dim() == 1], "weight_decay": 0}],
                              a.rate, betas=(0.9, 0.98))
    state, step, spent, stage, good = os.path.join(a.out, "state.pt"), 0, 0.0, 0, 0.0
    if os.path.exists(state):
        s = torch.load(state)
        for k in p:
            p[k].data.copy_(s["p"][k])
        steps.load_state_dict(s["adam"])
        step, spent, stage, good = s["step"], s["spent"], s["stage"], s["good"]
        rng.seed(a.seed + step)
    texts = Texts(a.text, tokenizer)
    valid = Texts(a.valid, tokenizer) if a.valid else None
    began, last = time.process_time() - spent, time.time()  # seconds of the processor: a run that is stopped waits
    while (now := (time.process_time() - began) / 60 / a.minutes) < 1:
        rate = a.rate * min(1, (step + 1) / 200) * (1 if now < 0.5 else math.cos((now - 0.5) * math.pi) ** 2 + 0.01)
        for group in steps.param_groups:
            group["lr"] = rate
        # Lengths up to what is mastered, so that none is forgotten; in stage 0 no prose.
        now_at = stage if stage == 0 or rng.random() < 0.6 else rng.randint(1, stage)
        length = LENGTHS[max(now_at, 1) - 1]
        answers, right, copies, prose = losses(c, p, texts, rng, length, (2, min(10, length // 32)), 10,
                                       max(1, a.tokens // length), 0.125 if stage else 0)
        steps.zero_grad()
        (answers + copies + 0.3 * prose).backward()
        torch.nn.utils.clip_grad_norm_(p.values(), 1)
        steps.step()
        step += 1
        if now_at == stage:
            good = 0.95 * good + 0.05 * right.item()
            if good > 0.9 and (stage == 0 or LENGTHS[stage - 1] < a.length):
                stage, good = stage + 1, 0.5
        if step % 100 == 0:
            text = f"step {step} {now:.0%} stage {stage} length {length} answers {answers:.3f} right {right:.3f} copies {copies:.3f} prose {prose:.3f}"
            if valid and step % 500 == 0:
                with torch.no_grad():
                    v = losses(c, p, valid, random.Random(5), a.length, (4, 4), 4, 16, 0.25)
                text += f" | of {a.length} unseen: answers {v[0]:.3f} right {v[1]:.3f} prose {v[3]:.3f}"
            print(text, f"{time.time() - last:.0f} s", flush=True)
            last = time.time()
        if step % 500 == 0:
            save(c, p, a.tokenizer, a.out)
            torch.save({"p": p, "adam": steps.state_dict(), "step": step, "spent": time.process_time() - began,
                        "stage": stage, "good": good}, state + ".part")
            os.replace(state + ".part", state)
    save(c, p, a.tokenizer, a.out)


if __name__ == "__main__":
    main()
