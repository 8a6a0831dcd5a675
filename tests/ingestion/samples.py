"""Writers of small sample files: every one returns bytes, nothing is read from disk."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from email.message import EmailMessage
from typing import Any
from xml.sax.saxutils import escape


def pdf(pages: Sequence[Sequence[str]], *, size: float = 11, password: str | None = None) -> bytes:
    """A PDF with one line of text below the other; a line that starts with "# " is set large and bold."""
    from reportlab.lib.pdfencrypt import StandardEncryption
    from reportlab.pdfgen.canvas import Canvas

    buffer = io.BytesIO()
    encryption = StandardEncryption(password, ownerPassword=password) if password else None
    canvas = Canvas(buffer, encrypt=encryption)
    for lines in pages:
        y = 800.0
        for line in lines:
            heading = line.startswith("# ")
            canvas.setFont("Helvetica-Bold" if heading else "Helvetica", 20 if heading else size)
            if line:
                canvas.drawString(60, y, line.removeprefix("# "))
            y -= 30 if heading else size * 1.25
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def image_only_pdf() -> bytes:
    """A page that shows a shape and has no text."""
    from reportlab.pdfgen.canvas import Canvas

    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    canvas.rect(100, 100, 300, 400, fill=1)
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def zipped(members: Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]]) -> bytes:
    buffer = io.BytesIO()
    pairs = members.items() if isinstance(members, Mapping) else members
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in pairs:
            archive.writestr(name, content)
    return buffer.getvalue()


def docx(build: Any) -> bytes:
    """A Word document; `build` receives the empty python-docx document."""
    import docx as python_docx

    document = python_docx.Document()
    document.core_properties.title = ""
    build(document)
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def pptx(slides: Sequence[tuple[str, Sequence[str], str]]) -> bytes:
    """A presentation of (title, bullet points, notes)."""
    import pptx as python_pptx

    presentation = python_pptx.Presentation()
    for title, points, notes in slides:
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = "\n".join(points)
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
    buffer = io.BytesIO()
    presentation.save(buffer)
    return buffer.getvalue()


_SHEET_NS = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_REL_NS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE_NS = "http://schemas.openxmlformats.org/package/2006"


def xlsx(sheets: Mapping[str, Sequence[Sequence[object]]], *, hidden: Sequence[str] = (), extra: str = "") -> bytes:
    """A workbook written by hand; `extra` stands in front of the first sheet's XML."""
    return zipped(xlsx_members(sheets, hidden=hidden, extra=extra))


def xlsx_members(
    sheets: Mapping[str, Sequence[Sequence[object]]], *, hidden: Sequence[str] = (), extra: str = ""
) -> dict[str, str]:
    numbers = range(1, len(sheets) + 1)
    listed = "".join(
        f'<sheet name="{escape(name)}" sheetId="{i}" r:id="rId{i}"{" state=" + chr(34) + "hidden" + chr(34) if name in hidden else ""}/>'  # noqa: E501
        for i, name in zip(numbers, sheets, strict=True)
    )
    relations = "".join(
        f'<Relationship Id="rId{i}" Type="{_REL_NS}/worksheet" Target="worksheets/sheet{i}.xml"/>' for i in numbers
    )
    members = {
        "[Content_Types].xml": f'<?xml version="1.0"?><Types xmlns="{_PACKAGE_NS}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/></Types>',
        "_rels/.rels": f'<?xml version="1.0"?><Relationships xmlns="{_PACKAGE_NS}/relationships">'
        f'<Relationship Id="rId1" Type="{_REL_NS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<?xml version="1.0"?><workbook {_SHEET_NS} xmlns:r="{_REL_NS}">'
        f"<sheets>{listed}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<?xml version="1.0"?><Relationships xmlns="{_PACKAGE_NS}/relationships">'
        f"{relations}</Relationships>",
    }
    for i, rows in zip(numbers, sheets.values(), strict=True):
        members[f"xl/worksheets/sheet{i}.xml"] = _sheet(rows, extra if i == 1 else "")
    return members


def _sheet(rows: Sequence[Sequence[object]], extra: str) -> str:
    body = "".join(
        f'<row r="{r}">' + "".join(_cell(value, f"{chr(65 + c)}{r}") for c, value in enumerate(row)) + "</row>"
        for r, row in enumerate(rows, start=1)
    )
    return f'<?xml version="1.0"?>{extra}<worksheet {_SHEET_NS}><sheetData>{body}</sheetData></worksheet>'


def _cell(value: object, place: str) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float):
        return f'<c r="{place}"><v>{value}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t>{escape(str(value))}</t></is></c>'


def epub(chapters: Mapping[str, str], *, title: str = "A Book", doctype: str = "<!DOCTYPE html>") -> bytes:
    """An e-book; `chapters` maps file names to the HTML of their bodies, in reading order."""
    manifest = "".join(
        f'<item id="c{i}" href="{name}" media-type="application/xhtml+xml"/>' for i, name in enumerate(chapters)
    )
    spine = "".join(f'<itemref idref="c{i}"/>' for i in range(len(chapters)))
    members = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<?xml version="1.0"?><container '
        'xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
        '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
        "OEBPS/book.opf": '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>{title}</dc:title><dc:creator>Ann Author</dc:creator></metadata>"
        f"<manifest>{manifest}</manifest><spine>{spine}</spine></package>",
    }
    # Reversed, so that only the spine gives the reading order.
    for name, body in reversed(chapters.items()):
        members[f"OEBPS/{name}"] = f"{doctype}<html><head><title>x</title></head><body>{body}</body></html>"
    return zipped(members)


def mail(subject: str, body: str, *, html: str = "", attachments: Sequence[str] = ()) -> bytes:
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = "Ann Author <ann@example.com>"
    message["To"] = "bob@example.com"
    message["Date"] = "Mon, 02 Nov 2026 10:00:00 +0000"
    message.set_content(body)
    if html:
        message.clear_content()
        message.set_content(html, subtype="html")
    for name in attachments:
        message.add_attachment(b"\x00\x01", maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def corpus(records: Iterable[Mapping[str, object] | str], *, compressed: bool = False) -> bytes:
    """A CORPUS file; a string is written as the line it is."""
    lines = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in records]
    data = "".join(f"{line}\n" for line in lines).encode()
    return gzip.compress(data) if compressed else data
