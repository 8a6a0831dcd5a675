"""BM25 by going through all documents: short enough to be believed, and so the oracle of the real index."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from threading import Lock

from domain.search import Hit, QueryTerm
from retrieval.lexical.analyzer import Analyzer
from retrieval.lexical.bm25 import inverse_document_frequency, last_by_key, term_weight, weighted_terms


class MemoryLexicalIndex:
    """A LexicalIndex in a dict. A write replaces the dict as a whole, so a search sees one state of it."""

    def __init__(self, analyzer: Analyzer | None = None) -> None:
        self._analyzer = analyzer or Analyzer()
        self._documents: Mapping[int, Counter[str]] = {}
        self._writer = Lock()

    def __len__(self) -> int:
        return len(self._documents)

    def add(self, keys: Sequence[int], texts: Sequence[str]) -> None:
        added = {key: Counter(self._analyzer.index_terms(text)) for key, text in last_by_key(keys, texts).items()}
        with self._writer:
            self._documents = {**self._documents, **added}

    def remove(self, keys: Collection[int]) -> None:
        gone = set(keys)
        with self._writer:
            self._documents = {key: terms for key, terms in self._documents.items() if key not in gone}

    def search(self, text: str, k: int, allowed: Collection[int] | None = None) -> list[Hit]:
        """At most `k` documents that hold a term of `text`, best first, ties by ascending key."""
        documents, question = self._documents, Counter(self._analyzer.query_terms(text))
        average = sum(terms.total() for terms in documents.values()) / max(len(documents), 1)
        idf = {term: inverse_document_frequency(len(documents), _frequency(documents, term)) for term in question}
        hits = [
            Hit(key, sum(_score(term, terms, average) * idf[term] * times for term, times in question.items()))
            for key, terms in documents.items()
            if not question.keys().isdisjoint(terms)
        ]
        inside = hits if allowed is None else [hit for hit in hits if hit.key in set(allowed)]
        return sorted(inside, key=lambda hit: (-hit.score, hit.key))[: max(k, 0)]

    def terms(self, text: str) -> tuple[QueryTerm, ...]:
        documents, terms = self._documents, self._analyzer.terms(text)
        frequencies = {term: _frequency(documents, term) for term, _ in terms}
        return weighted_terms(terms, len(documents), frequencies)

    def save(self, path: Path) -> None:
        content = {"analyzer": self._analyzer.name, "documents": self._documents}
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    def load(self, path: Path) -> None:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            documents = {int(key): Counter(terms) for key, terms in content["documents"].items()}
            analyzer = content["analyzer"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"The lexical snapshot {path} cannot be read: {error}. Rebuild the index.") from error
        if analyzer != self._analyzer.name:
            raise ValueError(f"The lexical snapshot {path} was made by analyzer {analyzer!r}. Rebuild the index.")
        with self._writer:
            self._documents = documents


def _frequency(documents: Mapping[int, Counter[str]], term: str) -> int:
    return sum(term in terms for terms in documents.values())


def _score(term: str, terms: Counter[str], average: float) -> float:
    return term_weight(terms[term], terms.total(), average) if term in terms else 0.0
