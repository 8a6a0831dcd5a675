"""Presentations: each slide is a page, its title a heading, its notes a paragraph."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

from domain.documents import BlockKind, LoadedDocument
from ingestion.loaders.archive import guard_archive
from ingestion.loaders.assembly import TextAssembler, join_cells, title_from_name

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.presentationml.presentation"


class SlidesLoader:
    """PPTX through python-pptx. Shapes are read from top to bottom, then from left to right."""

    extensions: tuple[str, ...] = (".pptx", ".pptm", ".ppsx", ".potx")
    media_types: tuple[str, ...] = (MEDIA_TYPE, "application/vnd.ms-powerpoint.presentation.macroenabled.12")

    def load(self, data: bytes, name: str) -> LoadedDocument:
        guard_archive(data)
        import pptx

        presentation = pptx.Presentation(io.BytesIO(data))
        assembler = TextAssembler()
        for number, slide in enumerate(presentation.slides, start=1):
            assembler.start_page(number)
            _add_slide(assembler, slide)
        properties = presentation.core_properties
        title = "" if properties.title == "PowerPoint Presentation" else properties.title  # PowerPoint's own filler
        return assembler.document(title or title_from_name(name), MEDIA_TYPE, {"author": properties.author or ""})


def _add_slide(assembler: TextAssembler, slide: Any) -> None:
    title = slide.shapes.title
    if title is not None:
        assembler.add(BlockKind.HEADING, " ".join(title.text_frame.text.split()), level=1)
    shapes = [shape for shape in _flat(slide.shapes) if title is None or shape.shape_id != title.shape_id]
    for shape in sorted(shapes, key=lambda shape: (shape.top or 0, shape.left or 0)):
        _add_shape(assembler, shape)
    notes = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
    if notes is not None and notes.text.strip():
        assembler.add(BlockKind.PARAGRAPH, f"Notes: {' '.join(notes.text.split())}")


def _flat(shapes: Iterable[Any]) -> Iterator[Any]:
    """All shapes, those inside groups included."""
    stack = list(shapes)[::-1]
    while stack:
        shape = stack.pop()
        if hasattr(shape, "shapes"):
            stack.extend(list(shape.shapes)[::-1])
        else:
            yield shape


def _add_shape(assembler: TextAssembler, shape: Any) -> None:
    if getattr(shape, "has_table", False):
        rows = [join_cells([cell.text for cell in row.cells]) for row in shape.table.rows]
        assembler.add_table(rows, has_header=len(rows) > 1)
    elif shape.has_text_frame:
        lines = [" ".join(paragraph.text.split()) for paragraph in shape.text_frame.paragraphs]
        lines = [line for line in lines if line]
        for line in lines:
            # A text box with several paragraphs is a list on nearly every slide.
            assembler.add(*((BlockKind.LIST_ITEM, f"- {line}") if len(lines) > 1 else (BlockKind.PARAGRAPH, line)))
