"""Indexes made anew from SQL, with new vectors first where they are wanted."""

from __future__ import annotations

import time
from collections.abc import Callable

from domain.errors import NotFound
from domain.maintenance import ReindexReport
from service.parts import Parts

Progress = Callable[[str, int, int], None]


def reindex_collection(parts: Parts, collection: str, embed: bool, progress: Progress | None) -> ReindexReport:
    """Rebuild both indexes of a collection. Raises NotFound."""
    started = time.perf_counter()
    tell = progress or (lambda what, done, total: None)
    infos = {item.name: item for item in parts.store.list_collections()}
    if collection not in infos:
        raise NotFound(f"There is no collection '{collection}'. 'fovea list' shows those that exist.")
    total = infos[collection].chunks
    encoded = parts.reembed(collection, lambda done, of: tell("chunks encoded", done, of)) if embed else 0
    parts.indexes.rebuild(collection, lambda what, done: tell(what, done, total))
    model_id = parts.encoder.model_id if embed else infos[collection].model_id
    return ReindexReport(collection, total, encoded, model_id, time.perf_counter() - started)
