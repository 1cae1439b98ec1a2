"""The functions of safetensors.torch; PyTorch is needed when they are called."""

from __future__ import annotations

from typing import Any, Mapping

from ._files import open_bytes, open_file, plain_bytes, write_file


def load_file(filename: Any, device: Any = "cpu") -> "dict[str, Any]":
    """All tensors of a .safetensors file (on the CPU, views of a private mapping) or of a .pith
    archive."""
    return {name: tensor.torch().to(device) for name, tensor in open_file(filename).items()}


def load(data: Any) -> "dict[str, Any]":
    """The same for the bytes of such a file."""
    return {name: tensor.torch() for name, tensor in open_bytes(data).items()}


def save_file(tensors: "Mapping[str, Any]", filename: Any,
              metadata: "Mapping[str, str] | None" = None) -> None:  # fmt: skip
    """Writes a .pith archive if the name ends so, else a plain .safetensors file. An existing file
    is replaced. Tensors that share memory are written out each, and stored once in an archive."""
    write_file(tensors, filename, metadata)


def save(tensors: "Mapping[str, Any]", metadata: "Mapping[str, str] | None" = None) -> bytes:
    """The bytes of a plain safetensors file."""
    return plain_bytes(tensors, metadata)


def save_model(model: Any, filename: Any,
               metadata: "Mapping[str, str] | None" = None) -> None:  # fmt: skip
    """Writes a module's parameters and buffers, tied ones under their first name; the metadata say
    which name stands for the others."""
    kept, aliases = _untied(model.state_dict())
    write_file(kept, filename, {**(metadata or {}), **aliases})


def load_model(model: Any, filename: Any, strict: bool = True,
               device: Any = "cpu") -> "tuple[list[str], list[str]]":  # fmt: skip
    """Loads what save_model() wrote; returns the names that were missing and unexpected, and with
    `strict` raises RuntimeError when there are any."""
    state = load_file(filename, device)
    _, aliases = _untied(model.state_dict())
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [name for name in missing if aliases.get(name) not in state]
    if strict and (missing or unexpected):
        raise RuntimeError(f"{filename}: missing {missing}, unexpected {unexpected}")
    return missing, unexpected


def _untied(state: "Mapping[str, Any]") -> "tuple[dict[str, Any], dict[str, str]]":
    """The tensors without repeats of the same memory, and each repeat's name with the kept one."""
    kept: "dict[str, Any]" = {}
    aliases: "dict[str, str]" = {}
    first: "dict[Any, str]" = {}
    for name, tensor in state.items():
        place = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype,
                 tensor.device)  # fmt: skip
        if tensor.numel() > 0 and first.setdefault(place, name) != name:
            aliases[name] = first[place]
        else:
            kept[name] = tensor
    return kept, aliases
