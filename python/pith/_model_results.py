"""What a language model says of itself, writes, and is measured to be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class ModelConfig(NamedTuple):
    """What a model is, apart from its weights."""

    architecture: str
    """As `model_type` of config.json says it: 'llama', 'qwen2', …"""
    name: str
    """From the file; may be empty."""
    vocabulary: int
    context: int
    """Positions that the model was made for."""
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_size: int
    feed_forward: int
    experts: int
    """In each layer; 0: the model is dense."""
    experts_per_token: int
    tied_embeddings: bool
    rope_base: float
    norm_eps: float
    bos: "int | None"
    end_tokens: "tuple[int, ...]"
    """Any of these ends a text."""


class Generated(NamedTuple):
    """A text that a model wrote; `str()` gives the text alone."""

    text: str
    ids: "list[int]"
    """Its tokens, without the one that ended it."""
    stop: str
    """Why it ended: 'end' (the model ended it), 'length' (max_tokens), 'stop' (a stop text came),
    'context' (the context is full), 'interrupted' (asked to)."""
    prompt_ids: "list[int]"
    prompt_seconds: float
    """Reading the prompt."""
    seconds: float
    """Writing."""
    steps: int
    """Tokens that went through the model in `seconds`."""

    def __str__(self) -> str:
        return self.text


class Measured(NamedTuple):
    """A mean over the tokens of a text."""

    mean: float
    error: "float | None"
    """Standard error, from the means of windows; None for fewer than two."""
    token_error: "float | None"
    """What it would be if tokens were independent."""
    interval: "tuple[float, float] | None"
    """95%, from resampling windows."""


class Divergence(NamedTuple):
    """How far a model's predictions are from a reference's."""

    reference: Measured
    """The reference's loss."""
    kl: Measured
    """Kullback-Leibler divergence of the model from the reference, nats."""
    kl_median: float
    kl_99: float
    kl_99_9: float
    kl_max: float
    same_best: Measured
    """Share of positions where both have the same most probable token."""
    loss_difference: Measured
    """The model's loss minus the reference's, token by token."""


class Evaluation(NamedTuple):
    """How well a model predicts a text, and by which protocol that was measured."""

    loss: Measured
    """Nats a token."""
    text_tokens: int
    scored_tokens: int
    windows: int
    context: int
    bos: bool
    """Whether windows began with the bos token."""
    divergence: "Divergence | None"
    """Where the model was measured against another."""

    @property
    def perplexity(self) -> float:
        return float(np.exp(self.loss.mean))
