"""Where training starts: the weights in use and, for an encoder that has none, what can be fitted without labels.

projection     128 principal axes of the token vectors that are stored, where layers are going to learn: their
token vectors are new anyway. Without that the full width stays, and with it what is stored.
dense_floor    the median cosine of questions with chunks at random: what unrelated texts have
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from attention_core.projection import Projection, fit_projection
from attention_core.scorer import ScorerWeights
from domain.errors import UsageError
from domain.protocols import TokenCodec
from domain.search import FloatArray
from service.labelled_questions import LabelledQuestion
from service.parts import Parts

_DIM = 128  # as many axes rank as well as all 384 of the default encoder
_CHUNKS, _QUESTIONS = 400, 100  # of a collection: some 60,000 tokens, and 40,000 pairs

Asked = Sequence[tuple[str, Sequence[LabelledQuestion]]]


def start_weights(
    parts: Parts, weights: ScorerWeights | None, codec: TokenCodec, asked: Asked, *, adapt: bool, seed: int
) -> ScorerWeights:
    """The weights that training starts from; `asked` are the questions by collection.

    Raises UsageError for collections without token vectors.
    """
    start = weights or ScorerWeights(projection=None, scaled=False)
    keys = {collection: _sampled_keys(parts, collection, seed) for collection, _ in asked}
    if start.dense_floor is None:
        start = replace(start, dense_floor=_dense_floor(parts, asked, keys))
    if adapt and start.projection is None:
        start = replace(start, projection=_projection(parts, codec, keys))
    return start


def _sampled_keys(parts: Parts, collection: str, seed: int) -> list[int]:
    keys = [key for some, _ in parts.store.iter_vectors(collection) for key in some]
    return sorted(random.Random(seed).sample(sorted(keys), min(_CHUNKS, len(keys))))


def _projection(parts: Parts, codec: TokenCodec, keys: dict[str, list[int]]) -> Projection:
    rows: list[FloatArray] = []
    for collection, some in keys.items():
        stored = parts.store.get_chunks(collection, some)
        rows += [codec.decode(one.token_blob).vectors for one in stored.values() if one.token_blob]
    if not rows:
        raise UsageError("The collections hold no token vectors; ingest them with an encoder that gives them.")
    vectors = np.concatenate(rows)
    return fit_projection(vectors, min(_DIM, vectors.shape[1]))


def _dense_floor(parts: Parts, asked: Asked, keys: dict[str, list[int]]) -> float:
    cosines: list[FloatArray] = []
    for collection, questions in asked:
        texts = [one.question for one in questions[:: max(1, len(questions) // _QUESTIONS)]]
        wanted = frozenset(keys[collection])
        found = [
            vectors[at]
            for some, vectors in parts.store.iter_vectors(collection)
            for at, key in enumerate(some)
            if key in wanted
        ]
        if texts and found:
            cosines.append((np.stack([parts.encoder.embed_query(text) for text in texts]) @ np.stack(found).T).ravel())
    if not cosines:
        raise UsageError("There are no questions about chunks that are stored; ingest the documents first.")
    return float(np.median(np.concatenate(cosines)))
