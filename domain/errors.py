"""Every error the product raises on purpose.

    FoveaError
    ├── DomainError                    a value that cannot exist, for example a reversed span
    ├── UsageError                     the caller asked for something impossible; the message says what to change
    │   ├── ConfigurationError         settings, plugin names, missing extras
    │   ├── NotFound                   no such document, collection or job
    │   └── ContextBudgetError         question, constraints and reserve alone exceed the prompt limit
    ├── LoadError                      one input cannot be read; the run goes on with the others
    ├── IndexModelMismatch             stored vectors come from another encoder than the configured one
    ├── DataDirectoryInUse             another process owns this data directory
    ├── StorageError                   the database refused or vanished
    ├── FetchError                     a URL could not or must not be fetched
    └── GenerationError                the language model failed
        ├── GeneratorUnreachable       connection, DNS, TLS
        ├── GeneratorTimeout           a deadline passed
        └── GeneratorBadResponse       the reply is malformed, truncated or refused

Each class carries a stable `code` for programs and says whether trying again can help (`retryable`).
The message is a sentence for people: what happened, with which value, and what to do.
"""

from __future__ import annotations


class FoveaError(Exception):
    """Base of all errors raised on purpose. `code` is stable; `retryable` tells whether the same call may succeed
    later.
    """

    code = "internal_error"
    retryable = False

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code

    @property
    def message(self) -> str:
        return str(self)

    def to_dict(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message}


class DomainError(FoveaError):
    code = "invalid_value"


class UsageError(FoveaError):
    code = "invalid_request"


class ConfigurationError(UsageError):
    code = "invalid_configuration"


class NotFound(UsageError):
    code = "not_found"


class ContextBudgetError(UsageError):
    code = "context_budget"


class LoadError(FoveaError):
    """One input cannot be read. Codes: empty_document, no_text, encrypted_document, corrupt_document,
    unsupported_format, too_large, decompression_limit, parser_timeout, parser_memory, parser_crashed,
    unreadable_file, symlink, invalid_json.
    """

    code = "corrupt_document"


class IndexModelMismatch(FoveaError):
    code = "index_model_mismatch"


class DataDirectoryInUse(FoveaError):
    code = "data_directory_in_use"


class StorageError(FoveaError):
    code = "storage_unavailable"
    retryable = True


class FetchError(FoveaError):
    """A URL was not fetched. Codes: url_forbidden, url_unreachable, url_too_large, url_status."""

    code = "url_unreachable"
    retryable = True


class GenerationError(FoveaError):
    code = "llm_error"


class GeneratorUnreachable(GenerationError):
    code = "llm_unreachable"
    retryable = True


class GeneratorTimeout(GenerationError):
    code = "llm_timeout"
    retryable = True


class GeneratorBadResponse(GenerationError):
    code = "llm_bad_response"
