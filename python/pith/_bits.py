"""Arrays of element types that NumPy lacks, as their exact bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _dtypes


class Bits:
    """The exact bits of a tensor whose type NumPy does not have.

    `array` holds them as uint16 (bf16) or uint8; `numpy()` gives the numbers.

    >>> import numpy as np
    >>> ones = Bits(np.array([0x3F80, 0xC000], np.uint16), 'bf16')
    >>> ones.numpy().astype(float)
    array([ 1., -2.])
    """

    __slots__ = ("array", "dtype")

    def __init__(self, array: Any, dtype: str):
        self.array = np.asarray(array)
        self.dtype = dtype
        expected = _dtypes.bits_dtype(_dtypes.find(dtype).name)
        if self.array.dtype.newbyteorder("<") != expected:
            raise TypeError(f"the bits of {dtype} are {expected.name}, not {self.array.dtype}")

    @property
    def shape(self) -> "tuple[int, ...]":
        """Of the elements; of packed types the innermost dimension is converted from bytes."""
        dtype, shape = _dtypes.find(self.dtype), self.array.shape
        if not dtype.packed:
            return shape
        if not shape or shape[-1] % dtype.block_bytes != 0:
            raise TypeError(f"{shape} bytes are not rows of whole {self.dtype} blocks")
        return (*shape[:-1], shape[-1] // dtype.block_bytes * dtype.block_elements)

    def numpy(self) -> np.ndarray:
        return _dtypes.values(self.array, self.dtype)

    def torch(self) -> Any:
        return _dtypes.to_torch(self.array, self.dtype)

    def __array__(self, dtype: Any = None, copy: "bool | None" = None) -> np.ndarray:
        return np.asarray(self.numpy(), dtype)

    def __repr__(self) -> str:
        return f"Bits({self.array!r}, '{self.dtype}')"


def bfloat16(array: Any) -> Bits:
    """Marks an array of uint16 as bfloat16 bits, to save it.

    >>> bfloat16([[16256, 16384]]).numpy().astype(float)
    array([[1., 2.]])
    """
    array = np.asarray(array)
    return Bits(array.astype(np.uint16) if array.dtype == np.int64 else array, "bf16")
