"""`model.pth`: bytes on disk to a verified state dictionary, and that to a network.

Owns every check between a file of weights and a network in memory; knows neither names nor versions. Whoever wrote the
file is not trusted: its size is bounded before it is read, nothing in it is run, and no more memory is taken than the
file itself accounts for.
"""

import hashlib
import io
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from model.errors import ModelLoadError
from model.model_config import ModelConfig, Normalisation
from model.network import HybridNetwork
from model.network_size import stored_numbers

# A hundred times the default network's 9 MB. What is larger is no network of ours.
MAX_WEIGHTS_BYTES: Final = 1024**3
# 64 MB of float32: a network up to this size is built before it is compared, so that the first misfit can be named.
_ALWAYS_BUILT: Final = 2**24

_PAIR_REMEDY = "weights and config are of different models: restore the pair"
_SOURCE_REMEDY = "write it with Registry.save; anything but a dictionary of tensors is refused"


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a file of at most `limit` bytes whole.

    Symbolic links are followed, wherever they lead: volumes and releases are made of them, and who can write a link
    here can as well write a file. What is read is checked, not where it lay.

    Raises:
        ModelLoadError: It is missing, unreadable, no regular file, or larger.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for its writer
            raise ModelLoadError(path, "is not a regular file", "put the file itself there")
        if status.st_size > limit:
            reason = f"has {status.st_size} bytes, more than the {limit} allowed"
            raise ModelLoadError(path, reason, "restore it, or retrain the model")
        with path.open("rb") as file:
            return file.read(status.st_size)  # not `limit`: Python sets that much memory aside at once
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise ModelLoadError(path, reason, "restore it, or mount the registry again") from error


def hash_of(content: bytes) -> str:
    """The sha256 of `content`, 64 lower-case hex digits."""
    return hashlib.sha256(content).hexdigest()


def read_state(content: bytes, path: Path) -> Mapping[str, Tensor]:
    """The state dictionary in `content`, read as tensors only; `path` is named in errors.

    Raises:
        ModelLoadError: Damaged, hostile, or not a dictionary of plain tensors.
    """
    _require_honest_sizes(content, path)
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file can make the unpickler raise anything
        first_line = str(error).strip().split("\n")[0][:200]
        raise ModelLoadError(path, f"is not a file of plain tensors: {first_line}", _SOURCE_REMEDY) from error
    pairs = state.items() if isinstance(state, Mapping) else [(None, None)]
    if not all(isinstance(name, str) and _is_plain(tensor) for name, tensor in pairs):
        raise ModelLoadError(path, "does not hold a state dictionary", _SOURCE_REMEDY)
    return dict(pairs)


def build_network(config: ModelConfig, state: Mapping[str, Tensor], path: Path) -> HybridNetwork:
    """A network of its own with these weights, in evaluation mode, checked against `config`.

    Raises:
        ModelLoadError: Names, shapes, types or normalisation are not those of `config`, or a number is not finite.
    """
    wanted, held = stored_numbers(config.network), sum(tensor.numel() for tensor in state.values())
    if wanted != held and wanted > _ALWAYS_BUILT:  # before anything of the config's size is allocated
        reason = f"does not fit config.json, which describes {wanted} numbers, not the {held} here"
        raise ModelLoadError(path, reason, _PAIR_REMEDY)
    network = HybridNetwork(config.network)
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).split("\n")[1:4]]
        raise ModelLoadError(path, f"does not fit config.json: {' '.join(lines)[:600]}", _PAIR_REMEDY) from error
    for name, tensor in network.state_dict().items():
        if state[name].dtype != tensor.dtype:
            raise ModelLoadError(path, f"{name} is {state[name].dtype}, not {tensor.dtype}", _PAIR_REMEDY)
        if not bool(torch.isfinite(tensor).all()):
            raise ModelLoadError(path, f"{name} holds non-finite numbers", "restore or retrain it")
    if not _has_normalisation(network, config.feature_normalisation, config.target_normalisation):
        raise ModelLoadError(path, "its normalisation is not that of config.json", _PAIR_REMEDY)
    return network.eval().requires_grad_(False)


def _require_honest_sizes(content: bytes, path: Path) -> None:
    """Refuse an archive that unpacks to more than it is: torch writes its entries uncompressed and side by side."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return  # torch's older format, or no weights at all: the unpickler tells
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError) as error:
        raise ModelLoadError(path, f"is a damaged archive: {error}", _SOURCE_REMEDY) from error
    if unpacked > len(content):
        reason = f"unpacks to {unpacked} bytes, more than the {len(content)} it has"
        raise ModelLoadError(path, reason, _SOURCE_REMEDY)


def _is_plain(tensor: object) -> bool:
    """Whether it is a dense tensor with memory of its own size: neither sparse, nor quantised, nor without data."""
    if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or tensor.device.type != "cpu":
        return False
    return not tensor.is_quantized and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _has_normalisation(network: HybridNetwork, features: Normalisation, targets: Normalisation) -> bool:
    expected = (
        (network.feature_mean, features.mean),
        (network.feature_deviation, features.standard_deviation),
        (network.feature_clip, (features.clip,)),
        (network.target_mean, targets.mean),
        (network.target_deviation, targets.standard_deviation),
    )
    return all(torch.equal(buffer.reshape(-1), torch.tensor(values)) for buffer, values in expected)
