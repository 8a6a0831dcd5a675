"""Near-copies are told apart from what is new, and take no places among the candidates (L9)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import near_copies
from domain.near_copies import CopyGroups
from domain.search import StoredChunk
from fovea.testing import make_chunk, make_document
from retrieval.crowding import Places

FALSE = "The support hotline of Northwind is 0900 666 0199 and it is open on weekdays."
TRUE = "Since May this year our customers ring 0800 555 0123 for any help."


def groups_of(*texts: str) -> list[int]:
    groups = CopyGroups()
    return [groups.group_of(text) for text in texts]


@pytest.mark.parametrize(
    "copy",
    [
        FALSE.upper(),
        "  ".join(FALSE.split()),
        FALSE.replace(".", "!").replace(" and", ", and"),
        FALSE.replace("0199", "0200"),
        f"{FALSE}\n\nFile 17.",
        FALSE.replace("The support", "Support"),
    ],
)
def test_a_copy_is_known_whatever_is_varied_for_nothing(copy: str) -> None:
    assert groups_of(FALSE, copy) == [0, 0]


def test_chinese_is_compared_character_by_character() -> None:
    text = "北风公司的服务热线是0900666，工作日开放，请随时致电我们的客服人员。"
    assert groups_of(text, text.replace("0900", "0800"), "灯塔的电池每三年更换一次，由港务局负责维护。") == [0, 0, 1]


def test_other_texts_and_short_ones_are_groups_of_their_own() -> None:
    assert groups_of(FALSE, TRUE, FALSE[:40], "Total 12 14", "Total 12 14", "", "") == [0, 1, 2, 3, 4, 5, 6]


def test_a_copy_belongs_to_the_first_text_and_not_to_the_last_copy() -> None:
    """Else a chain of small steps would join what has nothing in common."""
    words = [f"word{chr(97 + n)}" for n in range(24)]
    step = [" ".join(words[n : n + 20]) for n in range(5)]
    assert groups_of(*step)[0] == groups_of(*step)[1]
    assert groups_of(*step)[4] != groups_of(*step)[0]


def chunks_of(texts: list[str]) -> list[StoredChunk]:
    documents = [make_document(text, f"{number}.txt") for number, text in enumerate(texts)]
    return [StoredChunk(make_chunk(document, [document.text]), document, None) for document in documents]


def kept_of(texts: list[str], size: int) -> list[str]:
    places = Places(size)
    for chunk in chunks_of(texts):
        if not places.offer(chunk):
            break
    return [one.chunk.text for one in places.kept]


def test_l9_the_fourth_copy_takes_no_place_and_comes_along() -> None:
    copies = [f"{FALSE} File {number}." for number in range(50)]
    assert kept_of([*copies, TRUE], 4) == [*copies[:7], TRUE]  # three places, four on top, and the fourth place
    assert kept_of([TRUE, *copies], 4) == [TRUE, *copies[:3]]


@given(st.lists(st.sampled_from([FALSE, TRUE, "Graz lies on the Mur.", "Total 1"]), max_size=30), st.integers(1, 8))
def test_what_was_a_candidate_stays_one(texts: list[str], size: int) -> None:
    texts = [f"{text} {number}" for number, text in enumerate(texts)]
    kept = kept_of(texts, size)
    assert kept[: len(texts[:size])] == texts[:size], "copies are no reason to look at less"
    assert len(kept) <= 2 * size
    assert kept == sorted(kept, key=texts.index)


@given(st.text(alphabet="aBcé 1.,'_\n租金", max_size=60))
def test_a_text_is_cut_alike_whether_or_not_it_is_plain_ascii(text: str) -> None:
    plain = text.encode("ascii", "ignore").decode()
    assert near_copies._units(plain) == near_copies._UNIT.findall(plain.casefold())
