"""Source code and structured text: the file's own text, one block for each top-level definition.

No grammar is needed for that: in every common language a definition starts in column 1 after an empty line, and what
belongs to it is indented or closes it. Comments and decorators directly above stay with their definition.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from domain.documents import Block, BlockKind, LoadedDocument, Span
from ingestion.encoding import decode
from ingestion.loaders.assembly import tidy_title, title_from_name
from ingestion.loaders.plain import line_spans
from ingestion.text_gate import clean, removal_warnings

_LANGUAGES = {
    "python": ".py .pyi .pyw",
    "javascript": ".js .mjs .cjs .jsx",
    "typescript": ".ts .tsx .mts",
    "vue": ".vue .svelte",
    "java": ".java",
    "kotlin": ".kt .kts",
    "scala": ".scala",
    "go": ".go",
    "rust": ".rs",
    "c": ".c .h",
    "cpp": ".cpp .cc .cxx .hpp .hh",
    "csharp": ".cs",
    "swift": ".swift",
    "objective-c": ".m .mm",
    "php": ".php",
    "ruby": ".rb",
    "perl": ".pl .pm",
    "lua": ".lua",
    "r": ".r",
    "julia": ".jl",
    "dart": ".dart",
    "elixir": ".ex .exs",
    "haskell": ".hs",
    "shell": ".sh .bash .zsh .fish",
    "powershell": ".ps1",
    "batch": ".bat .cmd",
    "sql": ".sql",
    "graphql": ".graphql .gql",
    "protobuf": ".proto",
    "css": ".css .scss .less",
    "yaml": ".yaml .yml",
    "toml": ".toml",
    "ini": ".ini .cfg .conf .properties .env",
    "json": ".json .jsonl .ndjson .json5",
    "xml": ".xml .xsd .xsl .svg",
    "terraform": ".tf .hcl",
    "make": ".mk .cmake",
    "notebook": ".ipynb",
}
LANGUAGE_OF = {extension: language for language, names in _LANGUAGES.items() for extension in names.split()}
# Lines in column 1 that go on with what stands above them, whatever empty lines are between.
_CONTINUES = re.compile(r"[)\]}]|(?:else|elif|except|finally|catch|end|fi|done|esac|then|do|begin)\b|[{]\s*$")


class SourceCodeLoader:
    """Program code and configuration; anything JSON or XML that has no loader of its own."""

    extensions: tuple[str, ...] = tuple(LANGUAGE_OF)
    media_types: tuple[str, ...] = (
        "text/x-source",
        "application/json",
        "application/x-ndjson",
        "application/xml",
        "text/xml",
        "application/yaml",
        "application/javascript",
        "text/javascript",
        "text/css",
    )

    def load(self, data: bytes, name: str) -> LoadedDocument:
        decoded = decode(data)
        cleaned = clean(decoded.text)
        language = LANGUAGE_OF.get(PurePath(name).suffix.lower(), "text")
        return LoadedDocument(
            title=tidy_title(name.replace("\\", "/").rsplit("/", 1)[-1]) or title_from_name(name),
            text=cleaned.text,
            media_type="text/x-source",
            blocks=code_blocks(cleaned.text),
            metadata={"encoding": decoded.encoding, "language": language},
            warnings=(*decoded.warnings, *removal_warnings(cleaned.removed)),
        )


def code_blocks(text: str) -> tuple[Block, ...]:
    """Top-level definitions in order; a block runs from its first line to its last line that is not empty."""
    blocks: list[Block] = []
    start = end = 0
    empty_above = False
    for line in line_spans(text):
        content = line.of(text)
        if not content or content.isspace():
            empty_above = True
            continue
        if empty_above and end > start and not content[0].isspace() and not _CONTINUES.match(content):
            blocks.append(Block(BlockKind.CODE, Span(start, end)))
            start = line.start
        elif end == start:
            start = line.start
        empty_above, end = False, line.start + len(content.rstrip())
    if end > start:
        blocks.append(Block(BlockKind.CODE, Span(start, end)))
    return tuple(blocks)
