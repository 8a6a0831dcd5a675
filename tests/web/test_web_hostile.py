"""What an attacker has a model write, or names a file, stays text in every page: no script, no request to elsewhere."""

from __future__ import annotations

import asyncio

import pytest
from fastapi import FastAPI
from playwright.sync_api import expect

from domain.errors import GeneratorTimeout
from service.api.app import create_app
from service.api.routes.pages import install_pages
from service.cli.heat_page import heat_page
from tests.security.hostile_markup import EVIL, PWNED, payloads
from tests.security.obedient import CANARIES, poisoned_engine, question
from tests.service.api_fakes import LEASE, FakeEngine, FakeJobQueue, local_client
from tests.service.http_server import running
from tests.web.browser import Window

expect.set_options(timeout=20_000)

ANSWERS = [text.replace("{prompt}", "secret").replace("{PROMPT}", "SECRET") for text in payloads()]
AT_ONCE = 40  # payloads in one answer: none is parsed, so none can hide another
NAMES = ["".join(text.split("\n"))[:180] for text in ANSWERS[::3]]


@pytest.fixture
def engine():
    return FakeEngine({"lease.txt": LEASE})


def is_only_text(page, within):
    """Whether all elements inside `within` are those of the page's own making, and nothing ran."""
    made = page.locator(f"{within} *").evaluate_all("all => [...new Set(all.map((one) => one.tagName))]")
    linked = page.locator(f"{within} a, {within} [src], {within} [href]").count()
    return (
        set(made) <= {"BUTTON", "P", "Q", "UL", "LI", "SPAN", "DIV", "MARK", "HEADER", "H2"}
        and not linked
        and PWNED not in page.title()
    )


def check_answers(window, engine, texts):
    engine.parts = [part for text in texts for part in (text[: len(text) // 2], text[len(text) // 2 :], "\n\n")]
    shown = window.ask("q").locator(".text")
    assert window.page.locator("li.answer .error").count() == 0
    for text in texts:
        start = text.strip()[:12]
        assert "\n" in start or "[" in start or start in shown.text_content(), start
    assert is_only_text(window.page, "li.answer:last-child .text")
    window.page.click("#new-chat")


def test_l2_answers_of_every_family_are_text(window, engine):
    assert len(ANSWERS) >= 200
    for first in range(0, len(ANSWERS), AT_ONCE):
        check_answers(window, engine, ANSWERS[first : first + AT_ONCE])


@pytest.mark.nightly
@pytest.mark.timeout(1_800)
def test_l2_every_answer_alone_is_text(window, engine):
    for text in ANSWERS:
        check_answers(window, engine, [text])


def obey(browser, tmp_path, orders):
    with poisoned_engine(tmp_path) as (engine, model), running(create_app(engine, FakeJobQueue())) as url:
        window = Window(browser, url)
        for order in orders:
            answer = window.ask(question(order))
            assert model.obeyed[-1] == order
            assert is_only_text(window.page, "li.answer:last-child .text")
            body = answer.text_content()
            assert [canary for canary in CANARIES if canary in body] == []
            window.page.click("#new-chat")
        window.context.close()
    assert window.complaints == []


def test_l1_a_model_that_obeys_the_attacker_reaches_nothing_from_the_page(browser, tmp_path):
    obey(browser, tmp_path, range(0, len(ANSWERS), 25))


@pytest.mark.nightly
@pytest.mark.timeout(1_800)
def test_l1_no_order_of_three_hundred_reaches_anything_from_the_page(browser, tmp_path):
    obey(browser, tmp_path, range(len(ANSWERS)))


def test_l3_hostile_names_are_text_in_the_list_in_the_chips_and_in_the_source(window, engine):
    assert len(NAMES) >= 100
    engine.documents.clear()
    for number, name in enumerate(NAMES):
        engine.ingest_text(LEASE, title=name, source=f"{number} {name}")
    window.page.reload()
    rows = window.page.locator("#document-list li")
    expect(rows).not_to_have_count(0)
    while window.page.locator("#more-documents").is_visible():
        before = rows.count()
        window.page.click("#more-documents")
        expect(rows).not_to_have_count(before)
    assert rows.count() == len(NAMES)
    assert is_only_text(window.page, "#document-list")
    for number in (0, 50, 100):
        rows.nth(number).locator("button.link").click()
        expect(window.page.locator("#source")).to_be_visible()
        assert is_only_text(window.page, "#source")
    window.ask("q").locator("button.chip").first.click()
    window.page.wait_for_selector("#source mark")
    assert is_only_text(window.page, "#source")
    assert window.page.locator("li.answer .bill").evaluate("one => !one.querySelector('img, script, svg, a, iframe')")


def test_l3_hostile_errors_and_model_names_are_text(window, engine):
    engine.model = ANSWERS[4]
    for text in ANSWERS[::30]:
        engine.late_error = GeneratorTimeout(text)
        window.ask("q")
        assert is_only_text(window.page, "li.answer:last-child")
        window.page.click("#new-chat")
    engine.late_error = None
    window.ask("q")
    assert window.page.locator("#model *").count() == 0


def test_l3_a_hostile_upload_that_fails_is_named_as_text(window):
    drop = """(names) => {
        const transfer = new DataTransfer();
        for (const name of names) transfer.items.add(new File(["BAD bytes"], name));
        document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true}));
    }"""
    names = NAMES[:6]
    window.page.evaluate(drop, names)
    expect(window.page.locator('#uploads li[data-state="failed"]')).to_have_count(len(names))
    assert is_only_text(window.page, "#uploads")


def test_l3_a_heat_map_of_hostile_text_runs_and_loads_nothing(browser):
    context = browser.new_context()
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for number in range(0, len(ANSWERS), 30):
        engine = FakeEngine({ANSWERS[number][:100]: "\n".join(ANSWERS[number : number + 30])})
        (identity,) = engine.documents
        page.set_content(heat_page(engine.explain(ANSWERS[number], document=identity, full=True)))
        assert page.locator("script, img, svg, iframe, object, form, link, body a:not([href^='#'])").count() == 0
        assert page.title() != PWNED and page.evaluate("document.title") != PWNED
    context.close()
    assert [url for url in asked if EVIL in url] == []


# -- L4: policies

PAGES = (
    "/",
    "/docs",
    "/widget/pub0123456789ab",
    "/favicon.ico",
    "/static/chat.js",
    "/static/conversation.js",
    "/static/widget.js",
    "/static/style.css",
)


@pytest.mark.parametrize(
    "path", [*PAGES, "/nowhere", "/static/nowhere.html", "/static/", "/widget/", "/widget/x%3Cscript%3E"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_l4_whatever_a_browser_could_draw_carries_the_policy(client, method, path):
    reply = client.request(method, path)
    assert reply.headers["x-content-type-options"] == "nosniff"
    kind = reply.headers.get("content-type", "")
    if reply.status_code == 200:
        policy = reply.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ") and "frame-ancestors 'none'" in policy
        assert "require-trusted-types-for 'script'" in policy and "unsafe" not in policy and "*" not in policy
    else:
        assert kind.startswith("application/problem+json") or not reply.content, "no page is made of an error"
        assert "<script>" not in reply.text


@pytest.fixture
def client(engine):
    return local_client(engine)


def test_l4_every_page_of_the_application_is_looked_at_above():
    """A new page must be added to PAGES."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    install_pages(app)
    (pages,) = (route.original_router for route in app.routes if hasattr(route, "original_router"))
    assert {route.path for route in pages.routes} == {"/", "/docs", "/widget/{key_id}", "/favicon.ico"}
    assert [route.path for route in app.routes if hasattr(route, "path")] == ["/static"]


def test_l4_no_other_sites_page_can_hold_ours_in_a_frame(browser, engine):
    with (
        running(create_app(engine, FakeJobQueue())) as url,
        running(holder(f'<iframe src="{url}/"></iframe>')) as other,
    ):
        page = browser.new_context().new_page()
        refused = []
        page.on("console", lambda line: refused.append(line.text))
        page.goto(other)
        page.wait_for_timeout(300)
        assert any("frame-ancestors" in line for line in refused)
        assert all("chat" not in frame.title().lower() for frame in page.frames)
        page.context.close()


def holder(body):
    """Another site: one page with this body."""

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": message["type"] + ".complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        await asyncio.sleep(0)
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": f"<!doctype html><title>Shop</title>{body}".encode()})

    return app
