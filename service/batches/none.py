"""A place without batches: of an application that was given a job queue and nothing to keep results in."""

from __future__ import annotations

from collections.abc import Iterator

from domain.batches import BatchInfo, BatchItem, ItemResult, NewBatch
from domain.errors import ConfigurationError, NotFound
from domain.jobs import Receipt


class NoBatches:
    """Implements BatchStore: there are none, and none can be made."""

    def create(self, batch: NewBatch, receipt: Receipt | None = None) -> Receipt | None:
        raise ConfigurationError("This server has no database to keep batches in.")

    def info(self, batch_id: str) -> BatchInfo:
        raise NotFound(f"There is no batch '{batch_id}'.")

    def list_batches(self, limit: int = 100, before: str | None = None) -> list[BatchInfo]:
        return []

    def results(self, batch_id: str) -> Iterator[tuple[BatchItem, ItemResult | None]]:
        raise NotFound(f"There is no batch '{batch_id}'.")

    def cancel(self, batch_id: str) -> BatchInfo:
        raise NotFound(f"There is no batch '{batch_id}'.")

    def remove(self, batch_id: str) -> None:
        raise NotFound(f"There is no batch '{batch_id}'.")
