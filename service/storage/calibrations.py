"""Calibrations of one tenant's collections on SQL: one row each, gone with its collection."""

from __future__ import annotations

import json

from sqlalchemy import delete, insert, select

from domain.calibration import Calibration
from domain.errors import StorageError
from service.storage.collections import TenantScope
from service.storage.rows import now
from service.storage.tables import calibrations, collections


class SqlCalibrations(TenantScope):
    """Implements CalibrationStore for one tenant."""

    def get(self, collection: str) -> Calibration | None:
        """None for a collection that was not calibrated or does not exist. Raises StorageError for damaged rows."""
        statement = (
            select(calibrations.c.content)
            .join(collections, collections.c.id == calibrations.c.collection_id)
            .where(collections.c.tenant_id == self._tenant, collections.c.name == collection)
        )
        with self._database.read() as connection:
            content = connection.execute(statement).scalar()
        return None if content is None else _parsed(content, collection)

    def put(self, collection: str, calibration: Calibration) -> None:
        """Replace the collection's calibration. Raises NotFound."""
        content = json.dumps(calibration.to_dict(), ensure_ascii=False, allow_nan=False)
        with self._database.write() as connection:
            row = self._locked(connection, collection)
            connection.execute(delete(calibrations).where(calibrations.c.collection_id == row.id))
            values = {"collection_id": row.id, "content": content, "updated_at": now()}
            connection.execute(insert(calibrations).values(values))

    def remove(self, collection: str) -> bool:
        """Forget the collection's calibration; False where there was none. Raises NotFound."""
        with self._database.write() as connection:
            row = self._locked(connection, collection)
            statement = delete(calibrations).where(calibrations.c.collection_id == row.id)
            return connection.execute(statement).rowcount > 0


def _parsed(content: str, collection: str) -> Calibration:
    try:
        return Calibration.from_dict(json.loads(content))
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"The calibration of collection '{collection}' cannot be read ({error!r}); "
            f"'fovea calibrate --reset' forgets it.",
            code="storage_corrupt",
        ) from error
