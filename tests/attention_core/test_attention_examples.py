"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["attention", "pooling", "varint", "question", "overlap", "evidence"])
def test_docstring_examples_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"attention_core.{name}"))
    assert result.attempted and not result.failed
