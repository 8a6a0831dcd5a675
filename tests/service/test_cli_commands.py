"""The command line in this process: what each command prints where, and the status it ends with."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from typer import Context
from typer.main import get_command

from fovea import open_engine
from service.api.app import create_app
from service.cli.app import app
from service.cli.questions import say_if_quoted
from service.settings import EncoderSettings, Settings
from tests.service.api_fakes import LEASE, FakeEngine, FakeJobQueue
from tests.service.http_server import running

TEXTS = {
    "lamp.txt": "The lamp of the lighthouse is serviced twice a year by Amara Okafor.",
    "灯塔.md": "# 灯塔\n\n灯塔的电池每三年更换一次。\n",
}
COMMANDS = sorted(get_command(app).commands)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """An empty working directory, with the encoder that needs no model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOVEA_ENCODER__MODEL", "hashing")


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def indexed(fovea, corpus):
    assert fovea("ingest", corpus)[0] == 0
    return fovea


def one_document(stdout):
    """The JSON document that stdout holds: one, and nothing else."""
    value, end = json.JSONDecoder().raw_decode(stdout)
    assert stdout[end:] == "\n"
    return value


# -- help ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(fovea, command):
    status, shown, _ = fovea(command, "--help")
    assert status == 0
    assert f"fovea {command}" in shown.partition("Example")[2]


def test_no_command_shows_the_help_and_counts_as_wrong_usage(fovea):
    status, shown, errors = fovea()
    assert status == 2
    assert all(command in shown + errors for command in COMMANDS)


def test_the_version_is_that_of_the_package(fovea):
    assert fovea("--version")[:2] == (0, "fovea 0.1.0\n")


# -- wrong usage: 2 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("ask",), "question"),
        (("aks", "Who?"), "aks"),
        (("ask", "Who?", "--max-tokens", "0"), "max-tokens"),
        (("ask", "Who?", "--tokens", "9"), "--tokens"),
        (("ask", ""), "empty"),
        (("ask", " \n\t"), "empty"),
        (("ask", "w" * 20_001), "20,001 characters"),
        (("ask", "Who?", "--collection", "none"), "'none'"),
        (("search", "Who?", "--collection", "none"), "'none'"),
        (("ingest", "not/there"), "not/there"),
        (("ingest",), "PATH_OR_URL"),
        (("delete", "doc-0"), "doc-0"),
        (("batch", "missing.csv", "-o", "out.csv"), "missing.csv"),
        (("batch", "questions.xml", "-o", "out.csv"), "questions.xml"),
        (("list", "--url", "http://127.0.0.1:9", "--data-dir", "x"), "exclude each other"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_sentence_on_stderr(indexed, arguments, named):
    status, shown, errors = indexed(*arguments)
    assert status == 2
    assert shown == ""
    assert named in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("arguments", [("ask", "Who?"), ("delete", "doc-0"), ("ingest", "missing")])
def test_an_error_leaves_stdout_empty_with_json_too(fovea, arguments):
    status, shown, _ = fovea(*arguments, "--collection", "none", "--json")
    assert (status, shown) == (2, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("keys", "create", "--scope", "nonsense"), "'nonsense' is not one of 'chat', 'read', 'write', 'admin'."),
        (("ask", "Who?", "--max-tokens", "many"), "'many' is not a whole number of 1 or more."),
        (("ask", "Who?", "--max-tokens", "0"), "'0' is not a number of 1 or more."),
        (("serve", "--port", "70000"), "'70000' is not a number from 0 to 65535."),
        (("eval", "questions.jsonl", "--min-recall", "high"), "'high' is not a number."),
    ],
)
def test_a_wrong_value_of_an_option_is_named_with_what_is_taken(fovea, arguments, said):
    status, shown, errors = fovea(*arguments)
    assert (status, shown) == (2, "")
    words = " ".join(errors.replace("│", " ").split())
    assert f"Invalid value for '{arguments[-2]}': {said}" in words


def test_a_misspelt_setting_ends_with_2(fovea, monkeypatch):
    monkeypatch.setenv("FOVEA_GENERATON__MODEL", "x")
    status, _, errors = fovea("list")
    assert status == 2
    assert errors == "fovea: There is no setting FOVEA_GENERATON__MODEL; did you mean FOVEA_GENERATION__MODEL?\n"


def test_a_wrong_fovea_toml_ends_with_2(fovea, tmp_path):
    (tmp_path / "fovea.toml").write_text("[retrieval]\nreranker = 'nonesuch'\n")
    status, _, errors = fovea("ingest", tmp_path)
    assert status == 2
    assert "nonesuch" in errors and "attention" in errors


# -- the data directory ----------------------------------------------------------------------------------------------


def test_the_data_directory_is_dot_fovea_unless_told_otherwise(indexed, tmp_path):
    assert (tmp_path / ".fovea" / "fovea.db").is_file()


def test_the_data_directory_may_stand_before_or_behind_the_command(fovea, corpus, tmp_path):
    assert fovea("--data-dir", "before", "ingest", corpus)[0] == 0
    assert len(one_document(fovea("list", "--data-dir", "before", "--json")[1])["documents"]) == 2
    assert not (tmp_path / ".fovea").exists()


def test_the_option_outranks_the_environment_which_outranks_the_file(fovea, corpus, tmp_path, monkeypatch):
    (tmp_path / "fovea.toml").write_text('data_dir = "file"\n')
    fovea("ingest", corpus)
    monkeypatch.setenv("FOVEA_DATA_DIR", "environment")
    fovea("ingest", corpus)
    fovea("ingest", corpus, "--data-dir", "option")
    assert all((tmp_path / name / "fovea.db").is_file() for name in ("file", "environment", "option"))
    assert not (tmp_path / ".fovea").exists()


def test_one_command_does_not_remember_the_directory_of_another(fovea, corpus, tmp_path):
    fovea("--data-dir", "first", "ingest", corpus)
    fovea("ingest", corpus)
    assert (tmp_path / ".fovea").exists()


READING = (
    ("ask", "Who?"),
    ("search", "Who?"),
    ("chat",),
    ("list",),
    ("delete", "doc-0"),
    ("explain", "Who?", "--document", "a.txt"),
    ("batch", "questions.csv", "-o", "answers.csv"),
    ("eval", "questions.jsonl"),
    ("calibrate", "questions.jsonl"),
    ("train", "questions.jsonl"),
    ("reindex",),
    ("doctor",),
    ("mcp",),
    ("mcp", "--http"),
    ("keys", "list"),
    ("keys", "revoke", "key0"),
    ("keys", "prune"),
    ("keys", "tenant", "acme"),
)


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_a_misspelt_data_directory_is_said_and_not_made(fovea, tmp_path, arguments):
    status, shown, errors = fovea(*arguments, "--data-dir", "misspelt")
    assert (status, shown) == (2, "")
    assert errors == (
        f"fovea: There is no index in {str(tmp_path / 'misspelt')!r}. Name its directory with --data-dir or "
        "FOVEA_DATA_DIR, or make one there: `fovea ingest PATH_OR_URL...`.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_other_things_is_no_index_either(fovea, corpus):
    before = sorted(corpus.iterdir())
    assert fovea("ask", "Who?", "--data-dir", corpus)[0] == 2
    assert sorted(corpus.iterdir()) == before


# -- documents -------------------------------------------------------------------------------------------------------


def test_ingest_tells_what_became_of_each_input(fovea, corpus):
    (corpus / "empty.txt").write_text("")
    status, shown, _ = fovea("ingest", corpus, "--json")
    report = one_document(shown)
    assert status == 1
    assert report.keys() == {"documents", "seconds"}
    outcomes = {item["source"]: item for item in report["documents"]}
    assert all(item.keys() >= {"id", "source", "status", "chunks", "error"} for item in outcomes.values())
    assert outcomes[str(corpus / "lamp.txt")]["status"] == "indexed"
    assert outcomes[str(corpus / "lamp.txt")]["chunks"] == 1
    assert outcomes[str(corpus / "lamp.txt")]["error"] is None
    assert outcomes[str(corpus / "empty.txt")]["status"] == "failed"
    assert outcomes[str(corpus / "empty.txt")]["error"]["code"] == "empty_document"
    again = one_document(fovea("ingest", corpus / "lamp.txt", "--json")[1])
    assert again["documents"][0] == {**outcomes[str(corpus / "lamp.txt")], "status": "unchanged"}


def test_failures_are_named_in_words_and_end_with_1(fovea, corpus):
    (corpus / "empty.txt").write_text("")
    status, shown, _ = fovea("ingest", corpus)
    assert status == 1
    assert "failed" in shown and "empty.txt" in shown and "[empty_document]" in shown
    assert "2 indexed (2 chunks), 0 unchanged, 1 failed" in shown
    assert "failed, empty_document" in fovea("list")[1]


def test_list_and_delete(indexed):
    listed = one_document(indexed("list", "--json")[1])["documents"]
    assert [item["title"] for item in sorted(listed, key=lambda item: item["source"])] == ["lamp", "灯塔"]
    gone, kept = (item["id"] for item in listed)
    assert indexed("delete", gone)[:2] == (0, "1 deleted\n")
    assert [item["id"] for item in one_document(indexed("list", "--json")[1])["documents"]] == [kept]
    status, shown, errors = indexed("delete", kept, gone)
    assert (status, shown) == (2, "")
    assert gone in errors
    assert len(one_document(indexed("list", "--json")[1])["documents"]) == 1, "all or nothing"


@pytest.mark.parametrize("way", ["data directory", "server"])
def test_a_folder_without_files_is_wrong_usage_by_either_way(indexed, tmp_path, way):
    (tmp_path / "void" / ".hidden").mkdir(parents=True)
    (tmp_path / "void" / ".hidden" / "lamp.txt").write_text("The lamp.")
    status, shown, errors = _by(way, indexed, tmp_path, "ingest", "void")
    assert (status, shown) == (2, "")
    assert errors.startswith("fovea: There are no readable files in 'void'. Read are text, Markdown, HTML, PDF, Word")


def test_a_folder_without_files_beside_one_with_files_is_no_error(fovea, corpus, tmp_path):
    (tmp_path / "void").mkdir()
    assert fovea("ingest", "void", corpus)[0] == 0


@pytest.mark.parametrize("way", ["data directory", "server"])
def test_delete_takes_a_source_as_it_takes_an_id(indexed, corpus, tmp_path, way):
    listed = {item["source"]: item["id"] for item in one_document(indexed("list", "--json")[1])["documents"]}
    lamp = str(corpus / "lamp.txt")
    status, shown, _ = _by(way, indexed, tmp_path, "delete", lamp, listed[lamp])
    assert (status, shown.splitlines()[-1]) == (0, "1 deleted")  # the server's own log comes before
    left = one_document(indexed("list", "--json")[1])["documents"]
    assert [item["source"] for item in left] == [str(corpus / "灯塔.md")]


def test_delete_of_an_unknown_source_deletes_nothing_and_says_where_to_look(indexed, corpus):
    status, shown, errors = indexed("delete", corpus / "lamp.txt", "lamp.txt")
    assert (status, shown) == (2, "")
    assert errors == (
        "fovea: There is no document with the id or source 'lamp.txt'; nothing was deleted. 'fovea list' shows those "
        "that exist.\n"
    )
    assert len(one_document(indexed("list", "--json")[1])["documents"]) == 2


def test_delete_of_a_source_that_two_collections_have_asks_which(indexed, corpus):
    lamp = corpus / "lamp.txt"
    indexed("ingest", lamp, "--collection", "winter")
    status, shown, errors = indexed("delete", lamp)
    assert (status, shown) == (2, "")
    assert "'default'" in errors and "'winter'" in errors and "--collection" in errors
    assert indexed("delete", lamp, "--collection", "winter")[:2] == (0, "1 deleted\n")
    left = one_document(indexed("list", "--json")[1])["documents"]
    assert {item["collection"] for item in left} == {"default"} and len(left) == 2
    status, _, errors = indexed("delete", lamp, "--collection", "winter")
    assert status == 2 and "in the collection 'winter'" in errors


def _by(way, fovea, tmp_path, *arguments):
    """Run a command on the data directory, or over HTTP on an engine that has it open."""
    if way == "data directory":
        return fovea(*arguments)
    settings = Settings(data_dir=tmp_path / ".fovea", encoder=EncoderSettings(model="hashing"))
    with open_engine(settings=settings) as engine, running(create_app(engine, FakeJobQueue())) as url:
        return fovea(*arguments, "--url", url)


def test_the_listing_is_never_cut_where_no_terminal_is(indexed, corpus):
    shown = indexed("list")[1]
    assert str(corpus / "lamp.txt") in shown and "灯塔" in shown


def test_a_collection_keeps_to_itself(indexed, corpus):
    (corpus / "other.txt").write_text("The jetty is closed in winter.")
    assert indexed("ingest", corpus / "other.txt", "--collection", "winter")[0] == 0
    found = one_document(indexed("search", "jetty closed", "--collection", "winter", "--json")[1])
    assert [item["source"] for item in found["evidence"]] == [str(corpus / "other.txt")]
    found = one_document(indexed("search", "When is the jetty closed?", "--json")[1])
    assert str(corpus / "other.txt") not in {item["source"] for item in found["evidence"]}
    assert len(one_document(indexed("list", "--collection", "winter", "--json")[1])["documents"]) == 1


# -- questions -------------------------------------------------------------------------------------------------------


def test_search_and_ask_speak_json(indexed):
    question = "How often is the lamp serviced?"
    found = one_document(indexed("search", question, "--json")[1])
    answer = one_document(indexed("ask", question, "--json")[1])
    assert found["evidence"][0]["text"] == TEXTS["lamp.txt"]
    assert answer["search"]["evidence"] == found["evidence"]
    assert answer["citations"][0]["quote"] == TEXTS["lamp.txt"]


def test_search_and_ask_speak_to_people(indexed, corpus):
    status, shown, _ = indexed("ask", "灯塔的电池多久更换一次？")
    assert status == 0
    assert "灯塔的电池每三年更换一次。 [1]" in shown
    assert "evidence tokens sent instead of" in shown
    status, shown, _ = indexed("search", "How often is the lamp serviced?")
    assert status == 0
    assert f"[1] lamp  {corpus / 'lamp.txt'}" in shown
    assert TEXTS["lamp.txt"] in shown


WISHES = ("--constraint", "Answer in one word.", "--think")
UNHEEDED = (
    "No language model is configured: answers are quoted from the documents and cannot follow --constraint, --think. "
)


@pytest.mark.parametrize("json_too", [(), ("--json",)])
def test_a_quoted_answer_says_once_that_it_cannot_follow_wishes(indexed, json_too):
    question = "How often is the lamp serviced?"
    _, shown, errors = indexed("ask", question, *WISHES, *json_too)
    assert errors.count(UNHEEDED) == 1 and UNHEEDED not in shown
    assert "FOVEA_GENERATION__GENERATOR" in errors
    assert "cannot follow --role." in indexed("ask", question, "--role", "You are terse.")[2]
    assert indexed("ask", question)[2] == ""


def test_a_batch_of_quoted_answers_says_it_once_too(indexed, tmp_path):
    (tmp_path / "q.csv").write_text("question\nHow often is the lamp serviced?\n灯塔的电池多久更换一次？\n")
    assert indexed("batch", "q.csv", "-o", "a.csv", *WISHES)[2].count(UNHEEDED) == 1
    assert UNHEEDED not in indexed("batch", "q.csv", "-o", "b.csv")[2]


@pytest.mark.parametrize(("model", "degraded"), [("gpt", False), ("extractive", True)])
def test_nothing_is_said_of_wishes_where_a_model_answers_or_should_have(model, degraded, capsys):
    answer = replace(FakeEngine({"lease.txt": LEASE}).ask("What is the rent?"), model=model, degraded=degraded)
    assert not say_if_quoted(answer, ["--constraint"])
    assert capsys.readouterr().err == ""


def test_the_ceiling_of_tokens_is_kept(indexed):
    found = one_document(indexed("search", "How often is the lamp serviced?", "--max-tokens", "5", "--json")[1])
    assert found["context_tokens"] <= 5


def test_an_empty_collection_abstains_and_is_no_error(indexed):
    for document in one_document(indexed("list", "--json")[1])["documents"]:
        indexed("delete", document["id"])
    status, shown, _ = indexed("ask", "How often is the lamp serviced?", "--json")
    answer = one_document(shown)
    assert status == 0
    assert answer["abstained"] and not answer["citations"]


def test_what_a_document_says_is_shown_and_not_obeyed(fovea, tmp_path):
    text = "The code is [bold red]4711[/] and :warning: stays :warning: \\[x]."
    (tmp_path / "code.txt").write_text(text)
    fovea("ingest", tmp_path / "code.txt")
    assert text in fovea("search", "What is the code?")[1]


def test_chat_answers_what_is_piped_in(indexed):
    status, shown, errors = indexed("chat", typed="How often is the lamp serviced?\n灯塔的电池多久更换一次？\n")
    assert status == 0
    assert f"{TEXTS['lamp.txt']} [1]" in shown
    assert "灯塔的电池每三年更换一次。 [1]" in shown
    assert "Ask about your documents" in errors and "Ask about" not in shown


def test_a_question_that_fails_does_not_end_the_chat(indexed):
    status, shown, errors = indexed("chat", typed="w" * 20_001 + "\nHow often is the lamp serviced?\n")
    assert status == 1
    assert "20,001 characters" in errors
    assert TEXTS["lamp.txt"] in shown


def test_a_chat_about_an_unknown_collection_ends_at_once(indexed):
    status, shown, errors = indexed("chat", "--collection", "none", typed="Who?\nWhere?\n")
    assert (status, shown) == (2, "")
    assert errors.count("'none'") == 1


# -- batch -----------------------------------------------------------------------------------------------------------


def test_batch_writes_the_same_rows_with_answers(indexed, tmp_path):
    (tmp_path / "q.csv").write_text("id,question\n1,How often is the lamp serviced?\n2,灯塔的电池多久更换一次？\n")
    status, shown, _ = indexed("batch", "q.csv", "-o", "a.jsonl", "--json")
    assert status == 0
    assert {"rows": 2, "failed": 0, "output": "a.jsonl"}.items() <= one_document(shown).items()
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["1", "2"]
    assert rows[0]["citations"][0]["quote"] == TEXTS["lamp.txt"]


def test_batch_says_what_the_answers_were_made_from_and_what_was_paid(indexed, tmp_path):
    (tmp_path / "q.csv").write_text("question\nHow often is the lamp serviced?\nhow often is the lamp serviced?\n")
    shown = indexed("batch", "q.csv", "-o", "a.jsonl")[1]
    first, second = (json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines())
    context = first["context_tokens"] + second["context_tokens"]
    paid = first["prompt_tokens"] + first["completion_tokens"]
    assert (context > paid > 0, second["prompt_tokens"], second["completion_tokens"]) == (True, 0, 0)
    assert f"{context} context tokens, {paid} spent on prompts and answers; a.jsonl" in shown


def test_batch_rows_that_fail_are_named_and_end_with_1(indexed, tmp_path):
    (tmp_path / "q.jsonl").write_text('{"question": ""}\n{"question": "How often is the lamp serviced?"}\n')
    status, shown, _ = indexed("batch", "q.jsonl", "-o", "a.jsonl")
    assert status == 1
    assert "1 failed" in shown


@pytest.mark.parametrize(("rows", "said"), [("\n", ", 1 of them failed"), ("", "")], ids=["one failed", "none"])
def test_a_finished_batch_says_that_it_was_done_and_what_failed(indexed, tmp_path, rows, said):
    (tmp_path / "q.csv").write_text(f"question,n\nHow often is the lamp serviced?,1\n{rows and ',2'}{rows}")
    first, _, _ = indexed("batch", "q.csv", "-o", "a.csv")
    status, shown, _ = indexed("batch", "q.csv", "-o", "a.csv")
    assert status == first == (1 if said else 0)
    assert f"They were all done before{said}; --overwrite asks them anew" in shown


def test_batch_over_an_unknown_collection_fails_once_and_not_once_a_row(indexed, tmp_path):
    (tmp_path / "q.csv").write_text("question\nWho?\nWhere?\n")
    status, shown, errors = indexed("batch", "q.csv", "-o", "a.csv", "--collection", "none")
    assert (status, shown) == (2, "")
    assert errors.count("'none'") == 1
    assert not (tmp_path / "a.csv").exists()


# -- doctor ----------------------------------------------------------------------------------------------------------


def test_doctor_says_what_runs_and_that_it_is_well(indexed, tmp_path):
    status, shown, _ = indexed("doctor", "--json")
    report = one_document(shown)
    assert (status, report["problems"]) == (0, [])
    assert report["data_dir"] == str(tmp_path / ".fovea")
    assert report["encoder"]["model_id"].startswith("hashing")
    assert report["collections"][0]["documents"] == 2
    assert [(item["vectors"], item["texts"]) for item in report["indexes"]] == [(2, 2)]


def test_doctor_reports_a_collection_of_another_encoder(indexed, monkeypatch):
    monkeypatch.setenv("FOVEA_ENCODER__BACKEND", "openai")
    monkeypatch.setenv("FOVEA_ENCODER__MODEL", "remote")
    monkeypatch.setenv("FOVEA_ENCODER__DIM", "64")
    status, shown, errors = indexed("doctor", "--json")
    assert status == 1, errors
    (problem,) = one_document(shown)["problems"]
    assert "collection default" in problem and "hashing" in problem


def test_doctor_never_shows_the_password_of_the_database(indexed, tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / '.fovea' / 'fovea.db'}?timeout=5"
    monkeypatch.setattr("service.settings.Settings.database_url", url + "&password=s3cret")
    monkeypatch.setattr("service.storage.database.open_database", _opening(url))
    status, shown, errors = indexed("doctor", "--json")
    assert status == 0, errors
    assert one_document(shown)["database"] == url + "&password=***"
    assert "s3cret" not in shown + errors


def _opening(url):
    from service.storage.database import open_database

    return lambda _: open_database(url)


def test_what_others_have_named_is_shown_and_not_obeyed(indexed, tmp_path, monkeypatch):
    """By names that no longer pass, or were put into the database by another hand; on stderr too."""
    with closing(sqlite3.connect(tmp_path / ".fovea" / "fovea.db")) as connection, connection:
        connection.execute("UPDATE collections SET name = ?", ("\x1b[2J\x9b31m[bold]x",))
    for command in (("doctor",), ("list",), ("ask", "Who?", "--collection", "\x1b[2Jnone")):
        _, shown, errors = indexed(*command)
        assert not {character for character in shown + errors if not character.isprintable()} - {"\n"}
    assert "name [2J31m[bold]x" in indexed("doctor")[1]


# -- one owner, one encoder ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("ask", "Who?"), ("search", "Who?")])
def test_questions_against_vectors_of_another_encoder_end_with_2(indexed, monkeypatch, command):
    monkeypatch.setenv("FOVEA_ENCODER__BACKEND", "openai")
    monkeypatch.setenv("FOVEA_ENCODER__MODEL", "remote")
    monkeypatch.setenv("FOVEA_ENCODER__DIM", "64")
    monkeypatch.setenv("FOVEA_ENCODER__BASE_URL", "http://127.0.0.1:9/v1")
    status, shown, errors = indexed(*command)
    assert (status, shown) == (2, ""), errors
    assert "hashing" in errors and "remote" in errors


def test_ingest_into_vectors_of_another_encoder_reads_nothing(indexed, corpus, monkeypatch):
    monkeypatch.setenv("FOVEA_ENCODER__BACKEND", "openai")
    monkeypatch.setenv("FOVEA_ENCODER__MODEL", "remote")
    monkeypatch.setenv("FOVEA_ENCODER__DIM", "64")
    status, shown, errors = indexed("ingest", corpus, "--json")
    assert (status, shown) == (2, "")
    assert "hashing" in errors and "remote" in errors


def test_a_directory_in_use_ends_with_2(indexed, tmp_path):
    with open_engine(settings=Settings(data_dir=tmp_path / ".fovea", encoder=EncoderSettings(model="hashing"))):
        status, shown, errors = indexed("list")
    assert (status, shown) == (2, "")
    assert ".fovea" in errors and "already" in errors
    assert "add --url with its address" in errors


@pytest.mark.parametrize("arguments", [("doctor",), ("eval", "q.jsonl"), ("reindex",), ("verify", "--repair")])
def test_a_command_without_url_is_not_sent_there_where_the_directory_is_in_use(indexed, tmp_path, arguments):
    (tmp_path / "q.jsonl").write_text('{"question": "Who?", "answers": ["Amara"]}\n')
    with open_engine(settings=Settings(data_dir=tmp_path / ".fovea", encoder=EncoderSettings(model="hashing"))):
        status, shown, errors = indexed(*arguments)
    assert (status, shown) == (2, "")
    assert f"`fovea {arguments[0]}` needs the directory for itself and has no --url." in errors
    assert "add --url" not in errors


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_said_of_url_is_true_of_the_command(command):
    context = Context(get_command(app), info_name="fovea")
    context.invoked_subcommand = command
    takes_url = "--url" in {name for option in get_command(app).commands[command].params for name in option.opts}
    assert ("add --url" in get_command(app)._way_round(context)) == takes_url


def test_a_server_that_is_away_ends_with_1_and_says_so(fovea):
    status, shown, errors = fovea("list", "--url", "http://127.0.0.1:9")
    assert (status, shown) == (1, "")
    assert "http://127.0.0.1:9" in errors and "Traceback" not in errors
