"""The default lexical index: BM25 by tantivy, over terms that our own analyzer made.

tantivy only ever sees terms joined by blanks and cuts them apart again; what a word is, is decided in `analyzer`.
A search is built from term objects, never from a query string, so nothing that a user types is syntax.

tantivy is multi-version: a commit makes new segment files and a searcher keeps the ones it was opened on. This index
publishes a new searcher after each commit, so a search sees the state before or after a write. What a searcher still
counts although it was removed, until tantivy merges segments, are documents in its statistics: IDF and average length
lag behind removals. An index rebuilt from the store has exact ones.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import tantivy

from domain.errors import DomainError
from domain.search import Hit, QueryTerm
from retrieval.lexical.analyzer import Analyzer
from retrieval.lexical.archive import pack, unpack
from retrieval.lexical.bm25 import last_by_key, weighted_terms

_KEY, _TERMS = "key", "terms"
_TOKENIZER = "blanks"
_WRITER_HEAP = 50_000_000  # bytes; a smaller one flushes more segments, which then have to be merged
_SPARE = 16  # asked for beyond k, so that a tie at the k-th place seldom needs a second search
# A restricted search looks for the allowed among the hits where about this many hits should hold enough of them. For
# a rarer set tantivy intersects with the keys: 50,000 texts, 4,000 keys: 8 ms that way, under 1 ms this way.
_SIFTED_HITS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class _Generation:
    """One committed state, open for searching."""

    schema: tantivy.Schema
    index: tantivy.Index
    searcher: tantivy.Searcher
    directory: Path

    @classmethod
    def open(cls, directory: Path) -> _Generation:
        """Open the index in `directory`, an empty one where there is none."""
        schema = _schema()
        index = tantivy.Index(schema, path=str(directory))
        blanks = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
        index.register_tokenizer(_TOKENIZER, blanks)
        # By hand: otherwise a thread for each index watches its directory, for commits that only we make.
        index.config_reader(reload_policy="manual")
        return cls(schema, index, index.searcher(), directory)

    def reloaded(self) -> _Generation:
        self.index.reload()
        return replace(self, searcher=self.index.searcher())

    def any_of(self, question: Counter[str]) -> tantivy.Query:
        """Documents with any of the terms; a term that the question repeats weighs as often as it occurs."""
        clauses = []
        for term, times in question.items():
            clause = tantivy.Query.term_query(self.schema, _TERMS, term, index_option="freq")
            clauses.append((tantivy.Occur.Should, tantivy.Query.boost_query(clause, times) if times > 1 else clause))
        return tantivy.Query.boolean_query(clauses)

    def within(self, query: tantivy.Query, allowed: Collection[int]) -> tantivy.Query:
        """What `query` finds, and how it scores it, among the keys `allowed`."""
        keys = tantivy.Query.term_set_query(self.schema, _KEY, [_checked(key) for key in allowed])
        silent = tantivy.Query.const_score_query(keys, 0.0)
        return tantivy.Query.boolean_query([(tantivy.Occur.Must, silent), (tantivy.Occur.Must, query)])


class TantivyLexicalIndex:
    """A LexicalIndex on tantivy.

    Its files live in a directory of its own, made inside `work_dir` or, without one, inside the system's temporary
    directory. `close`, or the end of the process, removes it; a killed process leaves it behind, to be deleted by
    whoever owns `work_dir`.
    """

    def __init__(self, work_dir: Path | None = None, analyzer: Analyzer | None = None) -> None:
        self._work_dir = work_dir
        self._analyzer = analyzer or Analyzer()
        self._writer = Lock()
        directory, self._discard = self._new_directory()
        self._current = _Generation.open(directory)

    def __len__(self) -> int:
        return int(self._current.searcher.num_docs)

    def add(self, keys: Sequence[int], texts: Sequence[str]) -> None:
        """Add or replace texts, in one commit: all of them become visible, or none."""
        documents = last_by_key(keys, texts)
        prepared = [(_checked(key), " ".join(self._analyzer.index_terms(text))) for key, text in documents.items()]
        self._write(present_only=documents.keys(), added=prepared)

    def remove(self, keys: Collection[int]) -> None:
        self._write(present_only=keys, added=())

    def search(self, text: str, k: int, allowed: Collection[int] | None = None) -> list[Hit]:
        """At most `k` documents that hold a term of `text`, best first, ties by ascending key."""
        current, question = self._current, Counter(self._analyzer.query_terms(text))
        if k <= 0 or not question or (allowed is not None and not allowed):
            return []
        query, wanted = current.any_of(question), k + _SPARE
        if allowed is None:
            return _top(current.searcher, query, k, wanted)
        sifted = 2 * wanted * current.searcher.num_docs // len(allowed)
        if sifted > _SIFTED_HITS:
            return _top(current.searcher, current.within(query, allowed), k, wanted)
        return _top(current.searcher, query, k, max(sifted, wanted), frozenset(allowed))

    def terms(self, text: str) -> tuple[QueryTerm, ...]:
        searcher, terms = self._current.searcher, self._analyzer.terms(text)
        frequencies = {term: searcher.doc_freq(_TERMS, term) for term, _ in terms}
        return weighted_terms(terms, searcher.num_docs, frequencies)

    def save(self, path: Path) -> None:
        """Write one archive of the committed state; writes wait meanwhile, searches do not."""
        with self._writer:
            pack(self._current.directory, path, self._analyzer.name)

    def load(self, path: Path) -> None:
        directory, discard = self._new_directory()
        try:
            unpack(path, directory, self._analyzer.name)
            loaded = _Generation.open(directory)
        except ValueError as error:
            discard()
            raise ValueError(f"The lexical snapshot {path} cannot be read: {error} Rebuild the index.") from error
        with self._writer:
            replaced, self._discard, self._current = self._discard, discard, loaded
        replaced()  # searches under way have the files mapped, which outlives their names

    def close(self) -> None:
        """Delete the working files. The index must not be used after this."""
        with self._writer:
            self._discard()

    def _write(self, present_only: Collection[int], added: Sequence[tuple[int, str]]) -> None:
        with self._writer:
            current = self._current
            retired = [key for key in present_only if current.searcher.doc_freq(_KEY, _checked(key))]
            if not retired and not added:
                return
            writer = current.index.writer(_WRITER_HEAP, num_threads=1)
            for key in retired:
                writer.delete_documents_by_term(_KEY, key)
            for key, terms in added:
                writer.add_document(tantivy.Document(key=key, terms=terms))
            writer.commit()
            # A writer lives for one write: it holds threads and memory, and with no merge left behind the directory
            # is at rest, ready to be archived.
            writer.wait_merging_threads()
            self._current = current.reloaded()

    def _new_directory(self) -> tuple[Path, Callable[[], object]]:
        """An empty directory, and what removes it: when called, with this object, or at the end of the process."""
        if self._work_dir is not None:
            self._work_dir.mkdir(parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix="lexical-", dir=self._work_dir))
        return directory, weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field(_KEY, indexed=True, fast=True)
    builder.add_text_field(_TERMS, tokenizer_name=_TOKENIZER, index_option="freq")
    return builder.build()


def _checked(key: int) -> int:
    if not -(2**63) <= key < 2**63:
        raise DomainError(f"The key {key} is no integer of 64 bits.")
    return int(key)


def _top(
    searcher: tantivy.Searcher, query: tantivy.Query, k: int, limit: int, allowed: frozenset[int] | None = None
) -> list[Hit]:
    """The `k` best of the allowed, from at first `limit` > k hits of tantivy.

    tantivy orders ties by its own numbers: it is asked for more until the last tie with the k-th hit is in.
    """
    limit = min(limit, searcher.num_docs + 1)
    while True:
        found = searcher.search(query, limit=limit, count=False).hits
        keys = map(int, searcher.fast_field_values(_KEY, [address for _, address in found]))  # type: ignore[arg-type]
        hits = [Hit(key, score) for (score, _), key in zip(found, keys, strict=True)]
        inside = hits if allowed is None else [hit for hit in hits if hit.key in allowed]
        if len(found) < limit or (len(inside) >= k and inside[k - 1].score > found[-1][0]):
            return sorted(inside, key=lambda hit: (-hit.score, hit.key))[:k]
        limit = min(4 * limit, searcher.num_docs + 1)
