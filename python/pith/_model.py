"""Language models that run in the forms in which they are stored."""

from __future__ import annotations

import operator
import os
from typing import Any, Callable

import numpy as np

from . import _pith
from ._errors import UsageError
from ._model_results import Divergence, Evaluation, Generated, Measured, ModelConfig


class Stream:
    """An iterator of pieces of the text that a model writes, each as soon as it is known; made by
    `Model.stream`. One thread at a time gets the next piece."""

    __slots__ = ("_core",)

    def __init__(self, core: _pith.Writing):
        self._core = core

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> str:
        while (text := self._core.next()) is not None:
            if text:
                return text
        raise StopIteration

    def stop(self) -> None:
        """Draws no further token; what was held back still comes."""
        self._core.stop()

    @property
    def written(self) -> Generated:
        """What was written so far; its `stop` says why when the iterator has ended."""
        return Generated(*self._core.written())


class Model:
    """A language model of the Llama family, whose every matrix is a form. It does not change, and
    many threads may use one. `pith.load_model` opens it.

    A prompt is a text (`str`, or `bytes`, which need not be UTF-8), a sequence of token ids, or a
    conversation: a list of mappings with `role` and `content`, which the model's chat template
    makes a text of.
    """

    __slots__ = ("_core", "_config", "threads", "__weakref__")

    def __init__(self, core: _pith.Model, threads: int):
        self._core = core
        self._config = ModelConfig(**core.config())
        self.threads = threads

    @property
    def config(self) -> ModelConfig:
        return self._config

    @property
    def path(self) -> str:
        return _text(self._core.where())

    @property
    def weight_bytes(self) -> int:
        """Of all tensors, as stored."""
        return self._core.weight_bytes()

    @property
    def has_tokenizer(self) -> bool:
        """Without one, prompts are ids and texts are empty."""
        return self._core.has_tokenizer()

    @property
    def chat_template(self) -> "str | None":
        """The Jinja source in the model's files."""
        source = self._core.chat_template()
        return None if source is None else _text(source)

    def tokenize(
        self, text: "str | bytes", bos: "bool | None" = None, special: bool = False
    ) -> "list[int]":
        """Ids of a text.

        bos: begin with that token; None: as the model's files say.
        special: "<|im_end|>" in the text becomes that control token; never for text of others.
        """
        return self._core.encode(_bytes(text), bos, special)

    def detokenize(
        self, ids: Any, special: bool = False, continues: bool = False, errors: str = "replace"
    ) -> str:
        """The text of ids.

        special: control tokens appear as they are written.
        continues: the text goes on from an earlier one, so a space at its front is kept.
        errors: what becomes of bytes that are not UTF-8, as for `bytes.decode`;
          'surrogateescape' keeps them, and `tokenize` takes them back.
        """
        return self._core.decode(_ids(ids), special, continues).decode("utf-8", errors)

    def chat_prompt(self, messages: Any, add_generation_prompt: bool = True) -> str:
        """The text that the chat template makes of a conversation; add_generation_prompt ends it
        where the answer begins."""
        return _text(self._core.chat_text(_messages(messages), add_generation_prompt))

    def logits(self, prompt: Any, last: bool = False, context: int = 0) -> np.ndarray:
        """The unscaled logits behind each token of the prompt, float32 [tokens, vocabulary], or
        behind the last one alone, [vocabulary]. context: positions to have room for, where that is
        more than the model was made for."""
        ids, _ = self._prompt(prompt, False)
        shape = (self.config.vocabulary,) if last else (len(ids), self.config.vocabulary)
        out = np.empty(shape, np.float32)
        self._core.logits(ids, out, last, _count("context", context), self.threads)
        return out

    def generate(
        self,
        prompt: Any,
        *,
        max_tokens: int = 256,
        temperature: float = 0.8,
        top_k: int = 40,
        top_p: float = 0.95,
        min_p: float = 0.05,
        typical: float = 1.0,
        repeat_penalty: float = 1.0,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        penalty_window: int = 64,
        logit_bias: "dict[int, float] | None" = None,
        seed: int = 0,
        stop: Any = (),
        ignore_eos: bool = False,
        context: int = 0,
        truncate: bool = False,
        special: bool = False,
        stream: "Callable[[str], Any] | None" = None,
        progress: "Callable[[int, int], Any] | None" = None,
    ) -> Generated:
        """Continues a text, or answers the last message of a conversation, as `pith run` does: the
        same prompt, options and seed give the same text there and here, on any number of threads.

        max_tokens: 0 for no limit but the context's.
        temperature … penalty_window: steps of sampling, in docs/models.md. temperature=0: always the
          most probable token.
        logit_bias: what is added to the logits of ids; -inf: never this one.
        stop: a text, or several, before the first of which the text ends.
        ignore_eos: the tokens that end a text are never drawn.
        context: positions to have room for; 0: what is needed, at most what the model was made for.
        truncate: a prompt that is too long loses its beginning, else it is a LimitError.
        special: names of control tokens in a text are these tokens.
        stream: is called with every piece of the text as it comes; False from it ends the text.
        progress: is called with (done, total) tokens of the prompt.

        Ctrl-C raises KeyboardInterrupt between two tokens.
        """
        sampler = _pith.SamplerOptions()
        sampler.temperature = float(temperature)
        sampler.top_k = _count("top_k", top_k, 32)
        sampler.top_p = float(top_p)
        sampler.min_p = float(min_p)
        sampler.typical = float(typical)
        sampler.repeat_penalty = float(repeat_penalty)
        sampler.frequency_penalty = float(frequency_penalty)
        sampler.presence_penalty = float(presence_penalty)
        sampler.penalty_window = _count("penalty_window", penalty_window, 32)
        sampler.logit_bias = [
            (_count("logit_bias", id, 31), float(bias))
            for id, bias in dict(logit_bias or {}).items()
        ]
        sampler.seed = _count("seed", seed, 64)
        ids, continues = self._prompt(prompt, special)
        stops = [stop] if isinstance(stop, (str, bytes)) else stop
        pieces = Stream(self._core.write(
            ids, continues, sampler, _count("max_tokens", max_tokens), [_bytes(s) for s in stops],
            ignore_eos, _count("context", context), truncate, self.threads, progress))  # fmt: skip
        if stream is _AS_ITERATOR:
            return pieces
        for piece in pieces:
            if stream is not None and stream(piece) is False:
                pieces.stop()
        return pieces.written

    def stream(self, prompt: Any, **options: Any) -> Stream:
        """`generate` as an iterator of pieces of the text, with the same options. The prompt is
        read before it returns."""
        if "stream" in options:
            raise TypeError("stream() is an iterator and takes no callback `stream`")
        return self.generate(prompt, stream=_AS_ITERATOR, **options)

    def chat(self, messages: Any, *, system: "str | None" = None, **options: Any) -> Generated:
        """The answer to a message (a `str`) or to the last of a conversation, with the options of
        `generate`. system: what the conversation begins with. UsageError where the model has no
        chat template."""
        if isinstance(messages, (str, bytes)):
            messages = [{"role": "user", "content": messages}]
        talk = list(messages)
        if system is not None:
            talk.insert(0, {"role": "system", "content": system})
        if not _messages(talk):
            raise UsageError("a conversation without a message")
        return self.generate(talk, **options)

    def evaluate(
        self,
        text: "str | bytes",
        *,
        context: int = 512,
        stride: int = 0,
        skip_first: int = 0,
        windows: int = 0,
        bos: "bool | None" = None,
        against: "Model | None" = None,
        progress: "Callable[[int, int], Any] | None" = None,
    ) -> Evaluation:
        """How well the model predicts a text, as `pith eval` measures it: loss, perplexity, and with
        `against` the divergence from another model of the same vocabulary.

        context: predictions in a window. stride: tokens from window to window; 0: the context.
        skip_first: so many predictions of each window do not count. windows: at most so many;
          0: all.
        bos: whether windows begin with that token; None: as the tokenizer does.
        progress: is called with (done, total) predictions.
        """
        if against is not None and not isinstance(against, Model):
            raise TypeError(f"against is a pith.Model, not {type(against).__name__}")
        loss, tokens, scored, count, length, with_bos, divergence = self._core.evaluate(
            _bytes(text), None if against is None else against._core, _count("context", context),
            _count("stride", stride), _count("skip_first", skip_first),
            _count("windows", windows), bos, self.threads, progress)  # fmt: skip
        if divergence is not None:
            divergence = Divergence(
                *(Measured(*x) if isinstance(x, tuple) else x for x in divergence)
            )
        return Evaluation(Measured(*loss), tokens, scored, count, length, with_bos, divergence)

    def _prompt(self, prompt: Any, special: bool) -> "tuple[np.ndarray, bool]":
        """Ids of a prompt, and whether the text that is written goes on from it."""
        if isinstance(prompt, (str, bytes, bytearray, memoryview)):
            return _ids(self.tokenize(prompt, special=special)), True
        if isinstance(prompt, (list, tuple)) and prompt and not _is_id(prompt[0]):
            text = self._core.chat_text(_messages(prompt), True)
            return _ids(self._core.chat_ids(text)), False
        return _ids(prompt), True

    def __repr__(self) -> str:
        c = self.config
        return f"<pith.Model {self.path!r} {c.architecture}, {c.layers} layers of width {c.width}>"


_AS_ITERATOR: Any = object()


def load_model(
    path: "str | os.PathLike[str]", threads: int = 0, memory_limit: "int | None" = None
) -> Model:
    """A language model from a Hugging Face folder, a GGUF file, or an archive of either; files are
    mapped, and weights compute in the form in which they are stored.

    >>> model = pith.load_model('lm')
    >>> model.generate('The sea', max_tokens=4, temperature=0).text
    ' of the Wor'

    threads: 0 for all processors.
    memory_limit: a model that needs more bytes is a LimitError before anything is read; None: what
      the machine has available, 0: no limit.
    """
    limit = None if memory_limit is None else _count("memory_limit", memory_limit)
    return Model(_pith.Model.load(os.fspath(path), limit), _count("threads", threads, 16))


def _count(name: str, value: Any, bits: int = 63) -> int:
    number = operator.index(value)
    if not 0 <= number < 1 << bits:
        raise UsageError(f"{name}: {number} is not 0 … {(1 << bits) - 1}")
    return number


def _is_id(value: Any) -> bool:
    return hasattr(value, "__index__")


def _ids(ids: Any) -> np.ndarray:
    array = np.asarray(ids)
    if array.size == 0 and array.ndim == 1:
        return np.empty(0, np.int32)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError("token ids are a sequence of integers")
    if array.min() < 0 or array.max() > 0x7FFFFFFF:
        wrong = array.min() if array.min() < 0 else array.max()
        raise UsageError(f"token {wrong} is outside any vocabulary")
    return np.ascontiguousarray(array, np.int32)


def _messages(messages: Any) -> "list[tuple[bytes, bytes]]":
    pairs = []
    for message in messages:
        try:
            pairs.append((_bytes(message["role"]), _bytes(message["content"])))
        except (KeyError, TypeError) as error:
            raise UsageError("a message is a mapping with texts `role` and `content`") from error
    return pairs


def _bytes(text: Any) -> bytes:
    """Bytes that are not UTF-8 stand in a `str` as the operating system's do in sys.argv."""
    if isinstance(text, (bytes, bytearray, memoryview)):
        return bytes(text)
    if not isinstance(text, str):
        raise TypeError(f"a text is a str or bytes, not {type(text).__name__}")
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise UsageError(f"the text is not Unicode: {error}") from error


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
