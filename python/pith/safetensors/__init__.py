"""What the safetensors package offers, for .safetensors files and .pith archives alike.

    from pith.safetensors import safe_open, load_file, save_file     # NumPy
    from pith.safetensors.torch import load_file, save_file          # PyTorch

Files are told apart by their content when they are read, and by their name's end when they are
written. bf16 and 8-bit floats in NumPy: see `pith.Tensor`; `raw=True` keeps their bits.
"""

from ._open import safe_open
from .numpy import load, load_file, save, save_file

__all__ = ["load", "load_file", "safe_open", "save", "save_file"]
