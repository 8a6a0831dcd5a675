"""HTML: the main content of a page, without navigation, advertising and whatever a reader cannot see.

Three steps: remove what is hidden, let trafilatura find the main content, walk its tree into blocks. Where
trafilatura finds nothing or next to nothing (a page that is one table, a fragment), the whole visible body is walked
instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from domain.documents import BlockKind, LoadedDocument
from domain.errors import LoadError
from ingestion.encoding import decode
from ingestion.loaders.assembly import TextAssembler, join_cells, title_from_name

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

_META_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{2,40})""", re.IGNORECASE)
_HIDDEN_STYLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|"
    r"font-size\s*:\s*(?:0*\.?0+(?:px|pt|em|rem|%)?|0*1(?:\.0+)?p[xt])\s*(?:;|!|$)"
    r"|opacity\s*:\s*0*\.?0+\s*(?:;|!|$)|(?:left|top|text-indent)\s*:\s*-\d{4,}"
    r"|(?<![-\w])color\s*:\s*(?:transparent|rgba\([^)]{0,80},\s*0*\.?0+\s*\))"
    r"|clip\s*:\s*rect\(\s*[01](?:px)?[\s,]+[01](?:px)?[\s,]+[01]|clip-path\s*:\s*inset\(\s*(?:50|100)%",
    re.IGNORECASE,
)
_WHITE_TEXT = re.compile(
    r"(?<![-\w])color\s*:\s*(?:#fff(?:fff)?\b|white\b|rgb\(\s*255\s*,\s*255\s*,\s*255)", re.IGNORECASE
)
_WHITE_VALUE = re.compile(r"\s*(?:#?fff(?:fff)?|white)\s*", re.IGNORECASE)
_STYLE_RULE = re.compile(r"([^{}]{1,300})\{([^{}]{1,2000})\}")
_PRINT_RULES = re.compile(r"@media[^{]{0,100}\bprint\b[^{]{0,100}\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", re.IGNORECASE)
_MAX_STYLE = 100_000  # characters of a page's own style rules that are looked at, and as many rules as take no time
_MAX_RULES = 200
_NEVER_SHOWN = "script, style, template, noscript, iframe, object, embed, svg, canvas, head link, [hidden], input"
_MIN_SHARE = 0.1  # a main content below a tenth of the body was not the main content
_MAX_EXTRACTED = 5_000_000  # characters; beyond it the search for the main content costs minutes
_MAX_TAGS = 40_000  # trafilatura's time grows faster than the number of elements
_MAX_OPEN = 25_000
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,20})")
_CLOSED_BY_THE_NEXT = frozenset(
    "area base br col dd dt embed hr img input li link meta option p param source tbody td tfoot th thead tr track "
    "wbr".split()
)
_MAX_DEPTH = 500  # elements inside each other, as browsers allow

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = frozenset(
    "address article aside blockquote body center dd details dialog div dl dt fieldset figcaption figure footer form "
    "header hgroup hr html legend main menu nav ol p search section summary ul br table tr td th".split()
)


class HtmlLoader:
    """Web pages, with headings, lists, tables and code as blocks."""

    extensions: tuple[str, ...] = (".html", ".htm", ".xhtml", ".shtml")
    media_types: tuple[str, ...] = ("text/html", "application/xhtml+xml")

    def load(self, data: bytes, name: str) -> LoadedDocument:
        declared = _META_CHARSET.search(data[:4096])
        decoded = decode(data, hint=declared.group(1).decode("ascii") if declared else None)
        tree, warnings = visible_tree(decoded.text)
        title = _title(tree)
        assembler = TextAssembler()
        if not add_main_content(assembler, tree):
            raise LoadError(
                "The page has no visible text; it may be drawn by a script. Save the rendered page or print it to PDF.",
                code="no_text",
            )
        return assembler.document(
            title or title_from_name(name), "text/html", _metadata(tree), (*decoded.warnings, *warnings)
        )


def _check_nesting(html: str) -> None:
    """Refuse a page of so many open elements that the parser, whose time grows with their square, would not end."""
    if html.count("<") <= _MAX_OPEN:
        return
    is_open = 0
    for match in _TAG.finditer(html):
        if match.group(2).lower() not in _CLOSED_BY_THE_NEXT:
            is_open = max(0, is_open + (-1 if match.group(1) else 1))
            if is_open > _MAX_OPEN:
                raise LoadError(
                    f"The page nests more than {_MAX_OPEN:,} elements and is damaged; open it in a browser and save "
                    "its text."
                )


def visible_tree(html: str) -> tuple[LexborHTMLParser, tuple[str, ...]]:
    """Parse a page and take out what is not shown; warn where text is white and may be meant to be overlooked."""
    from selectolax.lexbor import LexborHTMLParser

    _check_nesting(html)
    tree = LexborHTMLParser(html.replace("\x00", ""))
    warnings = [_BY_STYLE_RULE] if _hides_by_rule(tree) else []
    for node in tree.css(_NEVER_SHOWN):
        node.decompose()
    white = any(_WHITE_VALUE.fullmatch(node.attributes.get("color") or "") for node in tree.css("font[color]"))
    for node in tree.css("[style]"):
        style = node.attributes.get("style") or ""
        if _HIDDEN_STYLE.search(style):
            node.decompose()
        elif _WHITE_TEXT.search(style) and "background" not in style.lower():
            white = True
    if white:
        warnings.append("The page holds white text without a background of its own; it may be hidden text.")
    return tree, tuple(warnings)


_BY_STYLE_RULE = (
    "The page's style rules hide some of its text, which was read all the same: scripts may show it, or nobody sees it."
)


def _hides_by_rule(tree: LexborHTMLParser) -> bool:
    """Whether a rule of the page's own style sheets, not meant for print, hides elements that hold text."""
    sheets = "".join(node.text(deep=True) for node in tree.css("style"))[:_MAX_STYLE]
    for selector, style in _STYLE_RULE.findall(_PRINT_RULES.sub("", sheets))[:_MAX_RULES]:
        if not _HIDDEN_STYLE.search(style):
            continue
        try:
            hidden = tree.css(selector.strip())
        except ValueError:  # a selector that the parser does not know
            continue
        if any(node.tag not in ("script", "style", "head") and node.text(deep=True).strip() for node in hidden[:50]):
            return True
    return False


def add_main_content(assembler: TextAssembler, tree: LexborHTMLParser) -> bool:
    """Add the main content of a page as blocks; False when nothing was found."""
    body = tree.body
    if body is None:
        return False
    visible = len("".join(body.text(deep=True).split()))
    html = tree.html or ""
    fits = 0 < visible <= _MAX_EXTRACTED and html.count("<") <= _MAX_TAGS
    main = _main_content(html) if fits else None
    if main is not None and _is_better(main, body, visible):
        _ExtractedWalk(assembler).add_all(main)
    if assembler.is_empty:
        for node in body.css("nav, footer") if body.css_first("p, table, li:not(nav li), h1, h2, pre") else ():
            node.decompose()
        add_body(assembler, body)
    return not assembler.is_empty


def _is_better(main: Any, body: LexborNode, visible: int) -> bool:
    """True when the extracted content holds enough of the page and has not been flattened into one paragraph."""
    kept = len("".join("".join(main.itertext()).split()))
    flattened = len(main) <= 1 and body.css_first("li, table, pre, nav, h1, h2, h3, p + p") is not None
    return kept >= _MIN_SHARE * visible and not flattened


def add_body(assembler: TextAssembler, body: LexborNode) -> None:
    """Add everything below a node as blocks, in document order."""
    _DomWalk(assembler).add_all(body)


def _title(tree: LexborHTMLParser) -> str:
    for selector in ("head title", "h1"):
        node = tree.css_first(selector)
        text = " ".join(node.text(deep=True).split()) if node else ""
        if text:
            return text
    return ""


def _metadata(tree: LexborHTMLParser) -> dict[str, str]:
    found = {}
    for key in ("author", "description", "keywords"):
        node = tree.css_first(f'meta[name="{key}"]')
        content = (node.attributes.get("content") if node else None) or ""
        if content.strip():
            found[key] = content.strip()[:1000]
    return found


def _main_content(html: str) -> Any | None:
    """The body element of trafilatura's own XML; None when it finds nothing or gives up."""
    import trafilatura

    try:
        found = trafilatura.bare_extraction(
            html, favor_recall=True, include_comments=False, include_tables=True, include_images=False
        )
    except (RecursionError, ValueError, AttributeError, TypeError, AssertionError):
        return None  # it is a heuristic: a page that it cannot digest is read whole
    return found.body if found is not None and not isinstance(found, dict) else None


class _ExtractedWalk:
    """Turns trafilatura's tree (head, p, list, item, table, row, cell, quote, code, lb) into blocks."""

    def __init__(self, assembler: TextAssembler) -> None:
        self._assembler = assembler

    def add_all(self, element: Any) -> None:
        self._loose(element.text)
        for child in element:
            if isinstance(child.tag, str):
                self._add(child)
            self._loose(child.tail)

    def _add(self, element: Any) -> None:
        if element.tag == "head":
            rend = element.get("rend") or "h2"
            self._assembler.add(BlockKind.HEADING, _flow(element), level=_HEADINGS.get(rend, 2))
        elif element.tag == "list":
            self._add_list(element)
        elif element.tag == "table":
            rows = [join_cells([_flow(cell) for cell in row.iter("cell")]) for row in element.iter("row")]
            self._assembler.add_table(rows, has_header=len(rows) > 1)
        elif element.tag == "code":
            self._assembler.add(BlockKind.CODE, _flow(element, keep_lines=True))
        elif element.tag in ("quote", "div", "section") and len(element):
            self.add_all(element)
        else:
            self._assembler.add(BlockKind.PARAGRAPH, _flow(element))

    def _add_list(self, element: Any) -> None:
        for number, item in enumerate(element.iter("item"), start=1):
            mark = f"{number}." if element.get("rend") == "ol" else "-"
            text = _flow(item, without="list")
            if text:
                self._assembler.add(BlockKind.LIST_ITEM, f"{mark} {text}")

    def _loose(self, text: str | None) -> None:
        self._assembler.add(BlockKind.PARAGRAPH, " ".join((text or "").split()))


def _flow(element: Any, keep_lines: bool = False, without: str | None = None) -> str:
    """The running text of an element; a `lb` is a line end in code and a space elsewhere."""
    parts: list[str] = []
    stack: list[tuple[Any, bool]] = [(element, False)]
    while stack:
        node, leaving = stack.pop()
        if leaving:
            parts.append(node.tail or "")
            continue
        if node is not element:
            stack.append((node, True))
            if node.tag == "lb":
                parts.append("\n")
            if not isinstance(node.tag, str) or node.tag == without:
                continue
        parts.append(node.text or "")
        stack.extend((child, False) for child in reversed(node))
    text = "".join(parts)
    return text.strip("\n") if keep_lines else " ".join(text.split())


class _DomWalk:
    """Turns the whole visible DOM into blocks, without recursion: pages may nest elements thousands deep."""

    def __init__(self, assembler: TextAssembler) -> None:
        self._assembler = assembler
        self._run: list[str] = []
        self._item: str | None = None

    def add_all(self, root: LexborNode) -> None:
        for event, node, mark in _events(root):
            if event == "text":
                self._run.append(node.text_content or "")
            elif event == "block":
                self._flush()
            elif event == "item":
                self._flush()
                self._item = mark
            else:
                self._flush()
                self._add_whole(node)
        self._flush()

    def _add_whole(self, node: LexborNode) -> None:
        if node.tag in _HEADINGS:
            self._assembler.add(BlockKind.HEADING, _joined(node), level=_HEADINGS[node.tag])
        elif node.tag == "pre":
            self._assembler.add(BlockKind.CODE, node.text(deep=True).strip("\n"))
        else:
            rows = [[_joined(cell) for cell in row.css("td, th")] for row in node.css("tr")]
            self._assembler.add_table([join_cells(row) for row in rows], has_header=len(rows) > 1)

    def _flush(self) -> None:
        text = " ".join("".join(self._run).split())
        self._run.clear()
        if text and self._item is not None:
            self._assembler.add(BlockKind.LIST_ITEM, f"{self._item} {text}")
            self._item = None
        elif text:
            self._assembler.add(BlockKind.PARAGRAPH, text)


def _events(root: LexborNode) -> Iterator[tuple[str, LexborNode, str]]:
    """Text nodes, block boundaries, list items with their marks, and whole nodes (heading, pre, table), in order."""
    stack: list[tuple[LexborNode, int, str, bool]] = [(root, 0, "-", False)]
    while stack:
        node, depth, mark, leaving = stack.pop()
        tag = node.tag or ""
        if tag == "-text":
            yield "text", node, mark
        elif leaving or depth > _MAX_DEPTH:
            yield "block", node, mark
        elif tag in _HEADINGS or tag == "pre" or (tag == "table" and node.css_first("table table") is None):
            yield "whole", node, mark  # but a table around tables is layout, and its cells are read as blocks
        elif not tag.startswith(("-", "!")):
            if tag == "li" or tag in _BLOCKS:
                yield ("item" if tag == "li" else "block"), node, mark
                stack.append((node, depth, mark, True))
            stack.extend((child, depth + 1, own, False) for child, own in reversed(_marked_children(node)))


def _marked_children(node: LexborNode) -> list[tuple[LexborNode, str]]:
    """The children of a node, each with the mark that it would have as a list item: its number in an `ol`, else "-".

    Counted on the way: asking each item for its place among its siblings takes the square of a long list's length.
    """
    number, marked = 0, []
    for child in node.iter(include_text=True):
        number += child.tag == "li"
        marked.append((child, f"{number}." if node.tag == "ol" else "-"))
    return marked


def _joined(node: LexborNode) -> str:
    return (
        " ".join(node.text(deep=True, separator=" ").split())
        if node.css_first("p, br, div, li")
        else " ".join(node.text(deep=True).split())
    )
