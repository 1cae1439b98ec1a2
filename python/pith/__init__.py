"""Pith: compression of AI model files, lossless or in forms that compute as they are.

>>> with pith.open(example) as archive:
...     archive['layer.weight'][0].tolist()
[0.0, 1.0, 2.0, 3.0]

`open` reads archives, `compress` and `save` write them, `decompress` restores the original files,
`compress_bytes` codes a buffer, `form` makes a compressed form of a matrix, `load_model` opens a
language model, and `pith.safetensors` stands in for the safetensors package.
"""

from . import _errors  # noqa: F401, first: the extension looks its exceptions up there
from ._archive import Archive, Base, File, open
from ._bits import Bits, bfloat16
from ._dtypes import DTYPES, DType
from ._errors import BaseError, DataError, Error, IoError, LimitError, MissingError, UsageError
from ._form import Form, FormInfo, form
from ._frame import compress_bytes, decompress_bytes
from ._kv import kv_compress, kv_profile, kv_restore
from ._model import Model, Stream, load_model
from ._model_results import Divergence, Evaluation, Generated, Measured, ModelConfig
from ._pith import __version__
from ._tensor import Tensor
from ._write import Report, StoredFile, compress, decompress, save
from . import safetensors

__all__ = [
    "Archive", "Base", "BaseError", "Bits", "DTYPES", "DType", "DataError", "Divergence", "Error",
    "Evaluation", "File", "Form", "FormInfo", "Generated", "IoError", "LimitError", "Measured",
    "MissingError", "Model", "ModelConfig", "Report", "StoredFile", "Stream", "Tensor",
    "UsageError", "__version__", "bfloat16", "compress", "compress_bytes", "decompress",
    "decompress_bytes", "form", "kv_compress", "kv_profile", "kv_restore", "load_model", "open",
    "safetensors", "save",
]  # fmt: skip
