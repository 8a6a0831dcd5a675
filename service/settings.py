"""Settings: read once at an entry point, from arguments, the environment and `fovea.toml`, in that order of rank.

Every field can be set as `FOVEA_<SECTION>__<FIELD>`, for example `FOVEA_GENERATION__BASE_URL`, or in the table
`[generation]` of `fovea.toml` in the working directory (another file: `FOVEA_CONFIG`). Unknown keys are refused.
This module is the only reader of the environment; no component sees a Settings object.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from domain.errors import ConfigurationError
from service.variables import CONFIG, PREFIX, check_variables, variable_of
from service.wrong_settings import Place, in_our_words

_MIB = 1024 * 1024


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StorageSettings(Section):
    """Where documents, chunks, vectors and jobs live."""

    database_url: str | None = Field(
        default=None, description="SQLAlchemy URL; default is SQLite in the data directory."
    )


class EncoderSettings(Section):
    """The model that turns text into vectors."""

    model: str = Field(
        default="multilingual-e5-small",
        description='"multilingual-e5-small", "all-MiniLM-L6-v2", "hashing" (tests) or a sentence-transformers model.',
    )
    backend: Literal["auto", "openvino", "torch", "openai"] = Field(
        default="auto", description="auto: OpenVINO where it runs, else torch; openai: a remote embeddings API."
    )
    base_url: str = Field(default="http://127.0.0.1:8091/v1", description="Of the API of the openai backend.")
    api_key: SecretStr | None = Field(default=None, description="Of the openai backend, sent as a bearer token.")
    dim: int | None = Field(default=None, ge=1, description="Width of the vectors of the openai backend.")
    threads: int | None = Field(default=None, ge=1, description="Threads of the encoder; default: all cores.")
    models_dir: Path | None = Field(default=None, description="Of converted models; default: models/ in data_dir.")
    weights: str = Field(
        default="auto",
        description='Of the reranker: "auto" (trained here, else shipped), "untrained", or a file of `fovea train`.',
    )


class IngestionSettings(Section):
    """How inputs are read and cut."""

    chunk_tokens: int = Field(
        default=200, ge=32, le=480, description="Aimed-at size of a chunk, in the encoder's tokens."
    )
    max_file_bytes: int = Field(default=200 * _MIB, ge=1, description="Larger files are refused.")
    parser_memory_bytes: int = Field(
        default=1536 * _MIB, ge=128 * _MIB, description="Address space of a parser process."
    )
    parser_seconds: float = Field(default=60.0, gt=0, description="Wall clock of one parse.")
    workers: int = Field(default=2, ge=1, le=32, description="Files parsed side by side.")
    allow_private_urls: bool = Field(default=False, description="Allow URLs on private addresses (an intranet).")
    loaders: tuple[str, ...] = Field(default=(), description="Further loaders, each as module:attribute.")


class RetrievalSettings(Section):
    """How candidates are found."""

    dense_k: int = Field(default=50, ge=1, le=1000, description="Chunks asked of the vector index.")
    lexical_k: int = Field(default=50, ge=1, le=1000, description="Chunks asked of the BM25 index.")
    candidates: int = Field(default=50, ge=1, le=1000, description="Chunks that the reranker sees.")
    vector_index: str = Field(default="faiss", description='"faiss", "exact", an entry point, or module:attribute.')
    lexical_index: str = Field(
        default="tantivy", description='"tantivy", "memory", an entry point, or module:attribute.'
    )
    reranker: str = Field(default="attention", description='"attention", "none", an entry point, or module:attribute.')


class ContextSettings(Section):
    """What may be sent."""

    max_tokens: int = Field(default=500, ge=1, description="Default ceiling of context tokens a question.")
    prompt_limit: int = Field(
        default=8192, ge=256, description="Ceiling of the whole prompt with the answer's reserve."
    )
    reserve: int = Field(default=512, ge=16, description="Tokens kept free for the answer.")
    tokenizer: Path | None = Field(
        default=None,
        description="Of the model that reads the prompt: its tokenizer.json, a folder that holds it, its name on the "
        'Hugging Face hub, "o200k_base" or "cl100k_base"; default: by the model\'s name, else the encoder\'s.',
    )
    max_chunks_per_document: int = Field(
        default=8, ge=1, description="Chunks of one document in a prompt where other documents have evidence too."
    )
    restate_from: int = Field(
        default=500, ge=0, description="Context tokens from which question and constraints are stated at both ends."
    )
    edges_from: int = Field(
        default=500, ge=0, description="Context tokens from which the strongest evidence stands at both ends."
    )
    templates: Path | None = Field(default=None, description="TOML file with prompt wording of your own.")


class ConversationSettings(Section):
    """How a question is read that leans on what was said before."""

    rewrite: Literal["rules", "model"] = Field(
        default="rules",
        description="Who makes a follow-up standalone for the search: rules, or the language model of [generation] in "
        "one short call; where that fails, the rules stand in.",
    )
    rewrite_seconds: float = Field(default=5.0, gt=0, description="Deadline of the model's call.")


class GenerationSettings(Section):
    """Who writes the answer."""

    generator: str = Field(
        default="extractive",
        description='"extractive", "openai" (any compatible API), an entry point, or module:attribute.',
    )
    base_url: str = Field(default="http://127.0.0.1:8091/v1", description="Of the OpenAI-compatible API.")
    model: str = Field(default="default", description="Name that the API knows the model by.")
    api_key: SecretStr | None = Field(default=None, description="Sent as a bearer token.")
    second_base_url: str | None = Field(
        default=None, description="Of an API that is asked where the first one fails before its first token."
    )
    second_model: str | None = Field(default=None, description="Its name for the model; default: model.")
    second_api_key: SecretStr | None = Field(
        default=None, description="Its key; that of the first is never sent to it."
    )
    first_token_seconds: float = Field(
        default=30.0, gt=0, description="Deadline of the first token, retries and the second API included."
    )
    total_seconds: float = Field(default=120.0, gt=0, description="Deadline of the whole answer.")
    fallback: bool = Field(default=True, description="Answer extractively, marked degraded, when the model fails.")


class ServerSettings(Section):
    """The HTTP side."""

    host: str = Field(default="127.0.0.1", description="Other than loopback needs an api_key.")
    port: int = Field(default=8000, ge=0, le=65535)
    api_key: SecretStr | None = Field(default=None, description="Callers send it as a bearer token.")
    max_body_bytes: int = Field(default=64 * _MIB, ge=1024, description="Larger requests get 413.")
    traces_endpoint: str | None = Field(
        default=None,
        description='Where OpenTelemetry traces go by OTLP over HTTP, for example "http://127.0.0.1:4318/v1/traces"; '
        "needs the extra otel. Default: no traces.",
    )


class Settings(BaseSettings):
    """All settings. `Settings()` reads the environment and `fovea.toml`; keyword arguments outrank both."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,  # compose files hand on variables that nobody set as empty ones
        extra="forbid",
        frozen=True,
        toml_file="fovea.toml",
    )

    data_dir: Path = Field(
        default=Path(".fovea"), description="Everything the product writes lives here, or in the database."
    )
    storage: StorageSettings = StorageSettings()
    encoder: EncoderSettings = EncoderSettings()
    ingestion: IngestionSettings = IngestionSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    context: ContextSettings = ContextSettings()
    conversation: ConversationSettings = ConversationSettings()
    generation: GenerationSettings = GenerationSettings()
    server: ServerSettings = ServerSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=_file())

    @property
    def database_url(self) -> str:
        return self.storage.database_url or f"sqlite:///{self.data_dir / 'fovea.db'}"

    @property
    def tiktoken_dirs(self) -> tuple[Path, ...]:
        """Where rank files may lie: the folders of tiktoken's cache, in its order, and the models' folder."""
        named = (os.environ.get(name) for name in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"))
        cache = Path(tempfile.gettempdir()) / "data-gym-cache"
        return (*(Path(folder) for folder in named if folder), cache, self.models_dir)

    @property
    def models_dir(self) -> Path:
        return self.encoder.models_dir or self.data_dir / "models"


def load_settings(**overrides: Any) -> Settings:
    """Settings from all sources. Raises ConfigurationError that names each wrong key, its value and its place."""
    config = os.environ.get(CONFIG)
    if config and not Path(config).is_file():
        raise ConfigurationError(f"{CONFIG} names {config!r}, which is not a file.")
    check_variables(os.environ, Settings)
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise ConfigurationError(in_our_words(error, Settings, partial(_origin, given))) from error
    except (OSError, ValueError) as error:  # the variables have been checked: what is left is the file
        raise ConfigurationError(f"The settings file {_file()} cannot be read as TOML: {error}.") from error


def _file() -> Path:
    return Path(os.environ.get(CONFIG) or "fovea.toml")


def _origin(given: Collection[str], place: Place) -> str:
    """Where the value at `place` was set: the first in rank."""
    if place[0] in given:
        return "an argument"
    return variable_of(place, os.environ) or str(_file())
