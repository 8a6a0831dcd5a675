"""`fovea verify`: everything that the product relies on, looked at from outside; read-only unless told to repair.

Looking needs no lock: it reads one state of the database beside a running server, and what a server is changing in the
index directory meanwhile is looked at twice before it is called wrong. Repairing needs the data directory for itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from domain.maintenance import Finding, VerifyReport
from domain.protocols import TokenCodec
from service.maintenance.snapshot_files import FolderOf, snapshot_problems
from service.storage.database import Database
from service.storage.integrity import problems
from service.storage.problems import DecodeTokens, Looked, Problem

Tell = Callable[[str], None]

_ROUNDS = 5  # a repair may bring the next thing to light: a chunk taken out leaves a count that is wrong


class Verifier:
    """Looks at a database and at the index snapshots of all its tenants.

    `folder_of` gives a tenant's folder of snapshots; `codecs` are the known codecs of token vectors by their id.
    """

    def __init__(self, database: Database, folder_of: FolderOf, codecs: Mapping[str, TokenCodec]) -> None:
        self._database, self._folder_of = database, folder_of
        self._decode = _decoder(codecs)

    def look(self) -> VerifyReport:
        """Everything that is wrong now; changes nothing. Raises StorageError."""
        started, looked = time.perf_counter(), Looked({}, set())
        found = [problem.finding for problem in self._rows(looked)]
        suspects = self._files(looked)
        if suspects:  # a running server may have replaced a snapshot between our two glances
            again = {(item.finding.kind, item.finding.place) for item in self._files(Looked({}, set()))}
            suspects = [item for item in suspects if (item.finding.kind, item.finding.place) in again]
        found += [problem.finding for problem in suspects]
        return _report(found, looked, started)

    def repair(self) -> VerifyReport:
        """Put right what can be, database first; the report holds what was found, repaired or not."""
        started, looked = time.perf_counter(), Looked({}, set())
        found: dict[tuple[str, str], Finding] = {}
        for number in range(_ROUNDS):
            counted = looked if number == 0 else Looked({}, set())
            left = [*self._mended_rows(counted), *self._mended_files(counted)]
            fresh = {(item.kind, item.place): item for item in left}
            done = {key: replace(item, repaired=key not in fresh) for key, item in found.items()}
            found = {**done, **{key: replace(item, repaired=False) for key, item in fresh.items()}}
            if not any(item.repair for item in fresh.values()):
                break
        return _report(list(found.values()), looked, started)

    def _rows(self, looked: Looked) -> list[Problem]:
        with self._database.read() as connection:
            return list(problems(connection, self._decode, looked))

    def _files(self, looked: Looked) -> list[Problem]:
        with self._database.read() as connection:
            return list(snapshot_problems(connection, self._folder_of, looked))

    def _mended_rows(self, looked: Looked) -> list[Finding]:
        """One round over the rows, found and repaired in one transaction: all of the repairs are there or none."""
        with self._database.write() as connection:
            found = list(problems(connection, self._decode, looked))
            for problem in found:
                if problem.mend is not None:
                    problem.mend(connection)
        return [problem.finding for problem in found]

    def _mended_files(self, looked: Looked) -> list[Finding]:
        found = self._files(looked)
        for problem in found:
            if problem.mend is not None:
                with self._database.write() as connection:
                    problem.mend(connection)
        return [problem.finding for problem in found]


def _decoder(codecs: Mapping[str, TokenCodec]) -> DecodeTokens:
    def decode(codec_id: str, blob: bytes) -> None:
        codecs[codec_id].decode(blob)

    return decode


def _report(found: Sequence[Finding], looked: Looked, started: float) -> VerifyReport:
    return VerifyReport(
        findings=tuple(found),
        checked=dict(looked.counts),
        unchecked=tuple(sorted(looked.unchecked)),
        seconds=time.perf_counter() - started,
    )
