"""Calibrations in SQL: one a collection, read back as they were, gone with their collection; on both databases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import inspect, text

import migrations
from domain.calibration import Calibration, ScoreMap, ScoringIdentity, ScoringQuality, Thresholds
from domain.errors import NotFound, StorageError
from service.storage.calibrations import SqlCalibrations
from service.storage.database import Database, open_database
from service.storage.documents import SqlDocumentStore
from tests.service.storage_examples import make_document, put

QUALITY = ScoringQuality(0.9, 0.8, 123.5, 0.04, 0.7, 0.95, 0.01, 0.1, 0.02)
CALIBRATION = Calibration(
    identity=ScoringIdentity("e5", "int4/128", "attention/0123"),
    uses_attention=True,
    reason="nDCG@10 .9 对 .8",
    thresholds=Thresholds(0.0625, 0.125),
    target=0.05,
    maps={"en": ScoreMap(1.5, -2.25, -0.5, ((0.1, 0.0), (0.9, 2 / 3))), "zh": ScoreMap(1 / 3, 0.1)},
    attention=QUALITY,
    fused=ScoringQuality(0.8, 0.7, 300.0),
    questions=(101, 99),
    fitted_at="2026-01-02T03:04:05+00:00",
)


@pytest.fixture
def calibrations(database: Database, store: SqlDocumentStore) -> SqlCalibrations:
    return SqlCalibrations(database)


def test_a_calibration_is_read_back_to_the_last_digit(calibrations: SqlCalibrations) -> None:
    assert calibrations.get("default") is None
    calibrations.put("default", CALIBRATION)
    assert calibrations.get("default") == CALIBRATION


def test_the_dictionary_of_a_calibration_is_flat_json_and_leads_back() -> None:
    data = CALIBRATION.to_dict()
    assert (data["model_id"], data["mass_per_token"], data["questions"]) == ("e5", 0.0625, [101, 99])
    assert Calibration.from_dict(data) == CALIBRATION


def test_a_later_calibration_takes_the_place_of_the_earlier_one(calibrations: SqlCalibrations) -> None:
    later = replace(CALIBRATION, uses_attention=False)
    for one in (CALIBRATION, later):
        calibrations.put("default", one)
    assert calibrations.get("default") == later


def test_removing_says_whether_there_was_one(calibrations: SqlCalibrations) -> None:
    calibrations.put("default", CALIBRATION)
    assert [calibrations.remove("default") for _ in range(2)] == [True, False]
    assert calibrations.get("default") is None


def test_collections_and_tenants_do_not_share_calibrations(
    calibrations: SqlCalibrations, database: Database, store: SqlDocumentStore
) -> None:
    store.ensure_collection("other")
    SqlDocumentStore(database, "else").ensure_collection("default")
    calibrations.put("default", CALIBRATION)
    foreign = SqlCalibrations(database, "else")
    assert calibrations.get("other") is None
    assert foreign.get("default") is None
    assert foreign.remove("default") is False
    assert calibrations.get("default") == CALIBRATION


def test_a_collection_that_does_not_exist_has_none_and_takes_none(calibrations: SqlCalibrations) -> None:
    assert calibrations.get("none") is None
    with pytest.raises(NotFound):
        calibrations.put("none", CALIBRATION)
    with pytest.raises(NotFound):
        calibrations.remove("none")


def test_a_calibration_goes_with_its_collection(calibrations: SqlCalibrations, store: SqlDocumentStore) -> None:
    calibrations.put("default", CALIBRATION)
    store.delete_collection("default")
    store.ensure_collection("default")
    assert calibrations.get("default") is None


def test_writing_documents_leaves_it_alone(calibrations: SqlCalibrations, store: SqlDocumentStore) -> None:
    calibrations.put("default", CALIBRATION)
    put(store, make_document("a", "one"))
    assert calibrations.get("default") == CALIBRATION


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"questions": [1, 2, 3]}'])
def test_a_row_that_cannot_be_read_is_an_error_that_says_what_to_do(
    calibrations: SqlCalibrations, database: Database, content: str
) -> None:
    calibrations.put("default", CALIBRATION)
    with database.write() as connection:
        connection.execute(text("UPDATE calibrations SET content = :content"), {"content": content})
    with pytest.raises(StorageError, match="--reset") as caught:
        calibrations.get("default")
    assert caught.value.code == "storage_corrupt"
    assert calibrations.remove("default") is True


def test_a_database_of_the_first_release_gets_the_table_and_keeps_its_documents(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    store = SqlDocumentStore(database)
    store.ensure_collection("default")
    document = make_document("a", "one")
    put(store, document)
    with database.write() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(str(migrations.__file__)).parent))
        command.downgrade(config, "0001")
        assert not inspect(connection).has_table("calibrations")
    database.close()

    database = open_database(empty_database_url)
    assert SqlDocumentStore(database).get_document(document.id) == document
    SqlCalibrations(database).put("default", CALIBRATION)
    assert SqlCalibrations(database).get("default") == CALIBRATION
    database.close()
