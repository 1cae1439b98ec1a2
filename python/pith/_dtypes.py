"""Element types: Pith's names, and what NumPy, ml_dtypes and PyTorch call them.

NumPy has no bfloat16 and no 8-bit floats. Their *bits* are arrays of uint16 and uint8; their
*values* are arrays of the ml_dtypes type where ml_dtypes is installed, else float32, into which
every one of these types converts exactly.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from . import _pith
from ._errors import UsageError

try:
    import ml_dtypes
except ImportError:
    ml_dtypes = None


class DType(NamedTuple):
    """`block_elements` elements are stored in `block_bytes` bytes."""

    name: str
    block_elements: int
    block_bytes: int
    exponent_bits: int
    mantissa_bits: int
    safetensors: "str | None"

    @property
    def packed(self) -> bool:
        """Elements are not whole bytes: 4-bit types and GGML's blocks."""
        return self.block_elements > 1


DTYPES = {fields[0]: DType(*fields) for fields in _pith.dtypes()}

_NUMPY = {
    "bytes": "u1", "bool": "?", "u8": "u1", "i8": "i1", "u16": "u2", "i16": "i2", "u32": "u4",
    "i32": "i4", "u64": "u8", "i64": "i8", "f16": "f2", "f32": "f4", "f64": "f8", "c64": "c8",
    "c128": "c16",
}  # fmt: skip
_NUMPY = {name: np.dtype(code).newbyteorder("<") for name, code in _NUMPY.items()}
_EXTENDED = {
    "bf16": "bfloat16", "f8_e4m3": "float8_e4m3fn", "f8_e5m2": "float8_e5m2",
    "f8_e8m0": "float8_e8m0fnu", "f8_e4m3fnuz": "float8_e4m3fnuz",
    "f8_e5m2fnuz": "float8_e5m2fnuz",
}  # fmt: skip
_TORCH = {
    "bytes": "uint8", "bool": "bool", "u8": "uint8", "i8": "int8", "u16": "uint16",
    "i16": "int16", "u32": "uint32", "i32": "int32", "u64": "uint64", "i64": "int64",
    "f16": "float16", "f32": "float32", "f64": "float64", "c64": "complex64",
    "c128": "complex128", **_EXTENDED,
}  # fmt: skip
_FROM_NUMPY = {dtype: name for name, dtype in _NUMPY.items()}  # u1 is u8, not bytes
_FROM_EXTENDED = {other: name for name, other in _EXTENDED.items()}
_FROM_TORCH = {other: name for name, other in _TORCH.items()}


def find(name: str) -> DType:
    """The element type of that name; UsageError lists them when there is none."""
    if name not in DTYPES:
        raise UsageError(f"'{name}' is no element type; there are {', '.join(DTYPES)}")
    return DTYPES[name]


def bits_dtype(name: str) -> np.dtype:
    """The NumPy type in which the bits of an element type are kept."""
    if name in _NUMPY:
        return _NUMPY[name]
    return np.dtype("<u2" if name == "bf16" else "u1")


def bits_shape(name: str, shape: "tuple[int, ...]", nbytes: int) -> "tuple[int, ...]":
    """The shape of the bits: of packed types, the innermost dimension counts bytes."""
    dtype = DTYPES[name]
    if not dtype.packed:
        return shape
    if shape and shape[-1] % dtype.block_elements == 0:
        return (*shape[:-1], shape[-1] // dtype.block_elements * dtype.block_bytes)
    return (nbytes,)


def has_values(name: str) -> bool:
    """Whether NumPy can hold the values of the type (packed types must be unpacked first)."""
    return name in _NUMPY or name in _EXTENDED


def is_numpy(name: str) -> bool:
    """Whether NumPy has the type itself."""
    return name in _NUMPY


def values(bits: np.ndarray, name: str) -> np.ndarray:
    """Bits as numbers; a view where NumPy or ml_dtypes has the type, else exact float32."""
    if name in _NUMPY:
        return bits
    if name not in _EXTENDED:
        raise TypeError(f"{name} elements have no NumPy type; take the bits, .numpy(raw=True)")
    extended = getattr(ml_dtypes, _EXTENDED[name], None)
    if extended is not None:
        return bits.view(extended)
    if name == "bf16":
        wide = bits.reshape(-1).astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32).reshape(bits.shape)
    return _small_floats(name)[bits]


@functools.lru_cache(maxsize=None)
def _small_floats(name: str) -> np.ndarray:
    """The 256 values of an 8-bit float."""
    codes = np.arange(256)
    if name == "f8_e8m0":
        table = np.ldexp(1.0, np.minimum(codes, 254) - 127).astype(np.float32)
        table[255] = np.nan
        return table
    mantissa_bits = DTYPES[name].mantissa_bits
    fnuz = name.endswith("fnuz")
    bias = (1 << (DTYPES[name].exponent_bits - 1)) - (0 if fnuz else 1)
    exponent, mantissa = (codes & 127) >> mantissa_bits, codes & ((1 << mantissa_bits) - 1)
    normal = np.ldexp(1 + mantissa / (1 << mantissa_bits), exponent - bias)
    subnormal = np.ldexp(mantissa / (1 << mantissa_bits), 1 - bias)
    table = np.where(exponent == 0, subnormal, normal).astype(np.float32)
    if fnuz:
        table = np.where(codes > 128, -table, table)
        table[128] = np.nan  # there is no negative zero
        return table
    if name == "f8_e4m3":
        table[codes & 127 == 0x7F] = np.nan
    else:
        table[codes & 127 == 0x7C] = np.inf
        table[codes & 127 > 0x7C] = np.nan
    return np.where(codes > 127, -table, table)


def from_numpy(array: np.ndarray) -> str:
    """Pith's name of an array's type; TypeError when there is none."""
    name = _FROM_NUMPY.get(array.dtype.newbyteorder("<")) or _FROM_EXTENDED.get(array.dtype.name)
    if name is None:
        raise TypeError(f"arrays of {array.dtype} cannot be stored")
    return name


def to_torch(bits: np.ndarray, name: str) -> Any:
    """Bits as a PyTorch tensor that shares their memory (a copy when that is read-only)."""
    import torch

    if not bits.flags.writeable or not bits.flags.aligned:
        bits = bits.copy()
    if name not in _TORCH:
        raise TypeError(f"PyTorch has no {name}; take the bits, .numpy(raw=True)")
    dtype = getattr(torch, _TORCH[name], None)
    if dtype is None:
        raise TypeError(f"PyTorch {torch.__version__} has no {_TORCH[name]}")
    if bits.dtype.kind == "u" and bits.itemsize > 1:
        bits = bits.view(f"i{bits.itemsize}")  # older versions have no wide unsigned types
    tensor = torch.from_numpy(bits)
    return tensor if tensor.dtype == dtype else tensor.view(dtype)


def from_torch(tensor: Any) -> "tuple[str, np.ndarray]":
    """Name and bits of a PyTorch tensor, without a copy where it is dense and on the CPU."""
    import torch

    name = _FROM_TORCH.get(str(tensor.dtype).removeprefix("torch."))
    if name is None or tensor.layout != torch.strided:
        raise TypeError(f"tensors of {tensor.dtype}, {tensor.layout} cannot be stored")
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    if name in _EXTENDED or name in ("u16", "u32", "u64"):
        kind = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
        tensor = tensor.view(kind[tensor.element_size()])
    return name, tensor.numpy().view(bits_dtype(name))
