"""Plain safetensors files as lazy tensors, and which kind of file one is."""

from __future__ import annotations

import builtins
import mmap
import os
from collections.abc import Mapping
from typing import Any, Iterator

import numpy as np

from .. import _archive, _pith, _write
from .._errors import DataError, MissingError
from .._tensor import Tensor


class PlainTensors(Mapping):
    """The tensors of a safetensors file in memory or in a mapping; reading one copies nothing."""

    def __init__(self, data: Any, name: str):
        self._data = data
        self._name = name
        try:
            tensors, metadata = _pith.safetensors_layout(data)
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
        self._tensors = tensors
        self._numbers = {fields[0]: index for index, fields in enumerate(tensors)}
        self.metadata: dict[str, str] = dict(metadata)

    def __getitem__(self, name: str) -> Tensor:
        index = self._numbers.get(name)
        if index is None:
            raise MissingError(f"{self._name}: has no tensor {name!r}")
        _, dtype, shape, _, nbytes = self._tensors[index]
        return Tensor(self, index, name, dtype, shape, nbytes, self._name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._tensors)

    def read(self, index: int, first: int, last: int) -> np.ndarray:
        _, _, shape, offset, nbytes = self._tensors[index]
        row = nbytes // (shape[0] if shape and shape[0] else 1)
        size = (last - first) * row
        if size == 0:
            return np.empty(0, np.uint8)
        return np.frombuffer(self._data, np.uint8, size, offset + first * row)

    def stored(self, index: int) -> int:
        return self._tensors[index][4]

    def close(self) -> None:
        """The mapping goes with the last array that is a view of it."""


def open_file(filename: Any) -> "_archive.Archive | PlainTensors":
    """The tensors of a .safetensors file or a .pith archive, whatever its name."""
    filename = os.fspath(filename)
    with builtins.open(filename, "rb") as file:
        if _pith.is_archive(file.read(64)):
            return _archive.open(filename)
        if os.fstat(file.fileno()).st_size == 0:
            raise DataError(f"{filename}: is empty")
        # Private pages: arrays may be written to, which does not change the file.
        return PlainTensors(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), filename)


def open_bytes(data: Any) -> "_archive.Archive | PlainTensors":
    if _pith.is_archive(data):
        return _archive.open(data)
    return PlainTensors(data, "safetensors bytes")


def write_file(tensors: "Mapping[str, Any]", filename: Any,
               metadata: "Mapping[str, str] | None") -> None:  # fmt: skip
    """A .pith archive if the name ends so, else a plain safetensors file; replaces what is there,
    as the safetensors package does."""
    filename = os.fspath(filename)
    if filename.endswith(".pith"):
        _write.save(filename, tensors, metadata, overwrite=True)
        return
    arguments = _write.tensor_arguments(tensors)
    _pith.write_safetensors(filename, arguments, _write.metadata_pairs(metadata), True)


def plain_bytes(tensors: "Mapping[str, Any]", metadata: "Mapping[str, str] | None") -> bytes:
    arguments = _write.tensor_arguments(tensors)
    return _pith.safetensors_bytes(arguments, _write.metadata_pairs(metadata))
