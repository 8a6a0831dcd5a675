"""The widget in a page of another site: asked with a publishable key, shown in that site's pages alone."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from playwright.sync_api import expect

from tests.security.hostile_markup import PWNED, payloads
from tests.security.tenancy_server import installation, key_id
from tests.service.http_server import running
from tests.web.test_web_hostile import holder

expect.set_options(timeout=20_000)
FAQ = "Parcels arrive within three working days."
QUESTION = "How many days do parcels take to arrive?"
# As strict as a shop's own policy may be: the widget needs two sources, no inline styles and no evaluated code.
SHOP_POLICY = (
    "default-src 'none'; script-src {url} 'unsafe-inline'; frame-src {url}; require-trusted-types-for 'script'"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("widget")) as place:
        engine = place.server.tenants.engine_of("shop")
        engine.ingest_text(FAQ, title="FAQ <img src=x>", source="faq", collection="faq")
        with running(place.app) as url:
            place.url = url
            yield place


@contextmanager
def shop(place, key=None, more="", origins=None, body="", collection="faq"):
    """A shop's page that includes the widget; gives (url, key)."""
    page = []

    async def app(scope, receive, send):
        await (page[0] if page else holder(""))(scope, receive, send)

    with running(app) as url:
        origin = url.replace("127.0.0.1", "localhost")
        opened = {"collections": frozenset({collection}), "origins": origins or (origin,), "publishable": True}
        key = key or place.key("shop", **opened)
        policy = SHOP_POLICY.format(url=place.url)
        page.append(
            holder(
                f'<meta http-equiv="Content-Security-Policy" content="{policy}">{body}'
                f'<script src="{place.url}/static/widget.js" data-key="{key}" {more} async></script>'
            )
        )
        yield origin, key


class Visit:
    """A visitor's browser on a shop's page; complaints are violations of policies and script errors."""

    def __init__(self, browser, url, locale="en-US"):
        self.context = browser.new_context(locale=locale, viewport={"width": 1000, "height": 800})
        self.page = self.context.new_page()
        self.complaints, self.asked = [], []
        self.page.on("console", lambda line: line.type in ("error", "warning") and self.complaints.append(line.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.set_default_timeout(20_000)
        self.page.goto(url)
        self.page.wait_for_load_state("load")  # an async script is part of it

    def open(self):
        self.page.evaluate("window.fovea.open()")
        for _ in range(100):
            found = [frame for frame in self.page.frames if "/widget/" in frame.url]
            if found:
                expect(found[0].locator("#send")).not_to_be_empty()  # its script has written the words
                return found[0]
            self.page.wait_for_timeout(50)
        raise AssertionError("the widget's frame did not appear")

    def ask(self, frame, question):
        frame.fill("#question", question)
        frame.press("#question", "Enter")
        frame.wait_for_selector("li.answer .chip, li.answer .error, li.answer .note")
        frame.wait_for_selector("#send:not([hidden])")
        return frame.locator("li.answer").last


def test_a_shops_visitor_asks_and_sees_the_sentence_behind_the_answer(browser, place):
    with shop(place) as (url, key):
        visit = Visit(browser, url)
        assert not [asked for asked in visit.asked if "/widget/" in asked], "nothing is loaded before it is wanted"
        frame = visit.open()
        answer = visit.ask(frame, QUESTION)
        assert "three working days" in answer.locator(".text").inner_text()
        answer.locator("button.chip").first.click()
        expect(answer.locator(".sources q")).to_have_text(FAQ)
        assert answer.locator(".sources p").inner_text() == "FAQ <img src=x>"
        assert visit.complaints == []
        assert {asked.split("/")[2] for asked in visit.asked} <= {url.split("/")[2], place.url.split("/")[2]}
        assert not [asked for asked in visit.asked if key in asked.split("#")[0]], "the key stands in no address"
        visit.context.close()


def test_the_widget_speaks_the_pages_language_and_can_be_used_by_keyboard(browser, place):
    with shop(place, more='data-language="zh" data-title="帮助"') as (url, _):
        visit = Visit(browser, url)
        visit.page.keyboard.press("Tab")
        visit.page.keyboard.press("Enter")
        frame = visit.open()
        assert frame.locator("html").get_attribute("lang") == "zh-CN"
        assert frame.locator("#title").inner_text() == "帮助"
        assert frame.locator("#send").inner_text() == "提问"
        assert frame.locator("#close").get_attribute("aria-label") == "关闭对话"
        expect(frame.locator("#question")).to_be_focused()
        frame.press("#question", "Escape")
        # The button is behind a closed shadow root: from outside, its host has the focus.
        expect(visit.page.locator("div:focus")).to_have_count(1)
        visit.context.close()
        assert visit.complaints == []


def test_l4_the_frame_names_the_keys_pages_and_no_others(place):
    key = place.key("shop", collections=frozenset({"faq"}), origins=("https://shop.example.org",), publishable=True)
    reply = place.client().get(f"/widget/{key_id(key)}")
    assert reply.status_code == 200
    assert "frame-ancestors https://shop.example.org;" in reply.headers["content-security-policy"]
    assert key not in reply.text and "private" not in reply.text


@pytest.mark.parametrize("which", ["unknown", "server", "revoked", "whole key", "nothing"])
def test_l4_there_is_no_widget_for_another_key(place, which):
    publishable = {"collections": frozenset({"faq"}), "origins": ("https://shop.example.org",), "publishable": True}
    if which == "revoked":
        identity = key_id(place.key("shop", **publishable))
        place.store.revoke(identity)
    elif which == "server":
        identity = key_id(place.key("shop", "read"))
    else:
        whole = place.key("shop", **publishable)
        identity = {"unknown": "pub" + "0" * 12, "whole key": whole, "nothing": ""}[which]
    reply = place.client().get(f"/widget/{identity}")
    assert (reply.status_code, reply.headers["content-type"]) == (404, "application/problem+json")


def test_l4_a_page_that_the_key_does_not_name_cannot_show_the_widget(browser, place):
    with shop(place, origins=("https://shop.example.org",)) as (url, _):
        visit = Visit(browser, url)
        visit.page.evaluate("window.fovea.open()")
        visit.page.wait_for_timeout(400)
        assert any("frame-ancestors" in line for line in visit.complaints)
        visit.context.close()


def test_l4_messages_of_other_windows_and_origins_are_not_heard(browser, place):
    with shop(place, body="<iframe name=ad></iframe>") as (url, _):
        visit = Visit(browser, url)
        frame = visit.open()
        shown = "[...document.body.children].filter((one) => one.shadowRoot === null).length"
        visit.page.evaluate(f"window.postMessage({{fovea: 'close'}}, '*'); {shown}")
        visit.page.frames[1].evaluate("parent.postMessage({fovea: 'close'}, '*')")
        visit.page.wait_for_timeout(200)
        expect(frame.locator("#question")).to_be_visible()
        frame.fill("#question", "kept")
        frame.evaluate("window.postMessage({fovea: 'open'}, '*')")
        assert frame.input_value("#question") == "kept"
        visit.context.close()


def test_a_server_key_put_into_a_page_by_mistake_is_refused_with_a_word_in_the_console(browser, place):
    with shop(place, key=place.key("shop", "read")) as (url, _):
        visit = Visit(browser, url)
        visit.page.wait_for_timeout(300)
        assert not visit.page.evaluate("'fovea' in window")
        assert any("publishable key" in line for line in visit.complaints)
        visit.context.close()


def test_l3_names_and_texts_in_the_widget_are_text(browser, place):
    engine = place.server.tenants.engine_of("shop")
    hostile = [text for text in payloads()[::18] if "{" not in text]
    for number, text in enumerate(hostile):
        engine.ingest_text(
            f"Item {number} weighs {number} grams. {text}", title=text[:90], source=f"i{number}", collection="hostile"
        )
    with shop(place, collection="hostile") as (url, _):
        visit = Visit(browser, url)
        frame = visit.open()
        for number in range(0, len(hostile), 4):
            answer = visit.ask(frame, f"How many grams does item {number} weigh?")
            for chip in answer.locator("button.chip").all():
                chip.click()
            made = set(answer.locator("*").evaluate_all("all => all.map((one) => one.tagName)"))
            assert made <= {"DIV", "BUTTON", "P", "Q"}
            assert PWNED not in visit.page.title() and PWNED not in frame.title()
        assert visit.complaints == []
        visit.context.close()
