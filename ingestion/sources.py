"""What an ingest run reads: files, folders, URLs and CORPUS files as one lazy stream of items.

Nothing is read before its turn, and nothing that is wrong with one item stops the stream: an item that cannot be read
says so when it is read. Only a path that does not exist is an error at once, because then the caller mistyped.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from domain.documents import LoadedDocument
from domain.errors import LoadError, UsageError
from ingestion.corpus import corpus_records, count_records, is_corpus
from ingestion.fetcher import Fetcher
from ingestion.regular_file import open_regular, symlink_error, unreadable_error

SKIPPED_FOLDERS = frozenset(("node_modules", "__pycache__", "site-packages"))
_URL = re.compile(r"https?://", re.IGNORECASE)
_OTHER_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_PIECE = 1 << 20


class SourceItem:
    """One thing to ingest: what identifies it from run to run (`source`), its file name, and how to read it.

    `loaded` is there when the item needs no parser. `media_type` is what the sender claims, None when nobody does.
    """

    loaded: LoadedDocument | None = None
    media_type: str | None = None

    def __init__(self, source: str, name: str) -> None:
        self.source = source
        self.name = name

    def read(self) -> bytes:
        """The item's bytes. Raises LoadError or FetchError when it cannot be read."""
        raise NotImplementedError

    def content_hash(self) -> str:
        """The sha256 of what `read` gives, in hex. Raises what `read` raises."""
        return hashlib.sha256(self.read()).hexdigest()


class FileItem(SourceItem):
    """A file, opened anew each time it is read."""

    def __init__(self, path: str, max_bytes: int) -> None:
        super().__init__(path, os.path.basename(path))
        self._max_bytes = max_bytes

    def read(self) -> bytes:
        return b"".join(_pieces(self.source, self._max_bytes))

    def content_hash(self) -> str:
        digest = hashlib.sha256()
        for piece in _pieces(self.source, self._max_bytes):
            digest.update(piece)
        return digest.hexdigest()


class UrlItem(SourceItem):
    """A page, fetched anew each time it is read; `media_type` is known from then on."""

    def __init__(self, url: str, fetcher: Fetcher) -> None:
        path = re.split(r"[?#]", url.partition("://")[2], maxsplit=1)[0]
        host, _, rest = path.rstrip("/").partition("/")
        super().__init__(url, rest.rsplit("/", 1)[-1] or host)
        self._fetcher = fetcher

    def read(self) -> bytes:
        fetched = self._fetcher.fetch(self.source)
        self.media_type = fetched.media_type
        return fetched.data


class CorpusItem(SourceItem):
    """A line of a CORPUS file: a document that is plain text and needs no parser."""

    def __init__(self, document: LoadedDocument, source: str, content_hash: str) -> None:
        super().__init__(source, source)
        self.loaded = document
        self.media_type = document.media_type
        self._content_hash = content_hash

    def read(self) -> bytes:
        return self.loaded.text.encode("utf-8") if self.loaded else b""

    def content_hash(self) -> str:
        return self._content_hash


class FailedItem(SourceItem):
    """Something that was found and cannot be read; reading it says why."""

    def __init__(self, source: str, error: LoadError) -> None:
        super().__init__(source, os.path.basename(source))
        self._error = error

    def read(self) -> bytes:
        # A new object each time: a traceback is not shared between readers.
        raise LoadError(self._error.message, code=self._error.code)


class SourceStream(Iterator[SourceItem]):
    """Items one by one. Its length hint counts files and CORPUS lines without reading any, for a progress bar."""

    def __init__(self, items: Iterator[SourceItem], given: Sequence[str], excluded: frozenset[str]) -> None:
        self._items, self._given, self._excluded = items, given, excluded

    def __next__(self) -> SourceItem:
        return next(self._items)

    def __length_hint__(self) -> int:
        return sum(_count(given, self._excluded) for given in self._given)


def _normalised(given: str) -> str:
    """A path without `./`, `//` and a closing slash: `ingest .` and `ingest notes.md` speak of the same document."""
    return given if _URL.match(given) or _OTHER_SCHEME.match(given) or not given else os.path.normpath(given)


class SourceExpander:
    """Turns the arguments of an ingest call into items.

    `fetcher` is needed for URLs only. `excluded` are folders that are never entered, such as the data directory.
    """

    def __init__(
        self,
        fetcher: Fetcher | None = None,
        *,
        max_bytes: int = 200 * 1024 * 1024,
        excluded: Iterable[str | Path] = (),
    ) -> None:
        self._fetcher = fetcher
        self._max_bytes = max_bytes
        self._excluded = frozenset(os.path.realpath(folder) for folder in excluded)

    def expand(self, inputs: Sequence[str | Path]) -> SourceStream:
        """Check all inputs, then give their items one by one, folders in sorted order.

        Raises UsageError at once when a path does not exist or a URL is not http(s).
        """
        given = [_normalised(os.fspath(item)) for item in inputs]
        for item in given:
            self._check(item)
        return SourceStream((item for each in given for item in self._items(each)), given, self._excluded)

    def _check(self, given: str) -> None:
        if _URL.match(given):
            if self._fetcher is None:
                raise UsageError(f"{given} is a URL, and fetching is switched off; save the page and ingest the file.")
        elif _OTHER_SCHEME.match(given):
            raise UsageError(f"{given} cannot be fetched: only http and https URLs are.")
        elif "\x00" in given or not os.path.lexists(given):
            raise UsageError(f"{given!r} does not exist; check the path.")

    def _items(self, given: str) -> Iterator[SourceItem]:
        if _URL.match(given) and self._fetcher is not None:
            yield UrlItem(given, self._fetcher)
        elif os.path.islink(given):
            yield FailedItem(given, symlink_error(given))
        elif os.path.isdir(given):
            for path, error in walk(given, self._excluded):
                yield from [FailedItem(path, error)] if error else self._file_items(path)
        else:
            yield from self._file_items(given)

    def _file_items(self, path: str) -> Iterator[SourceItem]:
        if not is_corpus(path):
            yield FileItem(path, self._max_bytes)
            return
        for record in corpus_records(path):
            if isinstance(record.outcome, LoadError):
                yield FailedItem(record.source, record.outcome)
            else:
                yield CorpusItem(record.outcome, record.source, record.content_hash)


def walk(folder: str, excluded: frozenset[str] = frozenset()) -> Iterator[tuple[str, LoadError | None]]:
    """The files below a folder in sorted order; symlinks and unreadable folders come with an error.

    Hidden files and folders, and folders of installed or generated code, are passed over.
    """
    if os.path.realpath(folder) in excluded:
        return
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        yield folder, unreadable_error(folder, error)
        return
    for entry in entries:
        path = os.path.normpath(entry.path)  # scandir(".") gives "./name"
        if entry.name.startswith("."):
            continue
        if entry.is_symlink():
            yield path, symlink_error(path)
        elif not entry.is_dir(follow_symlinks=False):
            yield path, None
        elif entry.name not in SKIPPED_FOLDERS:
            yield from walk(path, excluded)


def _pieces(path: str, max_bytes: int) -> Iterator[bytes]:
    """A file's bytes, counted: raises LoadError "too_large" as soon as there are more than `max_bytes`."""
    total = 0
    with open_regular(path) as file:
        try:
            while piece := file.read(_PIECE):
                total += len(piece)
                if total > max_bytes:
                    message = f"{path} is larger than {max_bytes / 2**20:.4g} MB; split it or raise the limit."
                    raise LoadError(message, code="too_large")
                yield piece
        except OSError as error:
            raise unreadable_error(path, error) from error


def _count(given: str, excluded: frozenset[str]) -> int:
    if _URL.match(given) or os.path.islink(given) or not os.path.isdir(given):
        return count_records(given) if is_corpus(given) else 1
    return sum(count_records(path) if not error and is_corpus(path) else 1 for path, error in walk(given, excluded))
