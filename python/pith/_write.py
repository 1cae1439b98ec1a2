"""Writing archives, restoring files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, NamedTuple, Optional, Union

import numpy as np

from . import _dtypes, _pith
from ._archive import Archive, Bases, Path, Progress, base_paths, open
from ._bits import Bits
from ._errors import IoError, UsageError
from ._form import rules
from ._tensor import Tensor


Forms = Union[None, str, Mapping[str, Optional[str]]]


class StoredFile(NamedTuple):
    path: str
    format: str
    raw: int
    stored: int
    hash: str
    notes: "list[str]"


@dataclass(frozen=True)
class Report:
    """What was written."""

    raw: int
    """Bytes of the originals."""
    stored: int
    """Bytes of the archive."""
    shared: int
    """Bytes of the originals that are references to equal ones stored earlier."""
    content_hash: str
    seconds: float
    files: "list[StoredFile]"

    @property
    def ratio(self) -> float:
        """Original size over archive size."""
        return self.raw / self.stored


def level_of(name: str) -> _pith.Level:
    try:
        return _pith.Level.__members__[name]
    except KeyError:
        raise UsageError(f"level '{name}'; there are 'fast', 'default' and 'max'") from None


def compress(paths: "Path | Iterable[Path]", out: Path, level: str = "default",
             base: Bases = None, threads: int = 0, overwrite: bool = False,
             progress: "Progress | None" = None, forms: Forms = None) -> Report:  # fmt: skip
    """Writes files and folders into one archive.

    base: an archive or files; tensors that have the same name, type and shape there are stored as
      differences where that is smaller. The base is needed again to read the archive.
    progress: called as progress(done, total) in bytes, from this thread; an exception that it
      raises, or Ctrl-C, stops the work and leaves no file behind.
    forms: stores matrices of floats in a compressed form, with losses: an expression (docs/forms.md),
      or a mapping from regular expressions over tensor names to expressions, None for what stays
      exact; the last one that is found in a name counts, and '' is found in all. Tensors of one
      dimension stay exact unless a key is their very name.

    >>> report = pith.compress(folder / 'model.safetensors', folder / 'again.pith')
    >>> report.files[0].format
    'safetensors'
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    _refuse_existing(out, overwrite)
    return _report(_pith.compress([os.fspath(p) for p in paths], os.fspath(out), level_of(level),
                                  base_paths(base), threads, overwrite, rules(forms), progress))  # fmt: skip


def decompress(path: "Path | Archive", out: Path, base: Bases = None, threads: int = 0,
               overwrite: bool = False, progress: "Progress | None" = None) -> None:  # fmt: skip
    """Restores the original files of an archive, bit for bit but for tensors in lossy forms.

    An archive of one file restores it as the file `out`; one of several, or any when `out` is a
    folder already, below the folder `out`.

    >>> pith.decompress(example, folder / 'restored.safetensors')
    """
    archive = path if isinstance(path, Archive) else open(path, base)
    core = archive._open()
    if core.file_count() == 1 and not core.file(0)[1] and not os.path.isdir(out):
        _refuse_existing(out, overwrite)
        core.extract_file(0, os.fspath(out), threads, overwrite, progress)
    else:
        archive.extract(out, overwrite, threads, progress)


def save(path: Path, tensors: "Mapping[str, Any]", metadata: "Mapping[str, str] | None" = None,
         level: str = "default", base: Bases = None, overwrite: bool = False, threads: int = 0,
         progress: "Progress | None" = None, forms: Forms = None) -> Report:  # fmt: skip
    """Writes an archive that holds the safetensors file of these tensors.

    tensors: NumPy arrays, PyTorch tensors, tensors of an open archive (which are not decoded as a
      whole, and stay in their form), `pith.bfloat16(...)`, or pairs of bits and type,
      `(array_of_uint16, 'bf16')`.
    forms: as for `compress`.

    >>> report = pith.save(folder / 'new.pith', {'w': np.zeros((2, 3), np.float32)})
    >>> pith.open(folder / 'new.pith')['w'].shape
    (2, 3)
    """
    _refuse_existing(path, overwrite)
    entry = os.path.basename(os.fspath(path)).removesuffix(".pith") or "tensors"
    return _report(_pith.save(os.fspath(path), entry.removesuffix(".safetensors") + ".safetensors",
                              tensor_arguments(tensors), metadata_pairs(metadata),
                              level_of(level), base_paths(base), threads, overwrite,
                              rules(forms), progress))  # fmt: skip


def tensor_arguments(tensors: "Mapping[str, Any]") -> "list[tuple[str, str, tuple, Any]]":
    """(name, type, shape, data) of every tensor, as the extension takes them."""
    if not isinstance(tensors, Mapping):
        raise TypeError(f"tensors are a mapping from names to arrays, not a {type(tensors)}")
    return [(name, *_argument(name, value)) for name, value in tensors.items()]


def metadata_pairs(metadata: "Mapping[str, str] | None") -> "list[tuple[str, str]]":
    pairs = list((metadata or {}).items())
    for pair in pairs:
        if not all(isinstance(text, str) for text in pair):
            raise TypeError(f"metadata are text, not {pair!r}")
    return pairs


def _argument(name: Any, value: Any) -> "tuple[str, tuple[int, ...], Any]":
    if not isinstance(name, str):
        raise TypeError(f"a tensor's name is text, not {name!r}")
    try:
        if isinstance(value, Tensor):
            return _lazy(value)
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], str):
            value = Bits(*value)
        if isinstance(value, Bits):
            return value.dtype, value.shape, _flat(value.array)
        if type(value).__module__.partition(".")[0] == "torch" or hasattr(value, "resolve_conj"):
            dtype, bits = _dtypes.from_torch(value)
            return dtype, bits.shape, _flat(bits)
        array = np.asarray(value)
        return _dtypes.from_numpy(array), array.shape, _flat(array)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None


def _lazy(tensor: Tensor) -> "tuple[str, tuple[int, ...], Any]":
    reader = tensor._reader
    if isinstance(reader, Archive) and not tensor._swap:
        return tensor.dtype, tensor.shape, (reader._open(), tensor._index)
    return tensor.dtype, tensor.shape, _flat(tensor.numpy(raw=True))


def _flat(array: np.ndarray) -> np.ndarray:
    """The bytes of an array in C order, little-endian, without a copy where they are that."""
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if not overwrite and os.path.lexists(path):
        raise IoError(f"{os.fspath(path)}: exists already; overwrite=True replaces it")


def _report(fields: "tuple[Any, ...]") -> Report:
    return Report(*fields[:5], [StoredFile(*file) for file in fields[5]])
