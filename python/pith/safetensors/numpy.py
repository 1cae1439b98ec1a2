"""The functions of safetensors.numpy."""

from __future__ import annotations

from typing import Any, Mapping

from .. import _dtypes
from .._bits import Bits
from .._tensor import Tensor
from ._files import open_bytes, open_file, plain_bytes, write_file
from ._open import check_device


def load_file(filename: Any, device: Any = "cpu", raw: bool = False) -> "dict[str, Any]":
    """All tensors of a .safetensors file (views of a private mapping, nothing is copied) or of a
    .pith archive.

    raw: tensors of types that NumPy lacks come as `pith.Bits`, which save_file() writes back
      exactly; otherwise as exact float32 (or ml_dtypes) numbers.

    >>> load_file(folder / 'model.safetensors')['layer.bias']
    array([0.5, 0.5, 0.5, 0.5], dtype=float32)
    """
    check_device(device)
    return _arrays(open_file(filename), raw)


def load(data: Any, raw: bool = False) -> "dict[str, Any]":
    """The same for the bytes of such a file; plain safetensors arrays are views of them."""
    return _arrays(open_bytes(data), raw)


def save_file(tensors: "Mapping[str, Any]", filename: Any,
              metadata: "Mapping[str, str] | None" = None) -> None:  # fmt: skip
    """Writes a .pith archive if the name ends so, else a plain .safetensors file, byte for byte as
    the safetensors package would. An existing file is replaced. Tensors: as for `pith.save`.

    >>> save_file({'a': np.zeros(3)}, folder / 'a.safetensors', {'note': 'zeros'})
    """
    write_file(tensors, filename, metadata)


def save(tensors: "Mapping[str, Any]", metadata: "Mapping[str, str] | None" = None) -> bytes:
    """The bytes of a plain safetensors file.

    >>> load(save({'a': np.arange(3)}))['a'].tolist()
    [0, 1, 2]
    """
    return plain_bytes(tensors, metadata)


def _arrays(tensors: "Mapping[str, Tensor]", raw: bool) -> "dict[str, Any]":
    return {name: _array(tensor, raw) for name, tensor in tensors.items()}


def _array(tensor: Tensor, raw: bool) -> Any:
    if raw and not _dtypes.is_numpy(tensor.dtype):
        return Bits(tensor.numpy(raw=True), tensor.dtype)
    return tensor.numpy()
