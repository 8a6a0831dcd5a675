"""Word documents: headings, paragraphs, lists and tables in the order in which they stand."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from domain.documents import BlockKind, LoadedDocument
from ingestion.loaders.archive import guard_archive
from ingestion.loaders.assembly import TextAssembler, join_cells, tidy_title, title_from_name

if TYPE_CHECKING:
    from docx.document import Document as WordDocument
    from docx.oxml.table import CT_Tc
    from docx.table import Table
    from docx.text.paragraph import Paragraph

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_HIDDEN = "w:vanish[not(@w:val='0' or @w:val='false')]"
_TINY_HALF_POINTS = 2  # Word's unit; nobody reads a point
_FILLERS = ("", "word document")  # what programs write where nobody gave a title
_HEADING_STYLE = re.compile(r"(?:heading|标题|標題)\s*([1-9])", re.IGNORECASE)


class WordLoader:
    """DOCX through python-docx. Hidden and unreadably small text and deleted revisions are left out."""

    extensions: tuple[str, ...] = (".docx", ".docm", ".dotx")
    media_types: tuple[str, ...] = (MEDIA_TYPE, "application/vnd.ms-word.document.macroenabled.12")

    def load(self, data: bytes, name: str) -> LoadedDocument:
        guard_archive(data)
        import docx
        from docx.table import Table

        document = docx.Document(io.BytesIO(data))
        _drop_hidden_runs(document)
        assembler = TextAssembler()
        for element in document.iter_inner_content():
            if isinstance(element, Table):
                _add_table(assembler, element)
            else:
                _add_paragraph(assembler, element)
        properties = document.core_properties
        metadata = {"author": properties.author or "", "subject": properties.subject or ""}
        return assembler.document(_title(document) or title_from_name(name), MEDIA_TYPE, metadata, _warnings(document))


def _title(document: WordDocument) -> str:
    """The title of the file's properties, else the first paragraph of the style Title, else a heading of the first
    level at the very top, else "".
    """
    named = tidy_title(document.core_properties.title or "")
    if named.lower() not in _FILLERS:
        return named
    styles = {style.style_id for style in document.styles if (style.name or "").lower() == "title"}
    titles = (tidy_title(one.text) for one in document.paragraphs if one._p.style in styles)
    return next(filter(None, titles), "") or _heading_at_the_top(document)


def _heading_at_the_top(document: WordDocument) -> str:
    from docx.table import Table

    for element in document.iter_inner_content():
        if isinstance(element, Table):
            return ""
        if text := tidy_title(element.text):
            subtitle = ((element.style.name if element.style else None) or "").lower() == "subtitle"
            return text if _heading_level(element) == 1 and not subtitle else ""
    return ""


def _drop_hidden_runs(document: WordDocument) -> None:
    """Take out runs that are hidden, by themselves or by a style, and those too small to be read."""
    of_style = document.styles.element.xpath(f"./w:style[w:rPr/{_HIDDEN}]/@w:styleId")
    by_style = [
        f"w:rPr/w:rStyle[@w:val='{name}'] or ../w:pPr/w:pStyle[@w:val='{name}']"
        for name in map(str, of_style)
        if re.fullmatch(r"[\w -]+", name)  # it becomes part of an expression
    ]
    tiny = f"w:rPr/w:sz[@w:val <= {_TINY_HALF_POINTS}]"
    for run in document.element.body.xpath(f".//w:r[{' or '.join((f'w:rPr/{_HIDDEN}', tiny, *by_style))}]"):
        run.getparent().remove(run)


def _warnings(document: WordDocument) -> tuple[str, ...]:
    """One for white text that stands on no colour of its own: it may be meant to be overlooked."""
    shaded = "ancestor::*[w:rPr/w:shd or w:pPr/w:shd or w:tcPr/w:shd] or w:rPr/w:shd or w:rPr/w:highlight"
    white = document.element.body.xpath(f".//w:r[w:rPr/w:color[@w:val='FFFFFF' or @w:val='ffffff'] and not({shaded})]")
    styled = document.element.body.xpath("boolean(.//w:tblStyle)")  # a table's style may colour its cells
    if any(run.text.strip() and not (styled and run.xpath("ancestor::w:tbl")) for run in white):
        return ("The document holds white text without a background of its own; it may be hidden text.",)
    return ()


def _add_paragraph(assembler: TextAssembler, paragraph: Paragraph) -> None:
    text = " ".join(paragraph.text.split())
    level = _heading_level(paragraph)
    if level:
        assembler.add(BlockKind.HEADING, text, level=level)
    elif text and _is_list_item(paragraph):
        assembler.add(BlockKind.LIST_ITEM, f"- {text}")
    else:
        assembler.add(BlockKind.PARAGRAPH, text)


def _heading_level(paragraph: Paragraph) -> int:
    """1 to 9 for a heading, by its style's name or its outline level; 0 for other paragraphs."""
    name = (paragraph.style.name if paragraph.style else None) or ""
    if name.lower() in ("title", "subtitle"):
        return 1
    named = _HEADING_STYLE.match(name)
    if named:
        return int(named.group(1))
    outline = paragraph._p.xpath("./w:pPr/w:outlineLvl/@w:val")
    return int(outline[0]) + 1 if outline and outline[0].isdigit() and int(outline[0]) < 9 else 0


def _is_list_item(paragraph: Paragraph) -> bool:
    name = (paragraph.style.name if paragraph.style else None) or ""
    return name.startswith("List") or bool(paragraph._p.xpath("./w:pPr/w:numPr"))


def _add_table(assembler: TextAssembler, table: Table) -> None:
    # Straight from the XML: `row.cells` repeats merged cells and is quadratic in the size of the table.
    rows = []
    for row in table._tbl.tr_lst:
        rows.append(join_cells([_cell_text(cell) for cell in row.tc_lst]))
    assembler.add_table(rows, has_header=len(rows) > 1)


def _cell_text(cell: CT_Tc) -> str:
    """All text of a cell, nested tables included; paragraphs, tabs and breaks become spaces."""
    return "".join(
        node.text if node.tag.endswith("}t") else " " for node in cell.xpath(".//w:t|.//w:p|.//w:tab|.//w:br")
    )
