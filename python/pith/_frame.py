"""Coded buffers: one piece of memory in, a self-contained frame out."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _dtypes, _pith
from ._archive import DEFAULT_MEMORY_LIMIT
from ._write import level_of


def compress_bytes(data: Any, dtype: "str | None" = None, level: str = "default",
                   threads: int = 0) -> bytes:  # fmt: skip
    """Codes a buffer (bytes, bytearray, memoryview, C-contiguous array), which is not copied.

    dtype: Pith's name of its element type, which makes the result smaller and the search shorter;
      an array's own type if not set.

    >>> frame = pith.compress_bytes(np.arange(1000, dtype=np.int32))
    >>> len(frame) < 4000, np.frombuffer(pith.decompress_bytes(frame), np.int32)[-1]
    (True, 999)
    """
    if isinstance(data, np.ndarray):
        if dtype is None:
            dtype = _dtypes.from_numpy(data)
        if data.dtype.byteorder == ">" or not data.flags.c_contiguous:
            raise TypeError("the array is not C-contiguous and little-endian")
        data = data.reshape(-1).view(np.uint8)
    return _pith.compress_bytes(data, dtype or "bytes", level_of(level), threads)


def decompress_bytes(data: Any, memory_limit: "int | None" = None, threads: int = 0) -> bytes:
    """The original bytes of a frame; DataError when it is damaged, LimitError when they are more
    than memory_limit (8 GiB if not set).

    >>> pith.decompress_bytes(pith.compress_bytes(b'abc'))
    b'abc'
    """
    limit = DEFAULT_MEMORY_LIMIT if memory_limit is None else memory_limit
    return _pith.decompress_bytes(data, limit, threads)
