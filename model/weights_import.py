"""Weights from outside the registry: `MODEL_PATH` of the service that tickserve replaces.

There it named a bare `.pth` file. Here such a file is imported at the start as the next version of the default model,
once for each content, and needs what weights alone do not say: which schema, labels and horizon they were trained for.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor

from model.config_values import numbers
from model.errors import ConfigError, ModelLoadError, ModelNameError
from model.golden_file import GOLDEN_FILE, read_golden
from model.model_config import ModelConfig, NetworkConfig, Normalisation
from model.registry import NAME_PATTERN, Registry
from model.version_folder import CONFIG_FILE, WEIGHTS_FILE, VersionFiles
from model.version_import import CONFIG_REMEDY, find_version, import_version, read_foreign_config, verify
from model.weights_file import MAX_WEIGHTS_BYTES, build_network, hash_of, read_bounded, read_state

_PATH_REMEDY = f"let MODEL_PATH name a .pth file, or a folder with {WEIGHTS_FILE} in it, or unset it"


def import_original(registry: Registry, *, model_path: Path | None, default_model: str) -> tuple[str, int] | None:
    """Import the weights at `model_path` as the next version of the default model, unless a version has them already.

    The config is taken from `config.json` beside the weights; without one, from the newest version in the registry
    whose architecture fits the weights, with the normalisation that the weights carry.

    Args:
        registry: Where the version goes.
        model_path: A `.pth` file, or a folder with one; None imports nothing.
        default_model: The model's name.

    Returns:
        Name and number of the version that has these weights; None if there was nothing to import.

    Raises:
        ModelNameError: `default_model` is no name that the registry stores.
        ModelLoadError: The weights are refused, no config fits them, or the registry cannot be written.
    """
    if model_path is None:
        return None
    if re.fullmatch(NAME_PATTERN, default_model) is None:
        raise ModelNameError(default_model, NAME_PATTERN)
    registry.names()  # the registry itself must be one, or yet to be made
    weights_path = _weights_in(model_path)
    weights = read_bounded(weights_path, MAX_WEIGHTS_BYTES)
    sha256 = hash_of(weights)
    folder = registry.path / default_model
    if there := _find(folder, sha256):
        return default_model, there
    config_path = weights_path.parent / CONFIG_FILE
    if config_path.exists():
        config = read_foreign_config(config_path, weights_path, sha256)
        golden = read_golden(weights_path.parent / GOLDEN_FILE, config)
        stored = VersionFiles(weights=weights, config=config, golden=golden)
    else:
        stored = _with_config_of_another(registry, default_model, weights, weights_path)
    golden_bytes = verify(stored, weights_path)
    return default_model, import_version(folder, stored, weights_path, golden=golden_bytes)


def _weights_in(path: Path) -> Path:
    """The file of weights that `path` is or holds."""
    try:
        if not path.is_dir():
            return path  # that it is missing, or no weights, is told when it is read
        if (path / WEIGHTS_FILE).is_file():
            return path / WEIGHTS_FILE
        found = sorted(path.glob("*.pth"))
    except OSError as error:
        raise ModelLoadError(path, f"cannot be read: {error.strerror}", _PATH_REMEDY) from error
    if len(found) != 1:
        raise ModelLoadError(path, f"holds {len(found)} .pth files and no {WEIGHTS_FILE}", _PATH_REMEDY)
    return found[0]


def _find(folder: Path, sha256: str) -> int | None:
    try:
        return find_version(folder, sha256)
    except OSError as error:
        raise ModelLoadError(folder, f"cannot be read: {error.strerror}", "check its permissions") from error


def _with_config_of_another(registry: Registry, name: str, weights: bytes, path: Path) -> VersionFiles:
    """Bare weights with the config of a version that they fit, and with its golden windows."""
    state = read_state(weights, path)
    tried: set[NetworkConfig] = set()
    misfit = ""
    for other, number in _newest_first(registry, name):
        try:
            lender = registry.config(other, number)
            golden = read_golden(registry.path / other / str(number) / GOLDEN_FILE, lender)
        except ModelLoadError:
            continue  # a version that is damaged itself lends nothing
        if lender.network in tried:
            continue
        tried.add(lender.network)
        try:
            config = _fitted(lender, state, path, f"{other} version {number}")
            build_network(config, state, path)
        except ModelLoadError as error:
            misfit = misfit or f" ({other} version {number}: {error.reason})"
        else:
            return VersionFiles(weights=weights, config=config, golden=golden)
    reason = f"no {CONFIG_FILE} beside it, and no version in {registry.path} that it fits{misfit}"
    raise ModelLoadError(path, reason, f"{CONFIG_REMEDY}, at {path.parent / CONFIG_FILE}")


def _newest_first(registry: Registry, name: str) -> Iterator[tuple[str, int]]:
    """Versions of the model itself, then those of the others."""
    for other in (name, *(known for known in registry.names() if known != name)):
        for number in reversed(registry.versions(other)):
            yield other, number


def _fitted(lender: ModelConfig, state: Mapping[str, Tensor], path: Path, lender_name: str) -> ModelConfig:
    """The lender's config with the normalisation that the weights carry, and with nothing that is the lender's alone.

    The figures of its training and the range of its training split say nothing of other weights.
    """

    def values(name: str) -> tuple[float, ...]:
        if name not in state:
            raise ModelLoadError(path, f"{name} is missing", "save the whole state dictionary")
        return numbers(state[name].reshape(-1)[:4096].tolist(), name)

    try:
        clip = values("feature_clip")
        return dataclasses.replace(
            lender,
            feature_normalisation=Normalisation(
                mean=values("feature_mean"),
                standard_deviation=values("feature_deviation"),
                clip=clip[0] if clip else None,
            ),
            target_normalisation=Normalisation(
                mean=values("target_mean"), standard_deviation=values("target_deviation")
            ),
            feature_range=None,
            training={"imported_from": path.name, "config_of": lender_name},
            sha256="",
            golden_sha256="",
        )
    except ConfigError as error:
        raise ModelLoadError(path, f"carries no usable normalisation: {error}", "restore or retrain it") from error
