"""A tensor that is read when it is asked for, and only the rows that are asked for."""

from __future__ import annotations

import math
import operator
from typing import Any, Iterator, Protocol

import numpy as np

from . import _dtypes


_SMALL_GAP = 1 << 16  # bytes


class Reader(Protocol):
    """Where the bytes of tensors come from."""

    def read(self, index: int, first: int, last: int) -> np.ndarray:
        """Rows first <= r < last of a tensor as uint8 [bytes]; a tensor without dimensions is one
        row."""

    def stored(self, index: int) -> int: ...


class Tensor:
    """A handle to one tensor of a file. Nothing is decoded until it is read.

    Indexing works as NumPy's does and decodes only the rows that it needs; `numpy()` gives the
    whole tensor. bf16 and 8-bit floats, which NumPy lacks, become ml_dtypes arrays where that
    package is installed and else exact float32; `bits` is the same tensor as raw uint16 or uint8.
    """

    __slots__ = ("_reader", "_index", "name", "dtype", "shape", "nbytes", "file", "_swap", "_raw")

    def __init__(self, reader: Reader, index: int, name: str, dtype: str,
                 shape: "tuple[int, ...]", nbytes: int, file: str, big_endian: bool = False,
                 raw: bool = False):  # fmt: skip
        self._reader = reader
        self._index = index
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.nbytes = nbytes
        self.file = file
        self._swap = big_endian
        self._raw = raw

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def stored(self) -> int:
        """Bytes that it takes in the archive (0 when it is equal to something stored earlier)."""
        return self._reader.stored(self._index)

    @property
    def bits(self) -> "Tensor":
        """The same tensor, read as its raw bits: uint16 for bf16, uint8 for 8-bit floats and, with
        the innermost dimension in bytes, for packed types."""
        return Tensor(self._reader, self._index, self.name, self.dtype, self.shape, self.nbytes,
                      self.file, self._swap, raw=True)  # fmt: skip

    def numpy(self, raw: bool = False) -> np.ndarray:
        """The whole tensor as an array."""
        return self._read(0, self._rows(), raw or self._raw)

    def torch(self) -> Any:
        """The whole tensor as a PyTorch tensor of the same type."""
        return _dtypes.to_torch(self._read(0, self._rows(), True), self.dtype)

    def raw(self) -> bytes:
        """The tensor's bytes as they stand in the original file."""
        return self._reader.read(self._index, 0, self._rows()).tobytes()

    def __array__(self, dtype: Any = None, copy: "bool | None" = None) -> np.ndarray:
        array = self.numpy()
        return array if dtype is None else array.astype(dtype, copy=False)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a tensor without dimensions")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        parts = key if isinstance(key, tuple) else (key,)
        selection = _Selection.of(parts[0], self.shape[0]) if parts and self._sliceable() else None
        if selection is None:
            return self.numpy()[key]
        rows = self._gather(selection.rows)
        return rows[(selection.index, *parts[1:])]

    def __repr__(self) -> str:
        bits = ".bits" if self._raw else ""
        return f"<pith.Tensor {self.name!r}{bits} {self.dtype} {list(self.shape)}>"

    def __reduce__(self) -> Any:
        fields = (self.name, self.dtype, self.shape, self.nbytes, self.file, self._swap, self._raw)
        return Tensor, (self._reader, self._index, *fields)

    def _rows(self) -> int:
        return self.shape[0] if self.shape else 1

    def _sliceable(self) -> bool:
        """Rows are whole bytes and the first dimension of what read() gives."""
        if not self.shape or self.nbytes == 0:
            return False
        return not _dtypes.DTYPES[self.dtype].packed or (
            self.ndim > 1 and len(self._bits_shape()) == self.ndim
        )

    def _bits_shape(self) -> "tuple[int, ...]":
        return _dtypes.bits_shape(self.dtype, self.shape, self.nbytes)

    def _read(self, first: int, last: int, raw: bool) -> np.ndarray:
        if not raw and not _dtypes.has_values(self.dtype):
            raise TypeError(f"{self.name}: {self.dtype} elements have no NumPy type; "
                            "take the bits, .numpy(raw=True)")  # fmt: skip
        data = self._reader.read(self._index, first, last).view(_dtypes.bits_dtype(self.dtype))
        if self._swap:
            # Of complex numbers, each part is swapped.
            part = data.view(data.real.dtype) if data.dtype.kind == "c" else data
            data = part.byteswap().view(data.dtype)
        shape = self._bits_shape()
        if self._sliceable():
            shape = (last - first, *shape[1:])
        data = data.reshape(shape)
        return data if raw else _dtypes.values(data, self.dtype)

    def _gather(self, rows: "range | np.ndarray") -> np.ndarray:
        """The rows given, ascending and without repeats. What lies between two of them is read
        too where that is less work than another call."""
        if len(rows) == 0:
            return self._read(0, 0, self._raw)
        if isinstance(rows, range) and rows.step == 1:
            return self._read(rows.start, rows.stop, self._raw)
        rows = np.asarray(rows)
        gap = 1 + _SMALL_GAP * self.shape[0] // self.nbytes
        breaks = np.flatnonzero(np.diff(rows) > gap) + 1
        pieces = [self._read(int(run[0]), int(run[-1]) + 1, self._raw)[run - run[0]]
                  for run in np.split(rows, breaks)]  # fmt: skip
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


class _Selection:
    """Which rows an index needs, and the index that picks the same from those rows alone."""

    def __init__(self, rows: "range | np.ndarray", index: Any):
        self.rows = rows  # ascending, without repeats
        self.index = index

    @staticmethod
    def of(key: Any, count: int) -> "_Selection | None":
        """None for an index that concerns more than rows."""
        if isinstance(key, slice):
            return _Selection._of_slice(key, count)
        if isinstance(key, (bool, np.bool_)) or key is None or key is Ellipsis:
            return None
        if isinstance(key, (list, np.ndarray)) and np.ndim(key) > 0:
            return _Selection._of_array(np.asarray(key), count)
        try:
            row = operator.index(key)
        except TypeError:
            return None
        if not -count <= row < count:
            raise IndexError(f"row {row} is out of range for {count} rows")
        return _Selection(range(row % count, row % count + 1), 0)

    @staticmethod
    def _of_slice(key: slice, count: int) -> "_Selection":
        rows = range(*key.indices(count))
        if rows.step < 0:
            return _Selection(rows[::-1], slice(None, None, -1))
        return _Selection(rows, slice(None))

    @staticmethod
    def _of_array(key: np.ndarray, count: int) -> "_Selection | None":
        if key.dtype == bool and key.shape == (count,):
            rows = np.flatnonzero(key)
            return _Selection(rows, np.arange(len(rows)))
        if key.dtype.kind not in "iu" or key.size == 0:
            return None
        wrong = key[(key < -count) | (key >= count)]
        if wrong.size:
            raise IndexError(f"row {wrong[0]} is out of range for {count} rows")
        rows, places = np.unique(key % count, return_inverse=True)
        return _Selection(rows, places.reshape(key.shape))
