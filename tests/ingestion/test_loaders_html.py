"""HTML: main content in, boilerplate and hidden text out."""

import pytest

from domain.documents import BlockKind, LoadedDocument
from domain.errors import LoadError
from ingestion.loaders.html import HtmlLoader

ARTICLE = "".join(
    f"<p>Paragraph {i} tells at some length what the company spent on property, plant and equipment that year.</p>"
    for i in range(8)
)
PAGE = f"""<!doctype html><html><head><title>Annual report</title><meta name="author" content="Ann Author"></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/about">About us</a></li></ul></nav>
<main><article><h1>Capital expenditure</h1>{ARTICLE}<h2>Figures</h2>
<table><tr><th>Year</th><th>Capex</th></tr><tr><td>2018</td><td>1,577</td></tr><tr><td>2017</td><td>1,373</td></tr></table>
<ul><li>first point of the list</li><li>second point of the list</li></ul>
<pre><code>x = 1
y = 2</code></pre></article></main>
<footer>Copyright, imprint, cookies</footer></body></html>"""


def load(html: str | bytes) -> LoadedDocument:
    return HtmlLoader().load(html if isinstance(html, bytes) else html.encode(), "page.html")


def kinds(document: LoadedDocument) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for block in document.blocks:
        found.setdefault(block.kind.value, []).append(block.span.of(document.text))
    return found


def test_the_main_content_is_kept_with_its_structure() -> None:
    document = load(PAGE)
    found = kinds(document)
    assert document.title == "Annual report"
    assert document.metadata["author"] == "Ann Author"
    assert found["heading"] == ["Capital expenditure", "Figures"]
    assert found["table"] == ["Year | Capex\n2018 | 1,577\n2017 | 1,373"]
    assert found["list_item"] == ["- first point of the list", "- second point of the list"]
    assert found["code"] == ["x = 1\ny = 2"]
    assert len(found["paragraph"]) == 8


def test_navigation_and_footer_are_dropped() -> None:
    text = load(PAGE).text
    assert "About us" not in text and "cookies" not in text


def test_the_first_row_of_a_table_is_its_header() -> None:
    document = load(PAGE)
    table = next(block for block in document.blocks if block.kind is BlockKind.TABLE)
    assert table.header is not None and table.header.of(document.text) == "Year | Capex"


@pytest.mark.parametrize(
    "hidden",
    [
        "<p style='display:none'>EVIL</p>",
        "<p style='DISPLAY : NONE !important'>EVIL</p>",
        "<p style='visibility:hidden'>EVIL</p>",
        "<p style='font-size:0'>EVIL</p>",
        "<p style='font-size:0pt;color:red'>EVIL</p>",
        "<p style='font-size: 0.0em'>EVIL</p>",
        "<p style='opacity:0'>EVIL</p>",
        "<p style='position:absolute;left:-9999px'>EVIL</p>",
        "<p hidden>EVIL</p>",
        "<div hidden=hidden><div><p>EVIL</p></div></div>",
        "<!-- EVIL -->",
        "<script>EVIL</script>",
        "<noscript>EVIL</noscript>",
        "<template><p>EVIL</p></template>",
        "<style>EVIL{}</style>",
        "<svg><text>EVIL</text></svg>",
        "<input value=EVIL>",
        "<img alt=EVIL src=x>",
        "<meta name=x content=EVIL>",
    ],
)
@pytest.mark.parametrize("page", ["<html><body><p>short</p>{}</body></html>", PAGE.replace("<h2>", "{}<h2>")])
def test_what_a_reader_cannot_see_is_not_read(hidden: str, page: str) -> None:
    text = load(page.replace("{}", hidden)).text
    assert "EVIL" not in text
    assert "short" in text or "Paragraph 7" in text


@pytest.mark.parametrize("style", ["font-size:10px", "opacity:0.9", "font-size:0.9em", "display:block", "left:-5px"])
def test_ordinary_styles_do_not_hide_text(style: str) -> None:
    assert "seen" in load(f"<html><body><p style='{style}'>seen</p></body></html>").text


def test_white_text_is_reported() -> None:
    assert "white" in load("<html><body><p>a</p><p style='color:#ffffff'>b</p></body></html>").warnings[0]
    assert load("<html><body><p style='color:white;background:black'>b</p></body></html>").warnings == ()


def test_a_page_that_is_only_a_table_is_read_whole() -> None:
    document = load("<table><tr><th>Stadt</th><th>Einwohner</th></tr><tr><td>Ulm</td><td>126.000</td></tr></table>")
    assert document.text == "Stadt | Einwohner\nUlm | 126.000"


def test_numbered_lists_keep_their_numbers() -> None:
    document = load("<html><body><ol><li>one</li><li>two</li></ol>x</body></html>")
    assert "1. one\n2. two" in document.text


def test_i9_ten_thousand_nested_elements_are_read() -> None:
    document = load("<html><body>" + "<div>" * 10_000 + "deep" + "</div>" * 10_000 + "<p>after</p></body></html>")
    assert "after" in document.text


def test_a_declared_encoding_is_used() -> None:
    html = '<html><head><meta charset="gb2312"><title>年报</title></head><body><p>资本支出</p></body></html>'
    document = load(html.encode("gb2312"))
    assert (document.title, document.text) == ("年报", "资本支出")


def test_a_page_without_visible_text_says_what_to_do() -> None:
    with pytest.raises(LoadError, match="Save the rendered page") as caught:
        load("<html><body><div id=app></div><script>render()</script></body></html>")
    assert caught.value.code == "no_text"


def test_a_table_around_tables_is_layout_and_nothing_is_read_twice() -> None:
    inner = "<table><tr><th>Year</th><th>Capex</th></tr><tr><td>2018</td><td>1,577</td></tr></table>"
    document = load(f"<html><body><table><tr><td>Menu</td><td>{inner}</td></tr></table></body></html>")
    assert document.text.count("1,577") == 1


def test_i9_twenty_thousand_open_tables_are_read_in_time() -> None:
    assert "x" in load("<html><body>" + "<table><tr><td>x" * 20_000).text
