"""What a sentence-transformers folder from elsewhere may hold: weights, words and settings, nothing that runs.

Loading a model is safe only as far as the files beside its weights are: a pickle runs code when it is read, a settings
file can name a class to import, a repository to fetch, or switch the library's own guards off. `load_model` forbids all
of that too; this check comes before it, reads the settings as the library will (a key spelt with escapes is the same
key), and says which file to look at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from domain.errors import ConfigurationError

# Formats that run code when they are read or imported. Only safetensors is loaded, but what lies beside the modules can
# be picked up by a library's fallback, so it is refused with a sentence that says what to delete.
# (.npy and .npz can hold pickled objects.)
_RUNS_CODE = frozenset(".bin .pkl .pickle .pt .pth .ckpt .joblib .npy .npz .py .pyc .pyd .so .dll .dylib".split())
# Modules that turn token states into a sentence vector; each reads safetensors and settings, no more.
_MODULES = frozenset({"Transformer", "Pooling", "Normalize", "Dense", "Dropout", "LayerNorm"})
_ACTIVATIONS = "torch.nn.modules."
_WORDS = frozenset({"tokenizer.json"})  # read by the tokenizers library alone; megabytes of vocabulary, no settings


def _is_set(value: Any) -> bool:
    return bool(value)


def _is_off(value: Any) -> bool:
    return value is not None and not value


def _names_repository(value: Any) -> bool:
    """True where an implementation of attention is one to be fetched: "owner/kernel", alone or by layer."""
    names = value.values() if isinstance(value, dict) else (value,)
    return any(isinstance(name, str) and "/" in name for name in names)


# Settings that make the loading libraries import or fetch code, with the values that do.
_FORBIDDEN: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        "auto_map": _is_set,
        "custom_generate": _is_set,
        "trust_remote_code": _is_set,
        "_attn_implementation_internal": _is_set,
        "_experts_implementation_internal": _is_set,
        "attn_implementation": _names_repository,
        "_attn_implementation": _names_repository,
        "experts_implementation": _names_repository,
        "use_kernels": _is_set,
        "kernel_config": _is_set,
        "allow_all_kernels": _is_set,
        "weights_only": _is_off,
        "use_safetensors": _is_off,
    }
)


def check_foreign_folder(folder: Path) -> None:
    """Refuse a sentence-transformers folder that could run code when loaded; raises ConfigurationError.

    Accepted are weights in safetensors and the modules of the sentence-transformers package that encoders are made of.
    """
    if not (folder / "modules.json").is_file():
        raise ConfigurationError(
            f"{folder} is not a sentence-transformers folder: it has no modules.json. Give the folder that "
            "`SentenceTransformer.save` wrote, or a model's name."
        )
    modules = _settings(folder, folder / "modules.json")
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise _unsafe(folder, "modules.json is not a list of modules")
    parts = {folder, *(_part(folder, module) for module in modules)}
    for part in sorted(parts):
        _check_part(folder, part)
    if not any(list(part.glob("*.safetensors")) for part in parts):
        raise _unsafe(folder, "it holds no weights in the safetensors format")


def _part(folder: Path, module: dict[str, Any]) -> Path:
    """The folder of a module whose class may be loaded."""
    kind, path = str(module.get("type", "")), str(module.get("path", ""))
    if not kind.startswith("sentence_transformers."):
        raise _unsafe(folder, f"modules.json names the foreign class {kind!r}")
    if kind.rpartition(".")[2] not in _MODULES:
        raise _unsafe(
            folder, f"modules.json names the module {kind!r}; encoders are made of {', '.join(sorted(_MODULES))}"
        )
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\\" in path:
        raise _unsafe(folder, f"modules.json names the path {path!r} outside of it")
    return folder / path


def _check_part(folder: Path, part: Path) -> None:
    for path in sorted(part.iterdir()) if part.is_dir() else []:
        name = path.relative_to(folder)
        if path.suffix.lower() in _RUNS_CODE:
            raise _unsafe(folder, f"{name} is in a format that can run code when it is read; delete that file")
        if path.suffix.lower() == ".json" and path.name not in _WORDS:
            for key, value in _pairs(_settings(folder, path)):
                _check_setting(folder, name, key, value)


def _check_setting(folder: Path, name: Path, key: str, value: Any) -> None:
    if key in _FORBIDDEN and _FORBIDDEN[key](value):
        raise _unsafe(folder, f"{name} asks for code from outside the libraries ({key})")
    if key == "activation_function" and not str(value).startswith(_ACTIVATIONS):
        raise _unsafe(folder, f"{name} names the activation {value!r}, which is none of torch's own")


def _settings(folder: Path, path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _unsafe(folder, f"{path.relative_to(folder)} is not readable JSON ({error})") from error


def _pairs(content: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    open_values = [content]
    while open_values:
        value = open_values.pop()
        if isinstance(value, dict):
            yield from value.items()
            open_values.extend(value.values())
        elif isinstance(value, list):
            open_values.extend(value)


def _unsafe(folder: Path, what: str) -> ConfigurationError:
    return ConfigurationError(f"The model folder {folder} is refused: {what}.", code="model_folder_unsafe")
