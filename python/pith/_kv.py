"""Keys and values of other engines' caches as bytes, and back."""

from typing import Any, Iterable, Optional

import numpy as np

from . import _pith


def _checked(keys: Any, values: Any) -> "tuple[np.ndarray, np.ndarray]":
    pair = tuple(np.ascontiguousarray(a, dtype=np.float32) for a in (keys, values))
    if pair[0].ndim != 4 or pair[0].shape != pair[1].shape:
        raise ValueError(
            "keys and values are arrays of (layers, heads, tokens, channels), both of one shape: "
            f"got {pair[0].shape} and {pair[1].shape}"
        )
    return pair


def kv_compress(
    keys: Any,
    values: Any,
    coding: str,
    *,
    base: Optional[float] = None,
    neighbours: bool = False,
    first: int = 0,
    threads: int = 1,
) -> bytes:
    """Keys and values, (layers, heads, tokens, channels), in a coding of docs/kv-travel.md.

    A ``stream(...)`` undoes the rotation of keys. ``base`` is that of the model that made them
    (``rope_theta`` of its config.json), ``neighbours`` whether elements 2 i and 2 i + 1 of a head
    turn together instead of i and i + half, and ``first`` the position of the first token. Without
    ``base`` the coding says both, and where it does not they are 10000 and false. What is wrong
    costs bytes or precision, nothing else; a coding or a profile that contradicts ``base`` is
    refused.
    """
    keys, values = _checked(keys, values)
    if neighbours and base is None:
        raise ValueError("neighbours goes with a base")
    return _pith.kv_compress(
        keys, values, list(keys.shape), coding, base, neighbours, first, threads
    )


def kv_restore(
    data: Any, *, profile: Optional[bytes] = None, threads: int = 1
) -> "tuple[np.ndarray, np.ndarray]":
    """What `kv_compress` made, as float32; with the bytes of the profile, if it was made with one."""
    keys, values, shape, _ = _pith.kv_restore(data, profile, threads)
    return tuple(np.frombuffer(a, dtype=np.float32).reshape(shape).copy() for a in (keys, values))


def kv_profile(
    caches: "Iterable[tuple[Any, Any]]",
    *,
    joined: str = "all",
    base: float = 10000.0,
    neighbours: bool = False,
    first: int = 0,
    threads: int = 1,
) -> bytes:
    """A profile of pairs of keys and values of a model, to be written to a file for `coding`.

    ``joined``: heads that share their axes: ``"all"``, those of a ``"layer"``, each ``"head"`` for
    itself. ``base`` and ``neighbours`` say how the model rotates keys, as in `kv_compress`: 10000
    and false where they are left out, whatever model it is.
    """
    pairs = []
    for keys, values in caches:
        keys, values = _checked(keys, values)
        pairs.append((keys, values, list(keys.shape), first))
    return _pith.kv_profile(pairs, joined, base, neighbours, threads)
