"""Counting tokens as an encoder does: no special tokens, no truncation, no padding."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from domain.errors import ConfigurationError
from retrieval.embedders.tokenizer import EncoderTokenCounter, WordTokenCounter, load_tokenizer, reads_word_by_word


@pytest.fixture(scope="module")
def tokenizer_json(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A word tokenizer which, like the published MiniLM, truncates to 4 tokens, pads to 4 and adds marks."""
    tokenizer = Tokenizer(models.WordLevel({"[CLS]": 0, "[SEP]": 1, "[PAD]": 2, "[UNK]": 3, "a": 4}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
    )
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=4, pad_id=2, pad_token="[PAD]")
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_counts_are_neither_cut_nor_padded_nor_marked(tokenizer_json: Path) -> None:
    counter = EncoderTokenCounter(tokenizer_json, "words")
    assert counter.name == "words"
    assert [counter.count(text) for text in ("", "a", "a b", "a " * 900)] == [0, 1, 2, 900]


@given(st.lists(st.text(alphabet="ab \n", max_size=30), max_size=10))
def test_counting_in_batches_gives_the_same_numbers(tokenizer_json: Path, texts: list[str]) -> None:
    counter = EncoderTokenCounter(tokenizer_json)
    assert counter.count_batch(texts) == [counter.count(text) for text in texts] == [len(t.split()) for t in texts]


def test_a_tokenizer_that_joins_words_is_asked_for_the_whole_text() -> None:
    """A byte-level tokenizer whose merge of "a", a blank and "b" is one token."""
    merged = {"a": 0, "b": 1, "\u0120": 2, "a\u0120": 3, "a\u0120b": 4}
    tokenizer = Tokenizer(models.BPE(merged, [("a", "\u0120"), ("a\u0120", "b")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    assert not reads_word_by_word(tokenizer)
    assert EncoderTokenCounter.of(tokenizer, "bytes").count("a b") == 1


def test_a_blank_that_makes_a_token_is_no_mere_border() -> None:
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("\u2581", -1.0), ("\u2581a", -1.0)], unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")  # no normalizer takes blanks together
    assert not reads_word_by_word(tokenizer)
    assert EncoderTokenCounter.of(tokenizer, "blanks").count("a  a") == 3


def test_an_added_token_with_a_blank_joins_words(tokenizer_json: Path) -> None:
    tokenizer = load_tokenizer(tokenizer_json)
    assert reads_word_by_word(tokenizer)
    tokenizer.add_tokens(["new york"])
    assert not reads_word_by_word(tokenizer)
    assert EncoderTokenCounter.of(tokenizer, "places").count("in new york") == 2


def test_what_is_remembered_is_bounded_and_stays_right(tokenizer_json: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.embedders.tokenizer._REMEMBERED", 3)
    counter = EncoderTokenCounter(tokenizer_json)
    for text in ("a b", "a c d e f g", "b a", "h" * 99):
        assert counter.count(text) == len(text.split())
        assert len(counter._known) <= 3


def test_threads_may_share_a_counter(tokenizer_json: Path) -> None:
    counter = EncoderTokenCounter(tokenizer_json)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda n: counter.count("a " * n), range(200))) == list(range(200))


def test_loading_switches_truncation_and_padding_off(tokenizer_json: Path) -> None:
    tokenizer = load_tokenizer(tokenizer_json)
    assert tokenizer.truncation is None and tokenizer.padding is None


def test_a_missing_or_broken_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_tokenizer(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_tokenizer(tmp_path / "tokenizer.json")


def test_a_counter_over_a_loaded_tokenizer_counts_the_same(tokenizer_json: Path) -> None:
    counter = EncoderTokenCounter.of(load_tokenizer(tokenizer_json), "words")
    assert (counter.name, counter.count("a b a"), counter.count_batch(["a", ""])) == ("words", 3, [1, 0])


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), (" \n", 0), ("two words", 2), ("responsibility", 3), ("押金!", 3), ("pay 押金 in 2018", 5)],
)
def test_words_are_counted_without_a_tokenizer(text: str, count: int) -> None:
    """A word counts once for every six letters begun: "responsibility" has 14."""
    assert WordTokenCounter().count(text) == count
    assert WordTokenCounter().count_batch([text, text]) == [count, count]
