"""Reading archives."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import Any, Callable, Iterable, Iterator, NamedTuple, Union

import numpy as np

from . import _pith
from ._errors import DataError, LimitError, MissingError, UsageError
from ._form import Form, FormInfo
from ._tensor import Tensor

Path = Union[str, "os.PathLike[str]"]
Bases = Union[None, Path, "Archive", Iterable[Union[Path, "Archive"]]]
Progress = Callable[[int, int], Any]

DEFAULT_MEMORY_LIMIT = 8 << 30


class File:
    """One file or folder of an archive."""

    def __init__(self, archive: "Archive", index: int):
        fields = archive._open().file(index)
        self._archive = archive
        self._index = index
        self.path: str = fields[0]
        self.is_dir: bool = fields[1]
        self.size: int = fields[2]
        self.hash: str = fields[3]
        """XXH3-128 of the content, as `xxhsum -H2` prints it."""
        self.format: str = fields[4]
        self.metadata: dict[str, str] = dict(fields[5])
        self.notes: list[str] = fields[6]
        """Why something was stored as plain bytes."""
        self.stored: int = fields[7]

    def read(self, offset: int = 0, size: int = -1) -> bytes:
        """Bytes of the original file, as many as there are; decodes only what it needs."""
        if offset < 0:
            raise UsageError(f"an offset of {offset} bytes")
        rest = max(self.size - offset, 0)
        size = rest if size < 0 else min(size, rest)
        self._archive._allow(size, self.path)
        return self._archive._open().read(self._index, offset if size else 0, size)

    def __repr__(self) -> str:
        kind = "folder" if self.is_dir else f"{self.format}, {self.size} bytes"
        return f"<pith.File {self.path!r} {kind}>"


class Base(NamedTuple):
    """What an archive of differences needs: the archive or files with this content."""

    name: str
    content_hash: str
    size: int


class Archive(Mapping):
    """An open .pith archive: a read-only mapping from tensor names to lazy tensors.

    Opening reads the index only. Where several files have a tensor of one name, its key is
    "file:name", which is understood for every tensor.

    >>> with pith.open(example) as archive:
    ...     archive['layer.weight'][:2].shape
    (2, 4)
    """

    def __init__(self, core: _pith.Archive, opened: "tuple[Any, ...]", memory_limit: int,
                 threads: int):  # fmt: skip
        self._core: "_pith.Archive | None" = core
        self._opened = opened
        self._memory_limit = memory_limit
        self._threads = threads
        self._names: "dict[str, int] | None" = None

    # The mapping.

    def __getitem__(self, name: str) -> Tensor:
        core = self._open()
        if not isinstance(name, str):
            raise MissingError(f"tensors are known by their names, not by {name!r}")
        index = self._keys().get(name)
        if index is None:
            try:
                index = core.find(name)
            except UsageError as error:
                raise MissingError(str(error)) from None
        found, dtype, shape, nbytes, file, big_endian = core.tensor(index)
        return Tensor(self, index, found, dtype, shape, nbytes, core.file(file)[0], big_endian)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys())

    def __len__(self) -> int:
        return self._open().tensor_count()

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def _keys(self) -> "dict[str, int]":
        core = self._open()
        if self._names is None:
            tensors = [core.tensor(t) for t in range(core.tensor_count())]
            seen = Counter(tensor[0] for tensor in tensors)
            self._names = {
                tensor[0] if seen[tensor[0]] == 1 else f"{core.file(tensor[4])[0]}:{tensor[0]}": t
                for t, tensor in enumerate(tensors)
            }
        return self._names

    # What is known about it.

    @property
    def path(self) -> "str | None":
        """None for an archive in memory."""
        return self._opened[0] if isinstance(self._opened[0], str) else None

    @property
    def files(self) -> "list[File]":
        core = self._open()
        return [File(self, f) for f in range(core.file_count())]

    @property
    def metadata(self) -> "dict[str, str]":
        """Of all files together; where several have one key, the first file's counts."""
        out: "dict[str, str]" = {}
        for file in self.files:
            out = {**file.metadata, **out}
        return out

    @property
    def content_hash(self) -> str:
        """Of the original files: the same whatever level or base they were stored with."""
        return self._open().content_hash()

    @property
    def base(self) -> "Base | None":
        """What the archive is a difference to."""
        record = self._open().base()
        return None if record is None else Base(*record)

    @property
    def version(self) -> "tuple[int, int]":
        """Of the archive format."""
        return self._open().version()

    @property
    def raw_size(self) -> int:
        """Bytes of the original files."""
        return self._open().raw_size()

    @property
    def stored_size(self) -> int:
        """Bytes of the archive."""
        return self._open().stored_size()

    # What can be done with it.

    def file(self, path: str) -> File:
        """The file of that path in the archive."""
        try:
            return File(self, self._open().find_file(path))
        except UsageError as error:
            raise MissingError(str(error)) from None

    def form(self, name: str, checked: bool = True) -> "Form | None":
        """The form that the tensor is stored in, on the archive's mapped bytes; None where it is
        stored losslessly. Indexing the archive gives the form's numbers, rounded to the tensor's
        type.

        checked: its bytes are read once to compare their checksum; without, a damaged one may
          multiply wrongly.
        """
        core = self._open().form(self[name]._index, checked)
        return None if core is None else Form(core)

    def form_info(self, name: str) -> "FormInfo | None":
        """What is recorded of the tensor's form, without reading it."""
        fields = self._open().form_info(self[name]._index)
        return None if fields is None else FormInfo(*fields)

    def verify(self, threads: int = 0, progress: "Progress | None" = None) -> None:
        """Decodes everything and compares every checksum; DataError lists what is damaged."""
        problems = self._open().verify(threads, progress)
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            error = DataError(problems[0] + more)
            error.problems = tuple(problems)
            raise error

    def extract(self, folder: Path, overwrite: bool = False, threads: int = 0,
                progress: "Progress | None" = None) -> None:  # fmt: skip
        """Restores the original files below `folder`, bit for bit but for tensors in lossy forms."""
        self._open().extract_all(os.fspath(folder), threads, overwrite, progress)

    def close(self) -> None:
        """Tensors that were not read yet cannot be read any more. Arrays stay valid."""
        self._core = None

    def __enter__(self) -> "Archive":
        self._open()
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._core is None:
            return "<pith.Archive, closed>"
        return f"<pith.Archive {self.path or 'in memory'!r}, {len(self)} tensors>"

    def __reduce__(self) -> Any:
        return open, self._opened

    # What tensors read with.

    def read(self, index: int, first: int, last: int) -> np.ndarray:
        """Rows of the tensor with that number as bytes; tensors call this."""
        core = self._open()
        name, _, shape, nbytes, _, _ = core.tensor(index)
        count = shape[0] if shape else 1
        size = nbytes if (first, last) == (0, count) else nbytes // count * (last - first)
        self._allow(size, name)
        out = np.empty(size, np.uint8)
        if size == nbytes:
            core.read_tensor_into(index, out, self._threads)
        elif size > 0:
            core.read_rows_into(index, first, last, out)
        return out

    def stored(self, index: int) -> int:
        return self._open().detail(index)[0]

    def _allow(self, size: int, what: str) -> None:
        if size > self._memory_limit:
            raise LimitError(f"{what}: {size} bytes, above the memory limit of "
                             f"{self._memory_limit}")  # fmt: skip

    def _open(self) -> _pith.Archive:
        if self._core is None:
            raise ValueError("the archive is closed")
        return self._core


def open(path: "Path | bytes | bytearray | memoryview", base: Bases = None,
         memory_limit: "int | None" = None, threads: int = 0) -> Archive:  # fmt: skip
    """Opens an archive by its path, or one that is held in memory as bytes.

    base: where the base of an archive of differences is, an archive or the original files; without
      it, it is looked for beside the archive.
    memory_limit: bytes that one read may take, 8 GiB if not set; LimitError above.
    threads: to decode whole tensors with, 0 for all processors.

    >>> archive = pith.open(example)
    >>> list(archive)
    ['layer.bias', 'layer.weight']
    >>> archive['layer.weight']
    <pith.Tensor 'layer.weight' f32 [3, 4]>
    """
    limit = DEFAULT_MEMORY_LIMIT if memory_limit is None else memory_limit
    bases = base_paths(base)
    if isinstance(path, (bytes, bytearray, memoryview)):
        path = bytes(path)
        core = _pith.Archive.open_memory(path, bases, limit)
    else:
        path = os.fspath(path)
        core = _pith.Archive.open(path, bases, limit)
    return Archive(core, (path, bases, limit, threads), limit, threads)


def base_paths(base: Bases) -> "list[str]":
    """The paths that a `base` argument names."""
    if base is None:
        return []
    if isinstance(base, (str, os.PathLike, Archive)):
        base = [base]
    out = []
    for one in base:
        path = one.path if isinstance(one, Archive) else os.fspath(one)
        if path is None:
            raise UsageError("an archive in memory cannot be a base; write it to a file")
        out.append(path)
    return out
