"""`golden.npy`: real windows that a version brings, for its engines to be held to. Knows no engine and no parity.

Optional. Windows of another feature schema than ours have to come with the version that reads them.
"""

import ast
import io
import struct
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.errors import ModelLoadError
from model.model_config import ModelConfig
from model.weights_file import hash_of, read_bounded

GOLDEN_FILE: Final = "golden.npy"
MINIMUM_GOLDEN: Final = 256  # fewer prove little; the same number as model.parity's
# As many windows as are wanted at least, each as large as the largest message that is read by default (4 MiB).
MAX_GOLDEN_BYTES: Final = MINIMUM_GOLDEN * 4 * 1024**2

_MAGIC: Final = b"\x93NUMPY\x01\x00"
_REMEDY: Final = f"numpy.save at least {MINIMUM_GOLDEN} real windows there, float32 [n, features, steps]"


def read_golden(path: Path, config: ModelConfig) -> NDArray[np.float32] | None:
    """The windows in `path`, read-only [n >= 256, f, t]; None where there is no file and none is vouched for.

    Raises:
        ModelLoadError: Missing though vouched for, unreadable, too large, not what its hash says, or no such array.
    """
    if not path.exists() and not config.golden_sha256:
        return None
    content = read_bounded(path, MAX_GOLDEN_BYTES)
    sha256 = hash_of(content)
    if config.golden_sha256 and sha256 != config.golden_sha256:
        reason = f"sha256 is {sha256}, config.json says {config.golden_sha256}"
        raise ModelLoadError(path, reason, "the file is damaged or was replaced: restore it")
    return parse_golden(content, path, config)


def parse_golden(content: bytes, path: Path, config: ModelConfig) -> NDArray[np.float32]:
    """The windows in the bytes of an .npy file; `path` is named in errors.

    By hand and not by numpy.load: the header is compared with what it must say before an array of its size is made,
    and no pickle is ever looked into.

    Raises:
        ModelLoadError: Not float32 [n >= 256, f, t] of `config`, or not all finite.
    """
    header, data = _split(content, path)
    shape = header.get("shape")
    features, steps = config.network.feature_count, config.network.time_steps
    if header.get("descr") != "<f4" or header.get("fortran_order") is not False:
        reason = f"holds {str(header.get('descr'))[:40]!r}, not '<f4' in C order"
        raise ModelLoadError(path, reason, _REMEDY)
    if not (isinstance(shape, tuple) and len(shape) == 3 and all(type(size) is int for size in shape)):
        raise ModelLoadError(path, f"has shape {str(shape)[:80]}, not [n, {features}, {steps}]", _REMEDY)
    if shape[0] < MINIMUM_GOLDEN or shape[1:] != (features, steps):
        wanted = f"[n >= {MINIMUM_GOLDEN}, {features}, {steps}]"
        raise ModelLoadError(path, f"has shape {list(shape)}, not {wanted}", _REMEDY)
    if len(data) != 4 * shape[0] * features * steps:
        raise ModelLoadError(path, f"has {len(data)} bytes of data, not those of shape {list(shape)}", _REMEDY)
    windows = np.frombuffer(data, dtype=np.float32).reshape(shape)
    if not np.isfinite(windows).all():
        raise ModelLoadError(path, "holds non-finite numbers", _REMEDY)
    return np.require(windows, requirements="A")  # a header of odd length leaves the data at an odd address


def golden_bytes(windows: NDArray[np.float32], config: ModelConfig, path: Path) -> bytes:
    """What `read_golden` reads back as `windows`; `path` is where they are to be written.

    Raises:
        ModelLoadError: They would be refused when read.
    """
    if windows.nbytes > MAX_GOLDEN_BYTES - 2**16:  # less the header
        raise ModelLoadError(path, f"would have {windows.nbytes} bytes, more than {MAX_GOLDEN_BYTES}", "give fewer")
    if windows.dtype != np.float32:
        raise ModelLoadError(path, f"would hold {windows.dtype}, not float32", _REMEDY)
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(windows), version=(1, 0), allow_pickle=False)
    content = buffer.getvalue()
    parse_golden(content, path, config)
    return content


def _split(content: bytes, path: Path) -> tuple[dict[str, object], memoryview]:
    """Header and data of format 1.0, the one that numpy writes for plain types."""
    start = len(_MAGIC) + 2
    if not content.startswith(_MAGIC) or len(content) < start:
        raise ModelLoadError(path, "is not an .npy file of format 1.0", _REMEDY)
    (length,) = struct.unpack_from("<H", content, len(_MAGIC))  # at most 64 KiB, so that parsing it is bounded
    try:
        header = ast.literal_eval(content[start : start + length].decode("latin-1").strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise ModelLoadError(path, "has no readable header", _REMEDY) from error
    if not isinstance(header, dict):
        raise ModelLoadError(path, "has no readable header", _REMEDY)
    return header, memoryview(content)[start + length :]
