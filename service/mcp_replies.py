"""What a tool's reply carries by default: what a model needs to answer and to cite, and no more.

A reply goes whole into the window of the model that called. Everything that the HTTP API tells of a search is some
fifteen times its evidence or more (scores, offsets, what was dropped and why), and would cost more than was saved; it
is there for programs that ask for it. Keys keep the API's names, and a key without a value is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from domain.answers import Answer
from domain.context import ContextBill, NearestPassage
from domain.jobs import DocumentInfo, DocumentStatus
from domain.search import Evidence
from domain.search_result import SearchResult

_SHOWN_OF_BILL = ("evidence", "total", "baseline", "avoided")
_FLAGS = ("abstained", "degraded", "truncated", "filtered")


def search_reply(found: SearchResult) -> dict[str, Any]:
    """The evidence and its price; without evidence, the passages that came nearest."""
    return {
        "evidence": [_evidence(item) for item in found.evidence],
        "context_tokens": found.context_tokens,
        "bill": _bill(found.bill),
        **_nearest(found.nearest),
    }


def answer_reply(answer: Answer) -> dict[str, Any]:
    """The answer, where it stands, and what of it is not supported by what it cites."""
    return {
        "answer": answer.text,
        "citations": [
            _present(mark=one.mark, **_place(one.source, one.title, one.page), quote=one.quote, verified=one.verified)
            for one in answer.citations
        ],
        **_present(unsupported=list(answer.unsupported)),
        **{flag: True for flag in _FLAGS if getattr(answer, flag)},
        "bill": _bill(answer.search.bill),
        **_nearest(answer.search.nearest),
    }


def listing_reply(documents: Sequence[DocumentInfo], limit: int) -> dict[str, Any]:
    """A page of documents; `next` is there where others may follow, and is the `after` of the next call."""
    listed = [
        _present(
            **_place(item.source, item.title),
            status="" if item.status is DocumentStatus.INDEXED else item.status.value,
            error=item.error.message if item.error else "",
        )
        for item in documents
    ]
    return {"documents": listed, **_present(next=documents[-1].id if len(documents) == limit else "")}


def _evidence(item: Evidence) -> dict[str, Any]:
    place = _place(item.source, item.title, item.page)
    return _present(mark=item.mark, **place, heading_path=list(item.heading_path), text=item.text)


def _nearest(passages: Sequence[NearestPassage]) -> dict[str, Any]:
    found = [_present(**_place(one.source, one.title, one.page), text=one.text) for one in passages]
    return _present(nearest=found)


def _place(source: str, title: str, page: int | None = None) -> dict[str, Any]:
    return {"source": source, "title": "" if title == source else title, "page": page}


def _bill(bill: ContextBill) -> Mapping[str, int]:
    plain = bill.to_dict()
    return {name: plain[name] for name in _SHOWN_OF_BILL}


def _present(**values: Any) -> dict[str, Any]:
    """The values that say something: False and 0 do, nothing and empty ones do not."""
    return {name: value for name, value in values.items() if value is not None and value != "" and value != []}
