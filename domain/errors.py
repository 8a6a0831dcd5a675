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
    │   └── JobLost                    a job was cancelled or taken over by another worker: nothing more is written
    ├── Overloaded                     all places are taken, here and now: come back in a moment
    ├── FetchError                     a URL could not or must not be fetched
    ├── QuotaExceeded                  a key or a tenant has used up what it may; says when there is more
    └── GenerationError                the language model failed
        ├── GeneratorUnreachable       connection, DNS, TLS
        ├── GeneratorTimeout           a deadline passed
        ├── GeneratorBadResponse       the reply is malformed, truncated or refused
        └── GenerationCancelled        nobody waits for the answer any more

Each class carries a stable `code` for programs and says whether trying again can help (`retryable`).
The message is a sentence for people: what happened, with which value, and what to do.
"""

from __future__ import annotations


class FoveaError(Exception):
    """Base of all errors raised on purpose. `code` is stable; `retryable` tells whether the same call may succeed
    later, and `retry_after_seconds`, where it is known, after how long. `spent_tokens` is what a language model has
    taken on the way to it.
    """

    code = "internal_error"
    retryable = False
    retry_after_seconds: float | None = None
    spent_tokens = 0

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
    unsupported_format, too_large, too_many_pages, decompression_limit, parser_timeout, parser_memory,
    parser_crashed, unreadable_file, symlink, invalid_json.
    """

    code = "corrupt_document"


class IndexModelMismatch(FoveaError):
    code = "index_model_mismatch"


class DataDirectoryInUse(FoveaError):
    code = "data_directory_in_use"


class StorageError(FoveaError):
    code = "storage_unavailable"
    retryable = True


class JobLost(StorageError):
    code = "job_lost"
    retryable = False


class Overloaded(FoveaError):
    """The server has as much to do as it takes on; whoever is in is served, and others are told to come back."""

    code = "overloaded"
    retryable = True
    retry_after_seconds = 2.0


class FetchError(FoveaError):
    """A URL was not fetched. Codes: url_forbidden, url_unreachable, url_too_large, url_status."""

    code = "url_unreachable"
    retryable = True


class QuotaExceeded(FoveaError):
    """More was asked for than the caller's quota allows. `retry_after_seconds` is when the same call may succeed."""

    code = "quota_exceeded"
    retryable = True

    def __init__(self, message: str, *, retry_after_seconds: float, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after_seconds = retry_after_seconds


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


class GenerationCancelled(GenerationError):
    code = "llm_cancelled"
