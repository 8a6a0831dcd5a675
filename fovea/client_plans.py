"""The engine's verbs as plans over HTTP: what to send, what to wait for, what the reply means.

A plan is a generator that yields the calls and pauses it needs and returns the result; it does no I/O of its own. So
each verb is written once, for the blocking client and for asyncio.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from domain.answers import Answer
from domain.asking import Message
from domain.documents import Document, Page, Span
from domain.errors import LoadError, NotFound, UsageError
from domain.explanation import Explanation
from domain.jobs import (
    CollectionInfo,
    DocumentInfo,
    DocumentOutcome,
    DocumentStatus,
    ErrorInfo,
    IngestProgress,
    IngestReport,
)
from domain.search import DEFAULT_COLLECTION
from domain.search_result import SearchResult
from fovea.client_calls import Call, Pause, Plan, Upload

_POLL_SECONDS = 0.25
_LARGEST_PAGE = 1000  # the server's limit


def search(
    question: str,
    *,
    max_tokens: int | None = None,
    collection: str = DEFAULT_COLLECTION,
    document_ids: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None,
    history: Sequence[Message] = (),
) -> Plan[SearchResult]:
    """The evidence for a question within `max_tokens` context tokens; nothing is generated."""
    body = _question_body(question, max_tokens, collection, document_ids, metadata, history)
    return SearchResult.from_dict((yield Call("POST", "/v1/search", json=body)))


def ask(
    question: str,
    *,
    max_tokens: int | None = None,
    collection: str = DEFAULT_COLLECTION,
    constraints: Sequence[str] = (),
    role: str | None = None,
    think: bool = False,
    history: Sequence[Message] = (),
    document_ids: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None,
    max_output_tokens: int | None = None,
) -> Plan[Answer]:
    """One answer with verified citations."""
    body = _question_body(question, max_tokens, collection, document_ids, metadata, history)
    body |= {"constraints": list(constraints), "role": role, "think": think, "max_output_tokens": max_output_tokens}
    return Answer.from_dict((yield Call("POST", "/v1/ask", json=body)))


def explain(
    question: str,
    *,
    document: str,
    collection: str = DEFAULT_COLLECTION,
    chunks: int = 3,
    full: bool = False,
) -> Plan[Explanation]:
    """Where the question's attention went in one document (id or source): by sentence, token and head."""
    body = {"question": question, "document": document, "collection": collection, "chunks": chunks, "full": full}
    return Explanation.from_dict((yield Call("POST", "/v1/explain", json=body)))


def ingest(
    inputs: Sequence[str | Path] | str | Path,
    *,
    collection: str = DEFAULT_COLLECTION,
    progress: Callable[[IngestProgress], None] | None = None,
) -> Plan[IngestReport]:
    """Send files, the files of folders, and URLs, and wait until each is indexed or has failed.

    Raises UsageError for a path that does not exist, before anything is sent.
    """
    started = time.monotonic()
    outcomes: list[DocumentOutcome] = []
    accepted: list[tuple[str, str]] = []
    items = _expand(inputs)
    for item in items:
        result = yield from _send(item, collection)
        if isinstance(result, DocumentOutcome):
            outcomes.append(result)
        else:
            accepted.append(result)
    for document_id, source in accepted:
        outcomes.append((yield from _await_job(document_id, source)))
        if progress:
            progress(IngestProgress(len(outcomes), len(items), sum(item.chunks for item in outcomes), source))
    order = {item if isinstance(item, str) else item.source: place for place, item in enumerate(items)}
    outcomes.sort(key=lambda outcome: order.get(outcome.source, len(order)))
    return IngestReport(tuple(outcomes), time.monotonic() - started)


def ingest_bytes(
    data: bytes,
    name: str,
    *,
    collection: str = DEFAULT_COLLECTION,
    source: str | None = None,
    media_type: str | None = None,
    progress: Callable[[IngestProgress], None] | None = None,
) -> Plan[DocumentOutcome]:
    """Index one file that is already in memory; `source` defaults to `name`."""
    upload = Upload(name, source or name, lambda: data, media_type)
    result = yield from _send(upload, collection)
    outcome = result if isinstance(result, DocumentOutcome) else (yield from _await_job(*result))
    return _told(outcome, progress)


def ingest_text(
    text: str,
    *,
    title: str = "",
    collection: str = DEFAULT_COLLECTION,
    source: str | None = None,
    progress: Callable[[IngestProgress], None] | None = None,
) -> Plan[DocumentOutcome]:
    """Index a plain text; `source` defaults to an id made from the text."""
    body = {"text": text, "title": title, "collection": collection, "source": source}
    accepted = (yield Call("POST", "/v1/documents", json=body))["documents"][0]
    return _told((yield from _await_job(accepted["id"], accepted["source"])), progress)


def _told(outcome: DocumentOutcome, progress: Callable[[IngestProgress], None] | None) -> DocumentOutcome:
    if progress:
        progress(IngestProgress(1, 1, outcome.chunks, outcome.source))
    return outcome


def list_documents(
    collection: str | None = None, limit: int = 100, after: str | None = None
) -> Plan[list[DocumentInfo]]:
    """Documents by ascending id, at most `limit`, starting behind the id `after`."""
    found: list[DocumentInfo] = []
    while len(found) < limit:
        size = min(limit - len(found), _LARGEST_PAGE)
        params = {"collection": collection, "limit": size, "cursor": after}
        page = yield Call("GET", "/v1/documents", params=params)
        found += [DocumentInfo.from_dict(item) for item in page["documents"]]
        after = page["next_cursor"]
        if after is None:
            break
    return found


def get_document(document_id: str) -> Plan[DocumentInfo]:
    """Raises NotFound, also for a document that waits for its first indexing."""
    reply = yield Call("GET", _document_path(document_id))
    if reply["status"] is None:
        raise NotFound(f"Document {document_id!r} is not indexed yet: its upload is {reply['state']}.")
    return DocumentInfo.from_dict({name: value for name, value in reply.items() if name not in ("state", "job")})


def document(document_id: str) -> Plan[Document]:
    """A document with its text: the text that every span counts in. Raises NotFound."""
    info = yield Call("GET", _document_path(document_id))
    reply = yield Call("GET", _document_path(document_id) + "/text")
    return Document(
        id=reply["id"],
        source=reply["source"],
        title=reply["title"],
        text=reply["text"],
        media_type=info["media_type"],
        content_hash="",  # the server does not tell it
        pages=tuple(Page(item["number"], Span.from_dict(item)) for item in reply["pages"]),
        metadata=info["metadata"],
    )


def delete(document_ids: Sequence[str] | str) -> Plan[None]:
    """Delete documents: once this returns, nothing of them is found. Raises NotFound before anything is deleted."""
    ids = [document_ids] if isinstance(document_ids, str) else list(document_ids)
    for item in ids if len(ids) > 1 else []:
        yield Call("GET", _document_path(item))
    for item in ids:
        yield Call("DELETE", _document_path(item))


def list_collections() -> Plan[list[CollectionInfo]]:
    """All collections, with their sizes."""
    reply = yield Call("GET", "/v1/collections")
    return [CollectionInfo.from_dict(item) for item in reply["collections"]]


def create_collection(name: str) -> Plan[CollectionInfo]:
    """Raises UsageError where the name is taken or unusable."""
    return CollectionInfo.from_dict((yield Call("POST", "/v1/collections", json={"name": name})))


def delete_collection(name: str) -> Plan[None]:
    """Delete a collection with all its documents. Raises NotFound."""
    yield Call("DELETE", f"/v1/collections/{quote(name, safe='')}")


def _question_body(
    question: str,
    max_tokens: int | None,
    collection: str,
    document_ids: Iterable[str],
    metadata: Mapping[str, Any] | None,
    history: Sequence[Message],
) -> dict[str, Any]:
    return {
        "question": question,
        "max_tokens": max_tokens,
        "collection": collection,
        "document_ids": list(document_ids),
        "metadata": dict(metadata) if metadata is not None else None,
        "history": [item.to_dict() for item in history],
    }


def _document_path(document_id: str) -> str:
    return f"/v1/documents/{quote(document_id, safe='')}"


def _expand(inputs: Sequence[str | Path] | str | Path) -> list[Upload | str]:
    """Files to upload and URLs, in order; a folder gives its files, sorted, without hidden ones and links."""
    given = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    if not given:
        raise UsageError("Nothing to ingest: name at least one file, folder or URL.")
    items: list[Upload | str] = []
    for item in given:
        if isinstance(item, str) and item.lower().startswith(("http://", "https://")):
            items.append(item)
            continue
        path = Path(item)
        if path.is_dir():
            items += [_file(found, str(found)) for found in sorted(path.rglob("*")) if _is_plain(found, path)]
        elif path.is_file():
            items.append(_file(path, str(item)))
        else:
            raise UsageError(f"{str(item)!r} does not exist; name files, folders or URLs.")
    return items


def _file(path: Path, source: str) -> Upload:
    return Upload(path.name, source, path.read_bytes)


def _is_plain(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.is_file() and not path.is_symlink() and not hidden


def _send(item: Upload | str, collection: str) -> Plan[DocumentOutcome | tuple[str, str]]:
    """Send one input: (document id, source), or the outcome where it did not get that far."""
    source = item if isinstance(item, str) else item.source
    try:
        if isinstance(item, str):
            reply = yield Call("POST", "/v1/documents", json={"url": item, "collection": collection})
        else:
            reply = yield Call("POST", "/v1/documents", data={"collection": collection}, upload=item)
    except (UsageError, LoadError) as error:  # this input is refused; the others go on
        return _failed(source, ErrorInfo(error.code, error.message))
    except OSError as error:
        return _failed(source, ErrorInfo("unreadable_file", f"{source} cannot be read: {error.strerror}."))
    return reply["documents"][0]["id"], source


def _failed(source: str, error: ErrorInfo, document_id: str | None = None) -> DocumentOutcome:
    return DocumentOutcome(document_id, source, DocumentStatus.FAILED, error=error)


def _await_job(document_id: str, source: str) -> Plan[DocumentOutcome]:
    """Wait for the newest upload of a document: ours, or one that came after it and decides as well."""
    while True:
        reply = yield Call("GET", _document_path(document_id))
        if reply["state"] not in ("queued", "running"):
            break
        yield Pause(_POLL_SECONDS)
    error = ErrorInfo.from_dict((reply["job"] or {}).get("error") or reply["error"])
    if reply["state"] == "failed":
        return _failed(source, error or ErrorInfo("internal_error", "The upload failed."), document_id)
    return DocumentOutcome(document_id, source, DocumentStatus.INDEXED, reply["chunks"])


def stream_call(plan: Plan[Answer]) -> Call:
    """The request of `ask`, asking for a stream."""
    call = next(plan)
    plan.close()
    assert isinstance(call, Call)
    return Call(call.method, call.path, json={**call.json, "stream": True})
