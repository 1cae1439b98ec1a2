"""Compressed forms of matrices, which multiply as they are."""

from __future__ import annotations

import operator
import os
import tempfile
from typing import Any, NamedTuple

import numpy as np

from . import _pith
from ._errors import IoError, UsageError


class FormInfo(NamedTuple):
    """What an archive records of a tensor in a compressed form."""

    expression: str
    bytes: int
    """That the form takes."""
    bits_per_weight: float
    error: float
    """Sum of squared differences to the original, as a share of its sum of squares."""
    max_error: float
    """The largest difference."""


class Form:
    """A matrix in a compressed form; it cannot change. `pith.form` makes one, archives hold them.

    >>> form = pith.form(np.eye(4, 64, dtype=np.float32), 'uniform(4, group=64)')
    >>> form
    <pith.Form [4, 64] uniform(4, group=64)>
    >>> form.apply(np.ones(64, np.float32)).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    __slots__ = ("_core", "__weakref__")

    def __init__(self, core: _pith.Form):
        self._core = core

    @property
    def shape(self) -> "tuple[int, int]":
        """Rows and columns: outputs and inputs of `apply`."""
        return self._core.shape()

    @property
    def expression(self) -> str:
        """What the form is, as `pith.form` takes it."""
        return self._core.expression()

    @property
    def bits(self) -> int:
        """That it takes, side information and all."""
        return self._core.bits()

    @property
    def bits_per_weight(self) -> float:
        rows, cols = self.shape
        return self.bits / max(rows * cols, 1)

    def apply(self, x: Any, threads: int = 0) -> np.ndarray:
        """x @ W.T as float32 without W being decoded, for x [..., columns]: the result is
        [..., rows]. threads: 0 for all processors."""
        rows, cols = self.shape
        x = np.asarray(x, np.float32)
        if x.ndim == 0 or x.shape[-1] != cols:
            raise UsageError(f"vectors of shape {x.shape} for a form of {cols} columns")
        out = np.empty((*x.shape[:-1], rows), np.float32)
        batch = int(np.prod(x.shape[:-1], dtype=np.int64))
        self._core.apply(np.ascontiguousarray(x), batch, out, threads)
        return out

    def decode(self, first: int = 0, last: "int | None" = None) -> np.ndarray:
        """Rows first <= r < last, all unless said otherwise, as float32 [rows, columns]."""
        rows, cols = self.shape
        first, last = operator.index(first), rows if last is None else operator.index(last)
        if not 0 <= first <= last <= rows:
            raise UsageError(f"a form of {rows} rows has no rows {first}..{last}")
        out = np.empty((last - first, cols), np.float32)
        self._core.decode(first, last, out)
        return out

    def __array__(self, dtype: Any = None, copy: "bool | None" = None) -> np.ndarray:
        array = self.decode()
        return array if dtype is None else array.astype(dtype, copy=False)

    def to_bytes(self) -> bytes:
        """`bits / 8` bytes that `from_bytes` takes. They have no checksum; archives do."""
        return self._core.write()

    @staticmethod
    def from_bytes(data: Any) -> "Form":
        """The reverse of `to_bytes`, for any buffer; DataError for what is no form."""
        return Form(_pith.form_read(data))

    def save(self, path: "str | os.PathLike[str]", overwrite: bool = False) -> None:
        """Writes `to_bytes` to a file, which appears when it is complete."""
        path = os.fspath(path)
        if not overwrite and os.path.lexists(path):
            raise IoError(f"{path}: exists already; overwrite=True replaces it")
        handle, name = tempfile.mkstemp(dir=os.path.dirname(path) or ".", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(self.to_bytes())
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise

    @staticmethod
    def load(path: "str | os.PathLike[str]") -> "Form":
        """The form in a file that `save` wrote."""
        with open(path, "rb") as file:
            return Form.from_bytes(file.read())

    def __repr__(self) -> str:
        return f"<pith.Form {list(self.shape)} {self.expression}>"

    def __reduce__(self) -> Any:
        return Form.from_bytes, (self.to_bytes(),)


def form(array: Any, expression: str) -> Form:
    """The form of that expression which is nearest to the matrix in squared error.

    array: floats, as NumPy or PyTorch have them, `pith.bfloat16(...)` or a tensor of an archive.
      The last dimension is the columns, all others together are the rows; one dimension is one row.
    expression: see docs/forms.md. UsageError shows the place of what is wrong in it.

    >>> weights = np.random.default_rng(0).normal(size=(8, 128)).astype(np.float32)
    >>> coarse, fine = pith.form(weights, 'uniform(2)'), pith.form(weights, 'uniform(8)')
    >>> error = lambda f: float(np.square(weights - f.decode()).mean())
    >>> coarse.bits < fine.bits and error(coarse) > error(fine)
    True
    """
    from ._tensor import Tensor
    from ._write import _argument, _flat  # which need the archives, which need this module

    if isinstance(array, Tensor):
        dtype, shape, data = array.dtype, array.shape, _flat(array.numpy(raw=True))
    else:
        dtype, shape, data = _argument("array", array)
    if len(shape) == 0:
        raise UsageError("a form is made of a matrix, not of a single number")
    return Form(_pith.form_encode(data, dtype, shape, expression))


def rules(forms: Any) -> "list[tuple[str, str | None]]":
    """The rules that a `forms` argument means: an expression, or patterns with theirs."""
    if forms is None:
        return []
    if isinstance(forms, str):
        return [("", forms)]
    return [(pattern, expression) for pattern, expression in dict(forms).items()]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
