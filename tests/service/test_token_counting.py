"""Which tokenizer counts a prompt: the model's own where it is at hand, else the encoder's with a safe bound."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from domain.errors import ConfigurationError
from domain.protocols import TokenCounter
from generation.rank_file import ENCODINGS
from service import token_counting
from service.lazy import Once
from service.settings import Settings
from service.token_counting import Counting, make_counting


class Encoder:
    name = "encoder"

    def count(self, text: str) -> int:
        return len(text.split())


def tokenizer_in(folder: Path) -> Path:
    """A tokenizer.json that counts words, as a model's folder holds it."""
    folder.mkdir(parents=True)
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No rank file and no hub cache but those of the test."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "ranks"))
    monkeypatch.delenv("DATA_GYM_CACHE_DIR", raising=False)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "tmp"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)


def counting(
    tmp_path: Path, *, model: str = "default", generator: str = "openai", tokenizer: str | None = None
) -> Counting:
    settings = Settings(
        data_dir=tmp_path,
        generation={"generator": generator, "model": model},
        context={"tokenizer": tokenizer},
    )
    return make_counting(settings, Once(Encoder))


def test_without_a_model_the_encoder_counts(tmp_path: Path) -> None:
    found = counting(tmp_path, generator="extractive", model="gpt-4o")
    assert found.counter is found.bound
    assert found.counter.name == "encoder"


def test_an_unknown_model_is_counted_by_the_encoder_and_bounded(tmp_path: Path) -> None:
    found = counting(tmp_path, model="a-model-of-our-own")
    assert (found.counter.name, found.bound.name) == ("encoder", "encoder, upper bound")
    assert found.counter.count("租金 2018") == 2
    assert found.bound.count("租金 2018") == 1 + 6 + 1 + 4


def test_a_model_in_the_models_folder_brings_its_tokenizer(tmp_path: Path) -> None:
    tokenizer_in(tmp_path / "models" / "acme" / "tiny-7b")
    found = counting(tmp_path, model="acme/tiny-7b")
    assert (found.counter.name, found.bound.name) == ("tiny-7b", "tiny-7b")
    assert found.bound.count("four words are here") == 4


def test_a_model_in_the_hubs_cache_brings_its_tokenizer(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--acme--tiny-7b"
    tokenizer_in(repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert counting(tmp_path, model="acme/tiny-7b").counter.name == "tiny-7b"
    assert counting(tmp_path, tokenizer="acme/tiny-7b").counter.name == "tiny-7b"


@pytest.mark.parametrize("model", ["meta/llama--3", "a/b/c", "x" * 200 + "/y", "../etc", "default"])
def test_a_name_that_no_model_has_on_the_hub_is_simply_unknown(tmp_path: Path, model: str) -> None:
    assert counting(tmp_path, model=model).counter.name == "encoder"


def test_the_models_name_chooses_the_encoding_where_its_rank_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert counting(tmp_path, model="gpt-4o").counter.name == "encoder"
    (tmp_path / "ranks").mkdir()
    (tmp_path / "ranks" / ENCODINGS["o200k_base"].cached_as).touch()
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    monkeypatch.setattr(token_counting, "read_rank_file", lambda file: ("o200k_base", tokenizer))
    assert counting(tmp_path, model="gpt-4o").counter.name == "o200k_base"
    assert counting(tmp_path, model="anything", tokenizer="o200k_base").bound.name == "o200k_base"


@pytest.mark.parametrize("named", ["folder", "folder/tokenizer.json"])
def test_a_tokenizer_that_is_named_counts_and_bounds(tmp_path: Path, named: str) -> None:
    tokenizer_in(tmp_path / "folder")
    found = counting(tmp_path, generator="extractive", tokenizer=named)
    assert found.counter is found.bound
    assert found.counter.name == "folder"


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("missing.json", "'missing.json', which is not a file"),
        ("no-such-thing", "the name of a model on the Hugging Face hub"),
        ("a/b/c", "which is not a file"),
        ("o200k_base", r"Put o200k_base.tiktoken there, or set TIKTOKEN_CACHE_DIR"),
    ],
)
def test_a_tokenizer_that_is_not_there_is_found_out_at_once(tmp_path: Path, named: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        counting(tmp_path, tokenizer=named)


def test_a_hub_that_does_not_have_it_is_said_when_first_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(name: str, file: str) -> str:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    found: TokenCounter = counting(tmp_path, tokenizer="acme/tiny-7b").counter
    with pytest.raises(ConfigurationError, match="neither in the Hugging Face cache nor could it be fetched"):
        found.count("text")
