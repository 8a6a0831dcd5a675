"""A table of questions in, the same table with answers out; a kill costs nothing that was answered."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xlsxwriter import Workbook

from domain.answers import Answer, Usage
from domain.context import Context, ContextBill
from domain.errors import GeneratorUnreachable, UsageError
from domain.search_result import SearchResult
from service.batches.columns import ANSWER_COLUMNS
from service.batches.journal import Journal
from service.batches.table_run import run_batch, write_rows
from service.batches.tables import find_question_column, lines_of, parse_rows, read_rows, table_bytes
from service.batches.xlsx import first_sheet

_BILL = ContextBill(80, 0, 0, 40, 10, 512, 8192, 400, "words")


def answer_to(question: str) -> Answer:
    context = Context(question, (), (), _BILL, (), 40)
    return Answer(f"answer to {question}", (), SearchResult(context, {}), "echo", Usage(130, 5), {})


class Asked:
    """Answers questions and remembers them; dies like a killed process after `survive` answers."""

    def __init__(self, survive=10**9, fail=()):
        self.questions = []
        self._survive = survive
        self._fail = set(fail)

    def __call__(self, questions):
        for question in questions:
            if len(self.questions) == self._survive:
                raise KeyboardInterrupt
            self.questions.append(question)
            yield GeneratorUnreachable("The model is away.") if question in self._fail else answer_to(question)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "questions.csv"
    path.write_text("id,Question\n1,Who?\n2,谁签字？\n3,Who?\n4,When?\n", encoding="utf-8")
    return path


def rows_of(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_the_rows_come_back_in_order_with_their_answers(table, tmp_path):
    summary = run_batch(table, tmp_path / "out.csv", Asked())
    rows = rows_of(tmp_path / "out.csv")
    assert [row["id"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["answer"] for row in rows] == [f"answer to {q}" for q in ("Who?", "谁签字？", "Who?", "When?")]
    assert (summary.rows, summary.failed, summary.context_tokens) == (4, 0, 160)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "questions.csv"]


def test_equal_questions_are_asked_once_and_cost_once(table, tmp_path):
    asked = Asked()
    table.write_text("id,Question\n1,Who?\n2,谁签字？\n3, Ｗho?\n4,When?\n5,WHO?\n", encoding="utf-8")
    summary = run_batch(table, tmp_path / "out.jsonl", asked)
    assert asked.questions == ["Who?", "谁签字？", "When?"]
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["answer"] for row in rows] == [f"answer to {q}" for q in ("Who?", "谁签字？", "Who?", "When?", "Who?")]
    assert [row["prompt_tokens"] for row in rows] == [130, 130, 0, 130, 0]
    assert summary.total_tokens == 3 * 135


@pytest.mark.parametrize("survived", [0, 1, 2])
def test_a_killed_run_goes_on_where_it_was(table, tmp_path, survived):
    first, second = Asked(survive=survived), Asked()
    with pytest.raises(KeyboardInterrupt):
        run_batch(table, tmp_path / "out.csv", first)
    assert not (tmp_path / "out.csv").exists()
    run_batch(table, tmp_path / "out.csv", second)
    assert first.questions + second.questions == ["Who?", "谁签字？", "When?"]
    assert [row["answer"] for row in rows_of(tmp_path / "out.csv")][3] == "answer to When?"


def test_a_torn_last_line_of_the_journal_is_asked_again(table, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_batch(table, tmp_path / "out.csv", Asked(survive=2))
    journal = tmp_path / "out.csv.journal"
    whole = journal.read_bytes()
    for cut in range(len(whole) - 40, len(whole)):
        journal.write_bytes(whole[:cut])
        second = Asked()
        run_batch(table, tmp_path / "out.csv", second, overwrite=True)
        assert len(rows_of(tmp_path / "out.csv")) == 4
        assert "When?" in second.questions


def test_rows_that_failed_are_asked_again_and_named_meanwhile(table, tmp_path):
    summary = run_batch(table, tmp_path / "out.csv", Asked(fail={"When?"}))
    assert summary.failed == 1
    assert rows_of(tmp_path / "out.csv")[3]["error"] == "The model is away. [llm_unreachable]"


def test_a_finished_output_is_left_alone(table, tmp_path):
    run_batch(table, tmp_path / "out.csv", Asked())
    before, again = (tmp_path / "out.csv").read_bytes(), Asked()
    summary = run_batch(table, tmp_path / "out.csv", again)
    assert (again.questions, summary.resumed, summary.rows) == ([], 4, 4)
    assert (tmp_path / "out.csv").read_bytes() == before


def test_a_file_that_is_something_else_is_never_overwritten(table, tmp_path):
    other = tmp_path / "out.csv"
    other.write_text("name\nvalue\n")
    with pytest.raises(UsageError, match="holds something else"):
        run_batch(table, other, Asked())
    assert other.read_text() == "name\nvalue\n"


def test_a_journal_of_other_questions_is_refused(table, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_batch(table, tmp_path / "out.csv", Asked(survive=1))
    table.write_text("id,Question\n1,Where?\n")
    with pytest.raises(UsageError, match="other questions"):
        run_batch(table, tmp_path / "out.csv", Asked())


def test_an_interrupted_run_goes_on_with_the_same_options_only(table, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_batch(table, tmp_path / "out.csv", Asked(survive=1), options={"max_tokens": 100, "role": None})
    with pytest.raises(UsageError, match="other options"):
        run_batch(table, tmp_path / "out.csv", Asked(), options={"max_tokens": 30, "role": None})
    assert run_batch(table, tmp_path / "out.csv", Asked(), options={"max_tokens": 100}).resumed == 1


def test_i16_no_cell_can_become_a_formula_in_a_spreadsheet(tmp_path):
    table = tmp_path / "q.jsonl"
    table.write_text(json.dumps({"question": "=1+1"}) + "\n")

    def formulas(questions):
        for question in questions:
            answer = answer_to(question)
            yield Answer("=HYPERLINK(1)", (), answer.search, "echo", answer.usage, {})

    run_batch(table, tmp_path / "out.csv", formulas)
    (row,) = rows_of(tmp_path / "out.csv")
    assert row["answer"] == "'=HYPERLINK(1)"
    assert row["question"] == "'=1+1"  # nor can the user's own cells: who opens the file need not be who wrote it
    assert run_batch(table, tmp_path / "out.csv", formulas).resumed == 1, "and the finished output is known again"


def test_an_empty_question_is_a_failed_row_and_not_a_failed_run(tmp_path):
    table = tmp_path / "q.csv"
    table.write_text("question,note\n,nothing\nWho?,x\n")
    summary = run_batch(table, tmp_path / "out.jsonl", Asked())
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert (summary.failed, rows[0]["error"], rows[1]["answer"]) == (
        1,
        "The row has no question. [no_question]",
        "answer to Who?",
    )
    assert set(ANSWER_COLUMNS) <= set(rows[0])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_tables_are_read_in_any_usual_encoding(tmp_path, encoding):
    table = tmp_path / "表.csv"
    table.write_text("编号;问题\n1;保修期是多长时间，从哪一天开始计算？\n", encoding=encoding)
    assert read_rows(table) == [{"编号": "1", "问题": "保修期是多长时间，从哪一天开始计算？"}]


def test_a_broken_line_is_named(tmp_path):
    table = tmp_path / "q.jsonl"
    table.write_text('{"question": "Who?"}\nnot json\n')
    with pytest.raises(UsageError, match="line 2"):
        run_batch(table, tmp_path / "out.csv", Asked())


def test_two_columns_of_one_name_are_refused_before_a_cell_of_the_first_is_lost(tmp_path):
    (tmp_path / "q.csv").write_text("note,question,note,,\na,Who?,b,,\n")
    with pytest.raises(UsageError, match="two columns of the name 'note'"):
        read_rows(tmp_path / "q.csv")
    with Workbook(str(tmp_path / "q.xlsx")) as book:
        book.add_worksheet().write_row(0, 0, ["note", "question", "note"])
    with pytest.raises(UsageError, match="two columns of the name 'note'"):
        read_rows(tmp_path / "q.xlsx")
    (tmp_path / "blank.csv").write_text("question,,\nWho?,,\n")  # what spreadsheets leave behind a table
    assert read_rows(tmp_path / "blank.csv")[0]["question"] == "Who?"


def test_the_question_column_is_found_or_asked_for():
    assert find_question_column([{"id": 1, "QUESTION": "Who?"}], None) == "QUESTION"
    assert find_question_column([{"a": "Who?"}], None) == "a"
    assert find_question_column([{"a": 1, "b": "Who?"}], "b") == "b"
    with pytest.raises(UsageError, match="a, b"):
        find_question_column([{"a": 1, "b": 2}], None)
    with pytest.raises(UsageError, match="no column 'c'"):
        find_question_column([{"a": 1}], "c")
    with pytest.raises(UsageError, match="no rows"):
        find_question_column([], None)


def test_every_cell_is_quoted_so_that_no_other_delimiter_starts_a_formula(tmp_path):
    write_rows(tmp_path / "out.csv", [{"id": 1, "answer": 'a;=1+1 "b"', "error": None}])
    assert (tmp_path / "out.csv").read_text(encoding="utf-8-sig") == ('"id","answer","error"\n"1","a;=1+1 ""b""",""\n')


def test_a_formula_behind_a_line_end_is_disarmed_too(tmp_path):
    write_rows(tmp_path / "out.csv", [{"answer": "\n=1+1"}])
    assert rows_of(tmp_path / "out.csv") == [{"answer": "'\n=1+1"}]


def test_links_laid_out_beside_the_output_lead_nowhere(table, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    names = ("out.csv.tmp", "out.csv.journal.tmp")
    for name in names:
        (tmp_path / name).symlink_to(victim)
    run_batch(table, tmp_path / "out.csv", Asked())
    assert victim.read_text() == "untouched"
    assert all((tmp_path / name).is_symlink() for name in names)
    assert len(rows_of(tmp_path / "out.csv")) == 4


def test_the_output_and_the_journal_are_readable_as_far_as_the_umask_allows(table, tmp_path):
    for umask, mode in ((0o022, 0o644), (0o077, 0o600)):
        before = os.umask(umask)
        try:
            with pytest.raises(KeyboardInterrupt):
                run_batch(table, tmp_path / "out.csv", Asked(survive=1), overwrite=True)
            assert (tmp_path / "out.csv.journal").stat().st_mode & 0o777 == mode
            run_batch(table, tmp_path / "out.csv", Asked())
        finally:
            os.umask(before)
        assert (tmp_path / "out.csv").stat().st_mode & 0o777 == mode


def test_an_output_that_cannot_be_put_in_place_leaves_no_litter(tmp_path):
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(OSError):
        write_rows(tmp_path / "out.csv", [{"answer": "x"}])
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize("first", [b"my notes\n", b"[1]\n", b"7\n", b"{}\n", b"\xff\xfe\n"])
def test_a_file_that_is_no_journal_is_named_and_left_alone(table, tmp_path, first):
    journal = tmp_path / "out.csv.journal"
    journal.write_bytes(first)
    with pytest.raises(UsageError, match=r"out\.csv\.journal' is not the journal"):
        run_batch(table, tmp_path / "out.csv", Asked())
    assert journal.read_bytes() == first


@pytest.mark.parametrize(
    "line", [b"{", b"3", b'{"row": 0}', b'{"row": "0", "columns": {}}', b'{"row": 0, "columns": []}']
)
def test_a_journal_with_foreign_lines_is_named(table, tmp_path, line):
    with pytest.raises(KeyboardInterrupt):
        run_batch(table, tmp_path / "out.csv", Asked(survive=1))
    with (tmp_path / "out.csv.journal").open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(UsageError, match=r"out\.csv\.journal' is not the journal"):
        run_batch(table, tmp_path / "out.csv", Asked())


def test_a_journal_that_cannot_be_read_is_named(table, tmp_path):
    (tmp_path / "out.csv.journal").mkdir()
    with pytest.raises(UsageError, match=r"out\.csv\.journal' cannot be read"):
        run_batch(table, tmp_path / "out.csv", Asked())


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_asked(table, tmp_path):
    asked = Asked()
    (tmp_path / "folder.csv").mkdir()
    for output, words in ((tmp_path / "away" / "out.csv", "does not exist"), (tmp_path / "folder.csv", "is a folder")):
        with pytest.raises(UsageError, match=words):
            run_batch(table, output, asked, overwrite=True)
    assert asked.questions == []


def test_lines_are_counted_with_those_that_hold_nothing():
    text = '\n \t\r\n"a"\r\n\n\u2028"b"\u2028\n  "c"'
    assert list(lines_of(text)) == [(3, '"a"\r'), (5, '\u2028"b"\u2028'), (6, '  "c"')]
    assert list(lines_of("\n\n")) == []


# -- a ceiling of tokens -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ceiling", "asked"), [(1, 1), (135, 1), (136, 2), (300, 3), (10_000, 9)])
def test_rows_beyond_the_ceiling_say_so_and_a_higher_one_goes_on_from_there(tmp_path, ceiling, asked):
    table, output = tmp_path / "q.csv", tmp_path / "out.csv"
    table.write_text("question\n" + "".join(f"Question {number}?\n" for number in range(9)))
    first = Asked()
    summary = run_batch(table, output, first, max_total_tokens=ceiling)  # 135 tokens a question
    assert len(first.questions) == asked
    assert (summary.beyond_ceiling, summary.failed, summary.total_tokens) == (9 - asked, 9 - asked, 135 * asked)
    errors = [row["error"] for row in rows_of(output)]
    assert all(error.endswith("[token_ceiling]") for error in errors[asked:])
    assert not any(errors[:asked])

    second = Asked()
    summary = run_batch(table, output, second, max_total_tokens=100_000)
    assert first.questions + second.questions == [f"Question {number}?" for number in range(9)]
    assert (summary.failed, summary.total_tokens) == (0, 9 * 135)
    assert not (tmp_path / "out.csv.journal").exists()


def test_a_model_that_breaks_off_is_counted_against_the_ceiling_too(tmp_path):
    class Broken(Asked):
        def __call__(self, questions):
            for _ in super().__call__(questions):
                error = GeneratorUnreachable("It broke off.")
                error.spent_tokens = 100
                yield error

    table, output, asked = tmp_path / "q.csv", tmp_path / "out.csv", Broken()
    table.write_text("question\n" + "".join(f"Question {number}?\n" for number in range(9)) + "question 0?\n")
    summary = run_batch(table, output, asked, max_total_tokens=250)
    assert (len(asked.questions), summary.total_tokens, summary.beyond_ceiling) == (3, 300, 6)
    assert [row["prompt_tokens"] for row in rows_of(output)] == ["100"] * 3 + [""] * 7


# -- workbooks ---------------------------------------------------------------------------------------------------------


def test_a_workbook_comes_back_as_a_workbook(tmp_path):
    rows = [
        {"编号": 1, "问题": "谁签字？", "n": 2.5, "ok": True, "note": None},
        {"编号": 2, "问题": "Who?", "n": -3, "ok": False, "note": "a < b & c\r\n\x00 \U0001f600"},
    ]
    write_rows(tmp_path / "q.xlsx", rows)
    assert read_rows(tmp_path / "q.xlsx")[0] == rows[0]
    run_batch(tmp_path / "q.xlsx", tmp_path / "out.xlsx", Asked(), question_column="问题")
    first, second = read_rows(tmp_path / "out.xlsx")
    assert list(first) == [*rows[0], *ANSWER_COLUMNS]
    assert (first["answer"], first["prompt_tokens"], first["abstained"]) == ("answer to 谁签字？", 130, False)
    assert second["note"].startswith("a < b & c") and "\U0001f600" in second["note"] and "\x00" not in second["note"]
    again = Asked()
    assert run_batch(tmp_path / "q.xlsx", tmp_path / "out.xlsx", again, question_column="问题").resumed == 2
    assert again.questions == []


@pytest.mark.parametrize(
    ("named", "expected"),
    [("年度问题", "年度问题"), ("a" * 31, "a" * 31), ("Q&A <1>", "Q&A <1>")],
)
def test_the_sheet_is_named_as_the_one_that_the_questions_stand_on(tmp_path, named, expected):
    with Workbook(str(tmp_path / "q.xlsx")) as book:
        book.add_worksheet(named).write_column(0, 0, ["question", "Who?"])
        book.add_worksheet("other")
    run_batch(tmp_path / "q.xlsx", tmp_path / "out.xlsx", Asked())
    assert first_sheet(tmp_path / "out.xlsx") == expected


@pytest.mark.parametrize("named", ["", "' '", "History", "\x01"])
def test_a_sheet_without_a_usable_name_is_called_answers(tmp_path, named):
    (tmp_path / "out.xlsx").write_bytes(table_bytes([{"answer": "x"}], ".xlsx", named))
    assert first_sheet(tmp_path / "out.xlsx") == "Answers"


def test_what_no_sheet_may_be_called_is_replaced(tmp_path):
    (tmp_path / "out.xlsx").write_bytes(table_bytes([{"answer": "x"}], ".xlsx", "[a]:b/c" + "d" * 40))
    assert first_sheet(tmp_path / "out.xlsx") == "_a__b_c" + "d" * 24


def test_a_workbook_of_answers_can_be_read_as_it_is_opened(tmp_path):
    rows = [{"id": 7, "问题": "租金多少？", "answer": "word " * 100, "citations": "x" * 500}]
    with zipfile.ZipFile(io.BytesIO(table_bytes(rows, ".xlsx"))) as archive:
        sheet, styles = archive.read("xl/worksheets/sheet1.xml").decode(), archive.read("xl/styles.xml").decode()
    widths = [int(float(width)) for width in re.findall(r'<col min="\d" max="\d" width="([\d.]+)"', sheet)]
    assert widths == [8, 12, 70, 40]
    assert 'topLeftCell="A2"' in sheet and 'state="frozen"' in sheet
    formats = re.findall(r"<xf [^>]*>(?:<alignment[^>]*/></xf>)?", styles.split("<cellXfs")[1])
    of_cell = {place: formats[int(style)] for place, style in re.findall(r'<c r="(\w+)" s="(\d+)"', sheet)}
    assert {place for place, format_ in of_cell.items() if 'wrapText="1"' in format_} == {"C1", "C2"}


def test_i16_no_cell_of_a_workbook_is_a_formula(tmp_path):
    cells = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\n=1", "＝1+1", "-12.5", "plain"]
    write_rows(tmp_path / "out.xlsx", [{"=head": cell} for cell in cells])
    read = [row["'=head"] for row in read_rows(tmp_path / "out.xlsx")]
    assert read == ["'" + cell for cell in cells[:7]] + cells[7:]
    with zipfile.ZipFile(tmp_path / "out.xlsx") as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet and sheet.count('t="s"') == len(cells) + 1


@pytest.mark.parametrize("corner", ["XFD1048576", "A6000000", "CV1048576"])
def test_i3_a_workbook_whose_cells_are_far_apart_is_refused_before_it_is_read(tmp_path, corner):
    write_rows(tmp_path / "small.xlsx", [{"question": "Who?"}])
    with zipfile.ZipFile(tmp_path / "small.xlsx") as small, zipfile.ZipFile(tmp_path / "huge.xlsx", "w") as huge:
        for name in small.namelist():
            part = small.read(name)
            if name == "xl/worksheets/sheet1.xml":
                cell = f'<row r="1048576"><c r="{corner}"><v>1</v></c></row>'
                part = part.replace(b"</sheetData>", f"{cell}</sheetData>".encode())
            huge.writestr(name, part)
    assert read_rows(tmp_path / "small.xlsx") == [{"question": "Who?"}]
    with pytest.raises(UsageError, match="too large"):
        read_rows(tmp_path / "huge.xlsx")


def test_a_cell_that_is_longer_than_a_workbook_holds_is_cut_and_says_so(tmp_path):
    write_rows(tmp_path / "out.xlsx", [{"answer": "x" * 40_000}])
    (row,) = read_rows(tmp_path / "out.xlsx")
    assert (len(row["answer"]), row["answer"][-2:]) == (32_767, "x…")


def test_a_file_that_is_no_workbook_is_named(tmp_path):
    (tmp_path / "q.xlsx").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(UsageError, match=r"q\.xlsx' is not a workbook"):
        run_batch(tmp_path / "q.xlsx", tmp_path / "out.csv", Asked())


@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), st.text() | st.integers() | st.none() | st.booleans()), min_size=1)
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_i16_whatever_a_table_holds_no_cell_starts_a_formula(rows):
    for suffix, read in ((".csv", csv_cells), (".xlsx", xlsx_cells)):
        for cell in read(table_bytes(rows, suffix)):
            text = cell.lstrip(" \u00a0\u3000")
            plain_number = bool(re.fullmatch(r"[+-]?\d[\d.,]*([eE][+-]?\d+)?%?", cell))
            assert plain_number or not text.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))


def csv_cells(data):
    return [cell for row in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")) for cell in row]


def xlsx_cells(data):
    return [cell for row in parse_rows(data, ".xlsx", "t") for cell in (*row, *row.values()) if isinstance(cell, str)]


def test_a_row_is_on_the_disk_before_the_next_is_taken(monkeypatch, tmp_path):
    forced = []
    with Journal(tmp_path / "a.csv.journal", "table") as journal:
        monkeypatch.setattr("os.fsync", lambda _: forced.append(journal.path.read_bytes().count(b"\n")))
        for index in range(3):
            journal.append(index, {"error": None})
            assert len(forced) == index + 1
    assert forced == [2, 3, 4], "the head, and all rows so far"
