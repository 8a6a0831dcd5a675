"""Parts by name: built in, entry point, or module:attribute."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from domain.errors import ConfigurationError
from fovea import open_engine
from service import plugins
from service.plugins import resolve
from service.settings import EncoderSettings, RetrievalSettings, Settings


def built_in():
    return "built in"


@pytest.fixture
def installed(monkeypatch):
    """An installed package that offers a reranker called "installed" and a broken one."""
    points = EntryPoints(
        [
            EntryPoint("installed", "collections:OrderedDict", "fovea.reranker"),
            EntryPoint("broken", "no_such_module:thing", "fovea.reranker"),
        ]
    )
    monkeypatch.setattr(plugins, "entry_points", lambda group: points.select(group=group))


def test_a_built_in_part_goes_by_its_name():
    assert resolve("reranker", "own", {"own": built_in}) is built_in


def test_an_entry_point_of_the_seam_is_found(installed):
    assert resolve("reranker", "installed", {"own": built_in}).__name__ == "OrderedDict"


def test_an_entry_point_of_another_seam_is_not(installed):
    with pytest.raises(ConfigurationError, match="no generator 'installed'"):
        resolve("generator", "installed", {})


def test_a_built_in_name_cannot_be_taken_over(installed):
    assert resolve("reranker", "installed", {"installed": built_in}) is built_in


def test_a_part_is_found_by_module_and_attribute(tmp_path, monkeypatch):
    (tmp_path / "my_part.py").write_text("def make():\n    return 'mine'\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve("reranker", "my_part:make", {})() == "mine"


def test_nothing_is_imported_before_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "unwanted_part.py").write_text("raise RuntimeError\n")
    monkeypatch.syspath_prepend(tmp_path)
    resolve("reranker", "own", {"own": built_in})
    assert "unwanted_part" not in sys.modules


def test_an_unknown_name_lists_the_choices(installed):
    with pytest.raises(ConfigurationError, match=r"no reranker 'x'\. Known: broken, installed, own; or give it as"):
        resolve("reranker", "x", {"own": built_in})


@pytest.mark.parametrize("path", ["no_such_module:make", "collections:no_such_name", "collections:"])
def test_a_part_that_cannot_be_imported_is_a_configuration_error(path):
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        resolve("reranker", path, {})


def test_an_installed_part_that_cannot_be_imported_is_a_configuration_error(installed):
    with pytest.raises(ConfigurationError, match="'broken' cannot be loaded"):
        resolve("reranker", "broken", {})


def test_the_parts_that_settings_name_are_those_that_run(tmp_path):
    settings = Settings(
        data_dir=tmp_path,
        encoder=EncoderSettings(model="hashing"),
        retrieval=RetrievalSettings(vector_index="exact", lexical_index="memory", reranker="none"),
    )
    with open_engine(settings=settings) as engine:
        engine.ingest_text("The lamp is lit at dusk.", title="Lamp")
        (found,) = engine.search("When is the lamp lit?").evidence
        assert found.text == "The lamp is lit at dusk."
        assert engine.status()["reranker"] != "attention"
