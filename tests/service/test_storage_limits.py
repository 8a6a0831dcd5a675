"""What a tenant may store, where several write at a time (C5)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Connection, Row, event

from domain.access import Limits
from domain.documents import Document
from domain.errors import QuotaExceeded
from service.storage.database import Database
from service.storage.keys import SqlKeys
from service.storage.limited import LimitedDocumentStore
from service.storage.usage import SqlUsage
from tests.service.storage_examples import make_document, put

WAIT = 30


class Pausing(LimitedDocumentStore):
    """Stops inside its transaction, with the document's row written and not committed, until it is told to go on."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.written, self.may_commit = Event(), Event()

    def _put(self, connection: Connection, owner: Row[Any], document: Document, chunk_count: int) -> int:
        number = super()._put(connection, owner, document, chunk_count)
        self.written.set()
        assert self.may_commit.wait(WAIT)
        return number


@pytest.mark.parametrize("collections", [("default", "default"), ("default", "other")], ids=["one", "two"])
@pytest.mark.parametrize("limits", [Limits(documents=1), Limits(characters=20)], ids=["documents", "characters"])
def test_c5_two_servers_that_write_at_a_time_store_no_more_than_one_may(
    open_again: Callable[[], Database], limits: Limits, collections: tuple[str, str]
) -> None:
    first, second = Pausing(open_again()), LimitedDocumentStore(second_database := open_again())
    SqlKeys(open_again()).limit("local", limits)
    for name in collections:
        first.ensure_collection(name)
    documents = [
        make_document(f"{number}.txt", "some characters", collection=collections[number]) for number in range(2)
    ]
    # Where the second one has to wait for the first: the database, its collection, or its tenant.
    waits = "BEGIN IMMEDIATE" if second_database.is_sqlite else "FOR UPDATE"
    if len(set(collections)) == 2 and not second_database.is_sqlite:
        waits = "FOR NO KEY UPDATE"

    @event.listens_for(second_database.engine, "before_cursor_execute")
    def arrived(_: Any, __: Any, statement: str, *___: Any) -> None:
        if waits in statement:
            first.may_commit.set()

    def store_second() -> None:
        try:
            put(second, documents[1], collections[1])
        finally:
            first.may_commit.set()

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(put, first, documents[0], collections[0])
        assert first.written.wait(WAIT)
        other = pool.submit(store_second)
        one.result(WAIT)
        with pytest.raises(QuotaExceeded, match="1 documents" if limits.documents else "20 characters"):
            other.result(WAIT)
    assert SqlUsage(second_database, "local").stored() == (1, len(documents[0].text))


def test_c5_a_new_version_takes_the_room_of_the_old_one_and_no_more(database: Database) -> None:
    store = LimitedDocumentStore(database)
    store.ensure_collection("default")
    SqlKeys(database).limit("local", Limits(documents=1, characters=20))
    put(store, make_document("a.txt", "twelve chars"))
    put(store, make_document("a.txt", "exactly 20 character"))
    with pytest.raises(QuotaExceeded, match="20 characters"):
        put(store, make_document("a.txt", "twenty-one characters"))
    assert store.get_document(make_document("a.txt", "").id).text == "exactly 20 character"
