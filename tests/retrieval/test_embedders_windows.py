"""Passages become windows in which every visible character of the text keeps a token, and every token one vector."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from domain.documents import Passage
from domain.errors import ConfigurationError
from domain.search import Encoding, FloatArray
from retrieval.embedders import encoder as encoder_module
from retrieval.embedders.encoder import EncoderSpec, TransformerEncoder
from retrieval.embedders.windows import WindowPlanner

LETTERS = "abcdefghijklmnopqrstuvwxyz:北京"
DIM = 8


def letter_tokenizer() -> Tokenizer:
    """One token a letter, lower-cased, the space before a word belonging to its first letter as in SentencePiece."""
    vocab = {"[CLS]": 0, "[SEP]": 1, "[UNK]": 2, "▁": 3} | {c: i + 4 for i, c in enumerate(LETTERS)}
    vocab |= {f"▁{c}": len(vocab) + i for i, c in enumerate(LETTERS)}
    pieces = [(piece, -1.0 if piece.startswith("▁") and len(piece) > 1 else -2.0) for piece in vocab]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
    )
    return tokenizer


class EchoForward:
    """A model whose state of a token is a fixed vector of its id; it records its batches."""

    family = "echo"

    def __init__(self) -> None:
        self.table = np.random.default_rng(0).standard_normal((100, DIM)).astype(np.float32)
        self.batches: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self, ids: np.ndarray, mask: np.ndarray) -> tuple[FloatArray, FloatArray]:
        self.batches.append((ids.copy(), mask.copy()))
        states = self.table[ids]
        weights = mask[:, :, None].astype(np.float32)
        return states, (states * weights).sum(axis=1) / weights.sum(axis=1)


def echo_encoder(max_length: int = 32, prompt: str = "p: ") -> tuple[TransformerEncoder, EchoForward]:
    forward = EchoForward()
    spec = EncoderSpec("echo", "00000000", DIM, max_length, 2, query_prompt="q: ", document_prompt=prompt)
    return TransformerEncoder(spec, letter_tokenizer(), forward), forward


def covered(text: str, encoding: Encoding) -> list[str]:
    return [text[start:end] for start, end in encoding.tokens.offsets]


def test_prompt_and_lead_are_read_but_their_tokens_are_left_out() -> None:
    encoder, forward = echo_encoder()
    (encoding,) = encoder.encode_documents([Passage("ab c", lead="xy")])
    assert covered("ab c", encoding) == ["a", "b", "c"]
    pieces = letter_tokenizer().decode_batch([[i] for i in forward.batches[0][0][0][:11]], skip_special_tokens=False)
    assert [piece.strip("▁ ") for piece in pieces] == [
        "[CLS]",
        "p",
        ":",
        "x",
        "y",
        "a",
        "b",
        "c",
        "[SEP]",
        "[UNK]",
        "[UNK]",
    ]
    assert forward.batches[0][1][0].tolist() == [1] * 9 + [0] * 7


def test_token_rows_are_the_model_states_of_the_kept_ids_at_unit_length() -> None:
    encoder, forward = echo_encoder()
    encoding = encoder.encode_query("ab")
    expected = forward.table[encoding.tokens.ids]
    np.testing.assert_allclose(
        encoding.tokens.vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-6
    )


def test_the_first_token_is_clipped_to_the_text() -> None:
    """The piece "▁a" holds the space of the prompt; the token kept covers the letter alone."""
    encoder, _ = echo_encoder()
    for text, offsets in (("a", [[0, 1]]), ("  a", [[2, 3]]), ("\na b", [[1, 2], [3, 4]])):
        assert encoder.encode_query(text).tokens.offsets.tolist() == offsets


def test_a_piece_that_straddles_prompt_and_text_is_kept_and_clipped_to_the_text() -> None:
    """A prompt that ends without a space can grow together with the text: here "b" + "ac" gives the piece "▁ba"."""
    pieces = [("[UNK]", 0.0), ("▁b", -3.0), ("a", -3.0), ("▁ba", -1.0), ("c", -3.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    (plan,) = WindowPlanner(tokenizer, 16).plan([Passage("ac")], "b")
    assert plan.ids.tolist() == [3, 4]
    assert plan.offsets.tolist() == [[0, 1], [1, 2]]


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_a_text_without_a_visible_character_has_no_tokens_but_a_vector(text: str) -> None:
    encoder, _ = echo_encoder()
    (encoding,) = encoder.encode_documents([Passage(text, lead="xy")])
    assert encoding.tokens.vectors.shape == (0, DIM)
    assert encoding.tokens.offsets.shape == (0, 2)
    assert np.linalg.norm(encoding.vector) == pytest.approx(1)


def test_no_passages_give_no_encodings_and_an_empty_matrix() -> None:
    encoder, _ = echo_encoder()
    assert encoder.encode_documents([]) == []
    assert encoder.embed_documents([]).shape == (0, DIM)


def test_a_lead_that_is_too_long_is_cut_at_its_end_before_the_text_is_touched() -> None:
    encoder, forward = echo_encoder(max_length=16)
    (encoding,) = encoder.encode_documents([Passage("abcdef", lead="uvwxyzuvwxyz")])
    assert covered("abcdef", encoding) == list("abcdef")
    ids, mask = forward.batches[0]
    assert ids.shape == (1, 16) and mask.all()
    # 16 = begin + "p" ":" + 6 of the lead + 6 of the text + end
    pieces = [letter_tokenizer().id_to_token(i).strip("▁") for i in ids[0]]
    assert "".join(pieces[1:-1]) == "p:uvwxyzabcdef"


def test_a_text_that_is_too_long_is_read_in_windows_and_each_token_kept_once() -> None:
    encoder, forward = echo_encoder(max_length=16)
    text = "".join(LETTERS[i % 26] for i in range(40))
    (encoding,) = encoder.encode_documents([Passage(text, lead="xy")])
    assert covered(text, encoding) == list(text)
    assert sum(len(ids) for ids, _ in forward.batches) > 3
    assert all(mask.shape[1] <= 16 for _, mask in forward.batches)


def test_the_vector_of_a_long_text_is_the_mean_of_its_windows_by_new_tokens() -> None:
    """12 letters fit behind begin, "p:" and before end; of 18 the second window sees 6 for the first time."""
    encoder, forward = echo_encoder(max_length=16)
    text = "abcdefghijklmnopqr"
    (encoding,) = encoder.encode_documents([Passage(text)])
    rows = np.concatenate([forward.table[ids] for ids, _ in forward.batches])
    pooled = rows.mean(axis=1)
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    expected = 12 * pooled[0] + 6 * pooled[1]
    np.testing.assert_allclose(encoding.vector, expected / np.linalg.norm(expected), rtol=1e-5)


def test_sentence_vectors_are_the_same_through_either_door() -> None:
    encoder, _ = echo_encoder(max_length=16)
    texts = ["ab", "", "abcdefghijklmnopqrstuvwxyz" * 2, "北京"]
    encodings = encoder.encode_documents([Passage(text) for text in texts])
    np.testing.assert_array_equal(encoder.embed_documents(texts), np.stack([e.vector for e in encodings]))
    np.testing.assert_array_equal(encoder.embed_query("ab"), encoder.encode_query("ab").vector)


def test_query_and_document_prompts_differ() -> None:
    encoder, _ = echo_encoder()
    assert not np.allclose(encoder.embed_query("ab"), encoder.embed_documents(["ab"])[0])


def test_a_batch_never_exceeds_the_token_budget_and_is_padded_to_sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "TOKEN_BUDGET", 64)
    encoder, forward = echo_encoder()
    encoder.embed_documents(["a" * n for n in (20, 1, 5, 20, 9, 11, 2, 12, 30, 19)])
    assert all(ids.size <= 64 and ids.shape[1] % 16 == 0 for ids, _ in forward.batches)
    assert sum(len(ids) for ids, _ in forward.batches) == 11  # the text of 30 letters takes two windows


def test_a_prompt_that_fills_the_window_is_a_configuration_error() -> None:
    encoder, _ = echo_encoder(max_length=16, prompt="this prompt is far too long: ")
    with pytest.raises(ConfigurationError, match="shorten it"):
        encoder.embed_documents(["a"])


PASSAGES = st.builds(
    Passage,
    text=st.text(alphabet=LETTERS + "AB \n\t", max_size=60),
    lead=st.one_of(st.just(""), st.text(alphabet="xyz /", max_size=40)),
)


@given(PASSAGES)
def test_tokens_cover_exactly_the_visible_characters_of_the_text(passage: Passage) -> None:
    encoder, _ = echo_encoder(max_length=16)
    (encoding,) = encoder.encode_documents([passage])
    offsets = encoding.tokens.offsets
    assert (np.diff(offsets.ravel()) >= 0).all()
    seen = {i for start, end in offsets for i in range(start, end)}
    assert seen == {i for i, char in enumerate(passage.text) if not char.isspace()}
    assert len(encoding.tokens.vectors) == len(encoding.tokens.ids) == len(offsets)
    np.testing.assert_allclose(np.linalg.norm(encoding.tokens.vectors, axis=1), 1, rtol=1e-5)


@given(st.lists(PASSAGES, min_size=1, max_size=8), st.randoms())
def test_an_encoding_does_not_depend_on_its_batch(passages: list[Passage], random: object) -> None:
    encoder, _ = echo_encoder(max_length=16)
    order = list(range(len(passages)))
    random.shuffle(order)  # type: ignore[attr-defined]
    together = encoder.encode_documents([passages[i] for i in order])
    for place, i in enumerate(order):
        (alone,) = encoder.encode_documents([passages[i]])
        np.testing.assert_allclose(together[place].vector, alone.vector, atol=1e-6)
        np.testing.assert_array_equal(together[place].tokens.vectors, alone.tokens.vectors)


@given(PASSAGES, st.integers(16, 40))
def test_windows_fit_and_their_weights_count_the_kept_tokens(passage: Passage, max_length: int) -> None:
    (plan,) = WindowPlanner(letter_tokenizer(), max_length).plan([passage], "p: ")
    assert all(len(window.ids) <= max_length for window in plan.windows)
    assert sum(len(window.take) for window in plan.windows) == len(plan.ids) == len(plan.offsets)
    assert np.concatenate([window.ids[window.take] for window in plan.windows]).tolist() == plan.ids.tolist()
