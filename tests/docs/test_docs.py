"""The documentation says what the code does."""

from __future__ import annotations

import doctest
import importlib
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = (
    "attention_core", "benchmarks", "context", "domain", "fovea", "generation", "ingestion", "retrieval", "service",
)  # fmt: skip
GENERATED = runpy.run_path(str(ROOT / "docs" / "generate.py"))


@pytest.mark.parametrize("page", sorted(GENERATED["PAGES"]))
def test_settings_and_commands_are_documented_as_they_are(page):
    assert GENERATED["refreshed"](page) == (ROOT / "docs" / page).read_text(encoding="utf-8"), (
        "run `python docs/generate.py`"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_name_at_the_door_exists_and_is_sorted():
    import fovea

    assert fovea.__all__ == sorted(fovea.__all__)
    for name in fovea.__all__:
        assert getattr(fovea, name) is not None


def test_every_protocol_of_the_domain_is_named_in_the_guide_to_the_code():
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    for seam in ("loader", "chunker", "encoder", "reranker", "generator", "vector_index", "lexical_index"):
        assert seam in text


def _modules():
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            # benchmarks/.cache may hold whole copies of the tree.
            if all(map(str.isidentifier, parts)) and ">>> " in path.read_text(encoding="utf-8"):
                yield ".".join(parts)


@pytest.mark.parametrize("name", list(_modules()))
def test_examples_in_docstrings_are_true(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0
