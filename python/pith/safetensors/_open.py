"""safe_open: one tensor or slice at a time."""

from __future__ import annotations

from typing import Any

from .. import _dtypes
from .._tensor import Tensor
from ._files import open_file

_NUMPY = ("np", "numpy")
_TORCH = ("pt", "torch", "pytorch")


def check_device(device: Any) -> None:
    if str(device) != "cpu":
        raise ValueError(f"arrays are on the CPU, not on '{device}'")


class Slice:
    """A tensor of which parts are read: slice[2:4, :8]."""

    def __init__(self, tensor: Tensor, convert: Any):
        self._tensor = tensor
        self._convert = convert

    def get_shape(self) -> "list[int]":
        return list(self._tensor.shape)

    def get_dtype(self) -> str:
        """As safetensors names it, "BF16"; types that it lacks have Pith's name."""
        return _dtypes.DTYPES[self._tensor.dtype].safetensors or self._tensor.dtype

    def __getitem__(self, key: Any) -> Any:
        return self._convert(self._tensor, key)


class safe_open:  # noqa: N801, the name that users know
    """Opens a .safetensors file or a .pith archive to read single tensors or slices.

    framework: 'np' for NumPy arrays, 'pt' for PyTorch tensors on `device`.

    >>> with safe_open(folder / 'model.safetensors', framework='np') as f:
    ...     [(k, f.get_slice(k).get_shape()) for k in f.keys()]
    [('layer.bias', [4]), ('layer.weight', [3, 4])]
    """

    def __init__(self, filename: Any, framework: str = "np", device: Any = "cpu"):
        if framework not in _NUMPY + _TORCH:
            raise ValueError(f"framework '{framework}'; there are 'np' and 'pt'")
        self._device = device
        self._convert = self._torch if framework in _TORCH else _numpy
        if framework in _NUMPY:
            check_device(device)
        self._tensors: Any = open_file(filename)

    def keys(self) -> "list[str]":
        """Names in alphabetical order."""
        return sorted(self._open())

    def offset_keys(self) -> "list[str]":
        """Names in the order of the file."""
        return list(self._open())

    def metadata(self) -> "dict[str, str] | None":
        return self._open().metadata or None

    def get_tensor(self, name: str) -> Any:
        return self._convert(self._open()[name], ...)

    def get_slice(self, name: str) -> Slice:
        return Slice(self._open()[name], self._convert)

    def __enter__(self) -> "safe_open":
        return self

    def __exit__(self, *_: Any) -> None:
        if self._tensors is not None:
            self._tensors.close()
        self._tensors = None

    def _open(self) -> Any:
        if self._tensors is None:
            raise ValueError("the file is closed")
        return self._tensors

    def _torch(self, tensor: Tensor, key: Any) -> Any:
        import numpy as np

        bits = np.asarray(tensor.bits[key])
        if not bits.flags.c_contiguous or any(stride < 0 for stride in bits.strides):
            bits = bits.copy()
        return _dtypes.to_torch(bits, tensor.dtype).to(self._device)


def _numpy(tensor: Tensor, key: Any) -> Any:
    return tensor[key]
