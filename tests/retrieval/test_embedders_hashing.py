"""The encoder without a model finds shared words, in English and in Chinese, and is the same everywhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.documents import Passage
from domain.protocols import TokenEncoder
from retrieval.embedders.hashing import HashingEncoder

ENGLISH = [
    "The tenant pays the deposit before moving in.",
    "Photosynthesis turns light into chemical energy.",
    "The orchestra rehearses every Tuesday evening.",
    "Capital expenditure rose to 1577 million dollars in 2018.",
    "A lighthouse keeper logs each passing vessel.",
    "Vaccines train the immune system to recognise viruses.",
]
CHINESE = [
    "租户入住前须支付押金。",
    "光合作用把光能转化为化学能。",
    "樂團每週二晚上排練。",
    "二零一八年资本支出增至十五亿美元。",
    "燈塔看守人記錄每艘經過的船。",
    "疫苗训练免疫系统识别病毒。",
]


@pytest.mark.parametrize(
    ("corpus", "question", "best"),
    [
        (ENGLISH, "Who pays the deposit?", 0),
        (ENGLISH, "What was the capital expenditure in 2018?", 3),
        (ENGLISH, "When does the orchestra rehearse?", 2),
        (ENGLISH, "Which system do vaccines train?", 5),
        (CHINESE, "谁支付押金？", 0),
        (CHINESE, "資本支出多少？2018年的资本支出", 3),
        (CHINESE, "樂團什麼時候排練？", 2),
        (CHINESE, "疫苗训练什么系统？", 5),
    ],
)
def test_the_text_that_shares_words_with_the_question_ranks_first(corpus: list[str], question: str, best: int) -> None:
    encoder = HashingEncoder()
    scores = encoder.embed_documents(corpus) @ encoder.embed_query(question)
    assert int(np.argmax(scores)) == best


def test_the_same_word_has_the_same_token_vector_in_any_text() -> None:
    encoder = HashingEncoder()
    first = encoder.encode_query("deposit now").tokens
    second = encoder.encode_documents([Passage("Pay the DEPOSIT.")])[0].tokens
    np.testing.assert_allclose(first.vectors[0], second.vectors[2])
    assert first.ids[0] == second.ids[2]


def test_a_chinese_pair_matches_better_than_a_lone_character() -> None:
    encoder = HashingEncoder()
    pair = encoder.encode_query("押金").tokens.vectors[0]
    same = encoder.encode_query("付押金额").tokens.vectors[1]
    other = encoder.encode_query("押送").tokens.vectors[0]
    assert pair @ same == pytest.approx(1)
    assert pair @ other < 0.6


def test_offsets_are_words_and_single_ideographs() -> None:
    text = "Don't pay 押金 in 2018!"
    offsets = HashingEncoder().encode_query(text).tokens.offsets
    assert [text[a:b] for a, b in offsets] == ["Don", "t", "pay", "押", "金", "in", "2018"]


def test_the_lead_moves_the_sentence_vector_but_adds_no_tokens() -> None:
    encoder = HashingEncoder()
    plain, led = encoder.encode_documents([Passage("pay it"), Passage("pay it", lead="Lease agreement")])
    assert len(plain.tokens) == len(led.tokens) == 2
    assert led.vector @ encoder.embed_query("lease") > plain.vector @ encoder.embed_query("lease") + 0.3


def test_a_known_vector_pins_the_hash() -> None:
    """Other machines, versions and processes must give these numbers: stored test data depends on them."""
    np.testing.assert_allclose(HashingEncoder(4).embed_query("fovea"), PINNED, atol=1e-6)


PINNED = [-0.5615435, -0.5724473, -0.539736, 0.2562383]


@given(st.text(max_size=80), st.integers(2, 96))
def test_rows_have_unit_length_and_the_declared_shape(text: str, dim: int) -> None:
    encoder = HashingEncoder(dim)
    assert isinstance(encoder, TokenEncoder)
    encoding = encoder.encode_query(text)
    assert encoding.vector.shape == (dim,) and encoding.vector.dtype == np.float32
    assert np.linalg.norm(encoding.vector) == pytest.approx(1, abs=1e-5)
    assert encoding.tokens.vectors.shape == (len(encoding.tokens), dim)
    np.testing.assert_allclose(np.linalg.norm(encoding.tokens.vectors, axis=1), 1, atol=1e-5)


def test_no_texts_give_an_empty_matrix() -> None:
    assert HashingEncoder(16).embed_documents([]).shape == (0, 16)
