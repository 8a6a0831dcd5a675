"""fovea explain: the heat map in a terminal, elsewhere, and as a page."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from domain.documents import Span
from domain.explanation import AttendedChunk, AttendedSentence, AttendedToken, Explanation, QuestionToken
from fovea import open_engine
from service.api.app import create_app
from service.cli.heat_map import bar, heat_map, pieces, scales, shade, sum_of
from service.cli.heat_page import heat_page
from service.settings import EncoderSettings, Settings
from tests.service.api_fakes import FakeJobQueue
from tests.service.http_server import running

HOSTILE = "The <b>lamp</b> & the <script>alert('lamp')</script> lamp are serviced twice a year."
TEXTS = {
    "lamp.txt": HOSTILE,
    "灯塔.md": "# 灯塔\n\n灯塔的电池每三年更换一次。门每天都锁。\n",
}
QUESTION = "How often is the <i>lamp</i> serviced?"


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """A working directory that holds the texts, with the encoder that needs no model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOVEA_ENCODER__MODEL", "hashing")
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text, encoding="utf-8")


@pytest.fixture
def indexed(fovea):
    assert fovea("ingest", *TEXTS)[0] == 0
    return fovea


@pytest.fixture
def explanation(tmp_path):
    """What the engine says of the note that is out for trouble."""
    with open_engine(settings=Settings(data_dir=tmp_path / "own", encoder=EncoderSettings(model="hashing"))) as engine:
        engine.ingest_text(HOSTILE, title="<title>", source="lamp.txt")
        return engine.explain(QUESTION, document="lamp.txt", full=True)


def small(text, *tokens, sentences=None, heads=("first", "second"), parts=None):
    """An explanation of one chunk that begins at character 100: tokens are (start, end, weights) in `text`."""
    made = tuple(AttendedToken(Span(a, b).shifted(100), text[a:b], weights) for a, b, weights in tokens)
    cut = tuple(
        AttendedSentence(Span(a, b).shifted(100), text[a:b], 0.5, (0.5,) * len(heads), parts or {}, parts and 0.25)
        for a, b in sentences or ((0, len(text)),)
    )
    span = Span(100, 100 + len(text))
    chunk = AttendedChunk("chunk-1", span, 3, ("Part",), 0.75, (0.5,) * len(heads), cut, made)
    asked = (QuestionToken(Span(0, 3), "Who", (0.5,) * len(heads)),)
    return Explanation("Who?", "doc-1", "note.txt", "Note", "default", "attention", heads, asked, (chunk,), 4)


def printed(explanation, colour, parts=False):
    console = Console(
        file=io.StringIO(),
        force_terminal=colour,
        color_system="truecolor" if colour else None,
        width=200,
        soft_wrap=True,
    )
    for part in heat_map(explanation, colour, parts):
        console.print(part, highlight=False, emoji=False)
    return console.file.getvalue()


# -- the command -------------------------------------------------------------------------------------------------------


def test_json_is_what_the_engine_says(indexed, tmp_path):
    status, shown, errors = indexed("explain", QUESTION, "--document", "lamp.txt", "--full", "--json")
    assert status == 0, errors
    told = Explanation.from_dict(json.loads(shown))
    with open_engine(
        settings=Settings(data_dir=tmp_path / ".fovea", encoder=EncoderSettings(model="hashing"))
    ) as engine:
        assert told == engine.explain(QUESTION, document="lamp.txt", full=True)


def test_a_server_explains_as_the_engine_does(indexed, tmp_path):
    local = indexed("explain", QUESTION, "--document", "lamp.txt", "--json")[1]
    with open_engine(
        settings=Settings(data_dir=tmp_path / ".fovea", encoder=EncoderSettings(model="hashing"))
    ) as engine:
        with running(create_app(engine, FakeJobQueue())) as url:
            status, shown, errors = indexed("explain", QUESTION, "--document", "lamp.txt", "--json", "--url", url)
    assert status == 0, errors
    assert shown.endswith(local), "before it stands the server's log, which is in this process too"


def test_elsewhere_than_on_a_terminal_the_words_that_count_stand_between_stars(indexed):
    status, shown, errors = indexed("explain", "灯塔的电池多久更换一次？", "--document", "灯塔.md")
    assert status == 0, errors
    assert "\x1b" not in shown
    attended = next(line for line in shown.splitlines() if line.replace("**", "").endswith("电池每三年更换一次。"))
    assert "**" in attended
    told = json.loads(indexed("explain", "灯塔的电池多久更换一次？", "--document", "灯塔.md", "--json")[1])
    assert told["heads"] and all(name in shown for name in told["heads"])
    assert any(line.split()[:1] == ["塔"] for line in shown.splitlines()), "the question's tokens, with their coverage"


def test_the_full_map_says_under_each_sentence_what_its_score_adds_up_from(indexed):
    command = ("explain", "灯塔的电池多久更换一次？", "--document", "灯塔.md")
    plain, full = (indexed(*command, *more)[1].splitlines() for more in ((), ("--full",)))
    told = json.loads(indexed(*command, "--json")[1])
    sentences = [sentence for chunk in told["chunks"] for sentence in chunk["sentences"]]
    added = [line.strip() for line in full if line not in plain]
    assert "before it was mapped" in added[0]
    assert added[1:] == [sum_of(AttendedSentence.from_dict(sentence)) for sentence in sentences]
    assert len(sentences) > 1 and all("bias -" in line for line in added[1:])


def test_the_full_map_needs_no_weights_by_question_token(indexed, monkeypatch):
    monkeypatch.setattr("service.explaining._MAX_FULL_WEIGHTS", 1)
    command = ("explain", QUESTION, "--document", "lamp.txt", "--full")
    assert indexed(*command)[0] == 0
    status, _, errors = indexed(*command, "--json")
    assert status == 2 and "at most 1 are given" in errors


def test_the_page_is_written_beside_the_json_or_instead_of_the_map(indexed, tmp_path):
    command = ("explain", QUESTION, "--document", "lamp.txt", "--html", "map.html")
    status, shown, errors = indexed(*command)
    assert (status, shown) == (0, "")
    assert "map.html" in errors
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    status, shown, _ = indexed(*command, "--json")
    assert status == 0
    assert page == heat_page(Explanation.from_dict(json.loads(shown)))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("Who?",), "document"),
        (("Who?", "--document", "nonesuch.txt"), "'nonesuch.txt'"),
        (("Who?", "--document", "lamp.txt", "--collection", "none"), "'none'"),
        (("Who?", "--document", "lamp.txt", "--chunks", "0"), "chunks"),
        (("", "--document", "lamp.txt"), "empty"),
        (("Who?", "--document", "lamp.txt", "--html", "no/such/folder.html"), "folder.html"),
        (("Who?", "--document", "lamp.txt", "--html", "."), "cannot be written"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_sentence_on_stderr(indexed, arguments, named):
    status, shown, errors = indexed("explain", *arguments)
    assert (status, shown) == (2, "")
    assert named in errors and "Traceback" not in errors


def test_without_attention_the_command_says_what_to_set(indexed, monkeypatch):
    monkeypatch.setenv("FOVEA_RETRIEVAL__RERANKER", "none")
    status, shown, errors = indexed("explain", "Who?", "--document", "lamp.txt", "--json")
    assert (status, shown) == (2, "")
    assert "Attention is off" in errors and "FOVEA_RETRIEVAL__RERANKER" in errors


# -- the map in a terminal ---------------------------------------------------------------------------------------------


def test_on_a_terminal_tokens_are_shaded_by_the_head_that_attends_most():
    text = "alpha beta gamma"
    shown = printed(small(text, (0, 5, (0.8, 0.0)), (6, 10, (0.0, 0.2)), (11, 16, (0.01, 0.0))), colour=True)
    line = next(line for line in shown.splitlines() if "alpha" in line)
    assert "\x1b[30;48;2;230;159;0malpha\x1b[0m" in line  # all of the first head's colour
    assert "\x1b[30;48;2;86;180;233mbeta\x1b[0m" in line  # each head has its own scale
    assert line.endswith(" gamma"), "what a head hardly looks at is not shaded"


def test_neighbours_share_a_pair_of_stars():
    text = "alpha beta, gamma"
    shown = printed(small(text, (0, 5, (1.0, 0.0)), (6, 10, (0.5, 0.0)), (12, 17, (0.4, 0.0))), colour=False)
    assert "  **alpha beta**, gamma" in shown


@pytest.mark.parametrize("colour", [False, True])
def test_the_map_names_question_place_heads_and_scores(colour):
    shown = printed(small("alpha", (0, 5, (0.5, 0.5))), colour)
    assert "Who?" in shown and "Note: the best 1 of 4 chunks" in shown
    assert "first" in shown and "second" in shown
    assert "Part / page 3, characters 100 to 105" in shown
    assert "█████░░░░░ 0.50  50.0%  " in shown


@pytest.mark.parametrize("colour", [False, True])
def test_no_escape_sequence_and_no_markup_of_a_document_reaches_the_terminal(colour):
    text = "\x1b[2J[red]alpha[/] \\[/] \x9b31m"
    shown = printed(replace(small(text, (9, 14, (1.0, 0.0))), question="\x1b]0;x\x07[bold]Who?"), colour)
    assert "\x1b[2J" not in shown and "\x9b" not in shown and "\x1b]" not in shown and "\x07" not in shown
    assert "[2J[red]" in shown and "[/] \\[/] 31m" in shown
    assert "[bold]Who?" in shown


@pytest.mark.parametrize("colour", [False, True])
def test_parts_stand_under_their_sentence_only_where_they_are_asked_for_and_known(colour):
    parts = {"sentence": 3.25, "network": 0.0, "\x1b[2Jword": -0.5, "bias": -4.0}
    known = small("alpha", (0, 5, (0.5, 0.5)), parts=parts)
    shown = printed(known, colour, parts=True)
    assert "0.25, log-odds -1.25 = sentence +3.25  [2Jword -0.50  bias -4.00" in shown and "\x1b[2J" not in shown
    assert "bias" not in printed(known, colour)
    assert " = " not in printed(small("alpha", (0, 5, (0.5, 0.5))), colour, parts=True)


def test_a_document_that_nothing_looks_at_stays_pale():
    explanation = small("alpha beta", (0, 5, (0.001, 0.0)), (6, 10, (0.0, 0.004)))
    assert scales(explanation) == (0.1, 0.1)
    assert "**" not in printed(explanation, colour=False).split("characters")[1]


def test_a_chunk_without_tokens_is_shown_plainly():
    assert printed(small("alpha beta"), colour=True).rstrip().endswith("alpha beta")


@pytest.mark.parametrize(
    ("weights", "scale", "seen"),
    [((0.1, 0.4), (0.2, 1.6), (0, 0.5)), ((0.0, 1.6), (0.2, 1.6), (1, 1.0)), ((0.001, 0.0), (0.1, 0.1), (0, 0.0))],
)
def test_a_shade_is_the_strongest_heads_share_of_its_scale(weights, scale, seen):
    assert shade(weights, scale) == seen


@pytest.mark.parametrize(("score", "blocks"), [(-1.0, 0), (0.0, 0), (0.5, 5), (1.0, 10), (1.5, 10)])
def test_a_bar_has_ten_places(score, blocks):
    assert (len(bar(score)), bar(score).count("█")) == (10, blocks)


offsets = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(sorted)


@given(st.text(min_size=1, max_size=12), st.lists(offsets, max_size=8), offsets)
def test_the_pieces_of_a_sentence_are_its_text_whatever_the_tokens(text, tokens, sentence):
    """Also with tokens that overlap, are empty, or reach beyond the sentence, as some tokenizers make them."""
    start, end = (min(at, len(text)) for at in sentence)
    made = [(min(a, len(text)), min(b, len(text)), (0.1, 0.1)) for a, b in sorted(tokens)]
    (chunk,) = small(text, *made, sentences=[(start, end)]).chunks
    found = list(pieces(chunk, chunk.sentences[0]))
    assert "".join(piece.text for piece in found) == text[start:end]
    assert all(piece.text for piece in found)
    assert all(piece.text in piece.token.text for piece in found if piece.token)


# -- the page ----------------------------------------------------------------------------------------------------------


class Seen(HTMLParser):
    """The elements of a page, its text by element, and every attribute."""

    VOID = ("meta", "br", "hr", "img", "link", "input")

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.attributes, self.texts = [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        self.attributes += attributes
        if tag not in self.VOID:
            self.open.append((tag, dict(attributes).get("class")))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag, "elements close in the order in which they opened"

    def handle_data(self, data):
        self.texts.append((list(self.open), data))

    def text_of(self, tag, kind=None):
        return "".join(data for inside, data in self.texts if (tag, kind) in inside)


def test_what_documents_and_questions_say_is_text_on_the_page(explanation):
    seen = Seen(heat_page(explanation))
    assert seen.open == []
    assert "script" not in seen.elements
    # <b> and <i> are those of the bars: one pair a sentence and head.
    bars = len(explanation.heads) * sum(len(chunk.sentences) for chunk in explanation.chunks)
    assert seen.elements.count("b") == seen.elements.count("i") == bars
    assert seen.elements.count("title") == 1
    assert seen.text_of("h1") == QUESTION
    assert seen.text_of("div", "sentence").count(HOSTILE) == len(explanation.heads)
    assert "<title>" in seen.text_of("p", "note")


def test_the_page_runs_nothing_and_loads_nothing(explanation):
    seen = Seen(heat_page(explanation))
    assert {name for name, _ in seen.attributes} <= {
        "charset", "http-equiv", "content", "name", "href", "class", "id", "style", "title", "scope",
    }  # fmt: skip
    assert all(value.startswith("#") for name, value in seen.attributes if name == "href")
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in seen.attributes
    page = heat_page(explanation)
    assert "url(" not in page and "@import" not in page and "http:" not in page and "https:" not in page


def test_each_head_has_its_own_map_with_its_own_scale():
    explanation = small("alpha beta", (0, 5, (2.0, 0.0)), (6, 10, (1.0, 0.3)), heads=("first", "<second>"))
    first, second = heat_page(explanation).split("<section")[1:]
    assert '<span class="token" style="--heat:1.00" title="2.0">alpha</span>' in first
    assert '<span class="token" style="--heat:0.50" title="1.0">beta</span>' in first
    assert "alpha <span" in second
    assert '<span class="token" style="--heat:1.00" title="0.3">beta</span>' in second
    assert "&lt;second&gt;" in second and "<second>" not in second


def test_with_the_matrix_each_map_has_a_table_of_the_sentence_that_its_head_attends_to_most():
    explanation = small("alpha. beta.", (0, 5, (0.4, 0.1)), (7, 11, (0.1, 0.2)), sentences=((0, 6), (7, 12)))
    (chunk,) = explanation.chunks
    alpha, beta = chunk.sentences
    chunk = replace(
        chunk,
        sentences=(replace(alpha, weights=(0.4, 0.1)), replace(beta, weights=(0.1, 0.2))),
        matrix=(((0.4, 0.1),), ((0.1, 0.2),)),
    )
    first, second = heat_page(replace(explanation, chunks=(chunk,))).split("<section")[1:]
    assert '<th scope="col">alpha</th>' in first and '<th scope="col">beta</th>' not in first
    assert '<th scope="col">beta</th>' in second and '<th scope="col">alpha</th>' not in second
    assert '<tr><th scope="row">Who</th><td style="--heat:1.00" title="0.4"></td></tr>' in first
    assert "<table" not in heat_page(explanation)


def test_the_page_ends_with_what_the_scores_add_up_from():
    parts = {"<sentence>": 3.0, "network": 0.0, "bias": -4.0}
    page = heat_page(small("alpha & beta", (0, 5, (0.4, 0.1)), parts=parts))
    table = page.split('<section id="parts">')[1]
    titles = ("score", "raw score", "log-odds", "&lt;sentence&gt;", "network", "bias", "")
    assert "".join(f'<th scope="col">{name}</th>' for name in titles) in table
    assert '<td class="sum">0.50</td><td class="sum">0.25</td><td class="sum">-1.00</td>' in table
    assert '<td style="--hue:86 180 233;--heat:0.75">+3.00</td>' in table
    assert '<td style="--hue:213 94 0;--heat:1.00">-4.00</td>' in table
    assert '<td class="text">alpha &amp; beta</td>' in table
    assert Seen(page).open == []
    assert 'id="parts"' not in heat_page(small("alpha", (0, 5, (0.4, 0.1))))


def test_a_page_whose_parts_are_all_nothing_shades_none():
    page = heat_page(small("alpha", (0, 5, (0.4, 0.1)), parts={"sentence": 0.0}))
    assert ';--heat:0">+0.00</td>' in page


def test_the_page_keeps_the_characters_between_the_tokens_of_the_question(explanation):
    seen = Seen(heat_page(explanation))
    assert seen.text_of("section", None).count(QUESTION) == len(explanation.heads)
