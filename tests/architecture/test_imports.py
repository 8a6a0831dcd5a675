"""The folder tree is the architecture: arrows point one way, and heavy libraries have one home."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_import_contracts_hold():
    # In a process of its own: import-linter's logging set-up switches off every logger that exists.
    script = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_the_command_line_starts_without_heavy_libraries():
    heavy = ("torch", "openvino", "faiss", "sentence_transformers", "fastapi", "tantivy", "trafilatura")
    script = f"import sys, service.cli; print([name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_door_opens_without_heavy_libraries():
    heavy = ("torch", "openvino", "faiss", "sqlalchemy", "sentence_transformers", "fastapi", "httpx")
    script = f"import sys, fovea; print([name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
