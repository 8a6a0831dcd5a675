"""The benchmark of what the extractive generator quotes."""

from __future__ import annotations

from benchmarks.quoting import SHARES, Quoted, report
from domain.documents import Span
from generation.quoting import Quote


def quote(text: str, score: float) -> Quote:
    return Quote(1, Span(0, len(text)), text, score)


WARRANTY = Quoted(("three years",), [quote("The frame: ten years.", 0.9), quote("The battery: three years.", 0.3)])


def rows_of(table: str) -> dict[str, list[str]]:
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return {name: cells for name, *cells in rows}


def test_an_answer_in_the_second_sentence_is_found_where_it_has_a_fair_chance() -> None:
    rows = rows_of(report(["nq"], [[WARRANTY]]))
    assert rows["0.8"] == ["0.000", "0.000", "4", "1.0"]
    assert rows["0.2"] == ["1.000", "1.000", "8", "2.0"]
    assert rows["all that is sent"] == rows["0.2"]
    assert len(rows) == len(SHARES) + 1


def test_sets_weigh_the_same_whatever_their_number_of_questions() -> None:
    found = Quoted(("ten years",), [quote("The frame: ten years.", 0.9)])
    assert rows_of(report(["nq", "covidqa"], [[WARRANTY], [found, found, found]]))["0.8"][:3] == [
        "0.000",
        "1.000",
        "0.500",
    ]
