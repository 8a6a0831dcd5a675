"""One labelled set, every library: index all, then put each question to all of them in turn.

Times are only worth something beside each other, so a question goes from arm to arm before the next one is asked, and
the arm that begins changes from question to question. The encoder is loaded and every arm asked once before any clock
runs. A library indexes once for all of its arms that share an index.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.peers.arms import DEPTHS, FINE, Arm, Lineup, Search
from benchmarks.peers.judging import Judge, Sent
from benchmarks.peers.protocol import Peer, SourceDocument
from benchmarks.peers.results import PRODUCT, Indexed, SetResult
from benchmarks.peers.sets import PeerSet
from benchmarks.peers.tuning import Tuned, tuned
from domain.protocols import Embedder, TokenCounter
from domain.search_result import SearchResult
from service.labelled_questions import LabelledQuestion

CEILINGS = (48, 64, 96, 128, 192, 256)  # of context tokens: the product's grid

Tell = Callable[[str], None]
Ask = Callable[[LabelledQuestion], Mapping[str, Sent]]


class Searching(Protocol):
    """What the product is asked with: `Engine.search`."""

    def __call__(self, question: str, *, max_tokens: int | None = None) -> SearchResult: ...


@dataclass(frozen=True, slots=True)
class Product:
    """The product, ingested already."""

    search: Searching
    indexed: Indexed
    encoder: Embedder
    counter: TokenCounter


def measure(given: PeerSet, product: Product, lineup: Lineup, tell: Tell) -> SetResult:
    """Index the documents with every library, and ask all questions."""
    judge = Judge(given.documents, product.counter)
    peers, indexed = index_all(given.documents, product.encoder, lineup, FINE[given.language], tell)
    asks: list[Ask] = [_product(product.search, judge, None), *(_product(product.search, judge, c) for c in CEILINGS)]
    asks += [_arm(peers[one.index], one, judge) for one in lineup.arms]
    asks += [_grid(peers[one.index], one, judge) for one in lineup.searches]
    columns = ask_all(given.questions, asks, tell)
    made = {name: product.indexed for name in (PRODUCT, *map(_capped, CEILINGS))}
    made |= {one.setting(k): indexed[one.index] for one in lineup.searches for k in DEPTHS}
    best = _best(columns, lineup.searches, given.clusters)
    return SetResult(
        name=given.name,
        clusters=tuple(given.clusters),
        sent={name: columns[name] for name in (PRODUCT, *(one.title for one in lineup.arms))}
        | {title: one.sent for title, one in best.items()},
        indexed={PRODUCT: product.indexed}
        | {one.title: indexed[one.index] for one in lineup.arms}
        | {title: max((made[name] for name in one.settings), key=_seconds) for title, one in best.items()},
        defaults=frozenset(one.title for one in lineup.arms if one.kind == "defaults"),
        tokenizer=product.counter.name,
        settings={title: one.settings for title, one in best.items()},
    )


def index_all(
    documents: Sequence[SourceDocument], encoder: Embedder, lineup: Lineup, fine: int, tell: Tell
) -> tuple[dict[str, Peer], dict[str, Indexed]]:
    """Each index that an arm or a search asks, once; by its name. `fine`: characters of fine chunks."""
    peers: dict[str, Peer] = {}
    indexed: dict[str, Indexed] = {}
    for name in lineup.asked:
        peers[name] = lineup.indexes[name](encoder, fine)
        started = time.perf_counter()
        chunks = peers[name].index(documents)
        indexed[name] = Indexed(chunks, time.perf_counter() - started)
        tell(f"{name}: {chunks:,} chunks in {indexed[name].seconds:.1f} s")
    return peers, indexed


def ask_all(questions: Sequence[LabelledQuestion], asks: Sequence[Ask], tell: Tell) -> dict[str, list[Sent]]:
    """Every question to every arm, which take turns at being first; by name one `Sent` a question."""
    for ask in asks:
        ask(questions[0])  # models and tables that a library loads at its first question
    columns: dict[str, list[Sent]] = defaultdict(list)
    for at, question in enumerate(questions):
        first = at % len(asks)
        for ask in (*asks[first:], *asks[:first]):
            for name, sent in ask(question).items():
                columns[name].append(sent)
        if (at + 1) % 50 == 0:
            tell(f"{at + 1} of {len(questions)} questions")
    return dict(columns)


def _product(search: Searching, judge: Judge, ceiling: int | None) -> Ask:
    """The product as it comes, or with a lower ceiling."""
    name = PRODUCT if ceiling is None else _capped(ceiling)

    def ask(question: LabelledQuestion) -> dict[str, Sent]:
        started = time.perf_counter()
        result = search(question.question, max_tokens=ceiling)
        return {name: judge.of_product(question, result, _since(started))}

    return ask


def _capped(ceiling: int) -> str:
    return f"{PRODUCT} max_tokens {ceiling}"


def _arm(peer: Peer, arm: Arm, judge: Judge) -> Ask:
    def ask(question: LabelledQuestion) -> dict[str, Sent]:
        started = time.perf_counter()
        passages = peer.retrieve(question.question, arm.way)
        prompt = peer.prompt(question.question, passages)
        return {arm.title: judge.of_peer(question, passages, prompt, _since(started))}

    return ask


def _grid(peer: Peer, search: Search, judge: Judge) -> Ask:
    """Every depth of one ranking. Their time is that of the deepest: an index is asked for few as for many."""

    def ask(question: LabelledQuestion) -> dict[str, Sent]:
        started = time.perf_counter()
        passages = peer.retrieve(question.question, search.way)
        peer.prompt(question.question, passages)
        spent = _since(started)
        sent = {}
        for k in DEPTHS:
            first = passages[:k]
            sent[search.setting(k)] = judge.of_peer(question, first, peer.prompt(question.question, first), spent)
        return sent

    return ask


def _seconds(one: Indexed) -> float:
    return one.seconds


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def _best(
    columns: Mapping[str, Sequence[Sent]], searches: Sequence[Search], clusters: Sequence[str]
) -> dict[str, Tuned]:
    """By title of the arm: the product with its best ceiling, and each library that was searched."""
    grids = {PRODUCT: [PRODUCT, *map(_capped, CEILINGS)]}
    for one in searches:
        grids.setdefault(one.library, []).extend(one.setting(k) for k in DEPTHS)
    return {
        f"{library}, at its best": tuned({name: columns[name] for name in names}, columns[PRODUCT], clusters)
        for library, names in grids.items()
    }
