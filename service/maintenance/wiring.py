"""The operations of this package with their parts made from the settings: what the command line calls.

They work on a data directory without an engine: nothing here loads the encoder, and a database that is damaged or full
can be looked at all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from importlib.metadata import version
from pathlib import Path

from domain.errors import FoveaError
from domain.maintenance import BackupReport, VerifyReport
from domain.protocols import TokenCodec
from service.maintenance import backup
from service.maintenance.snapshot_files import FolderOf
from service.maintenance.verify import Verifier
from service.settings import Settings
from service.snapshots import index_folder
from service.storage.database import open_existing
from service.storage.lock import DataDirectoryLock


def verify_data(settings: Settings, repair: bool) -> VerifyReport:
    """Look at everything, beside a running server too; `repair` takes the data directory for itself.

    Raises NotFound where there is no database, StorageError, DataDirectoryInUse.
    """
    with ExitStack() as stack:
        if repair:
            stack.enter_context(DataDirectoryLock(settings.data_dir))
        database = stack.enter_context(closing(open_existing(settings.database_url)))
        verifier = Verifier(database, _folders(settings), _codecs(settings))
        return verifier.repair() if repair else verifier.look()


def back_up_data(settings: Settings, target: Path) -> BackupReport:
    """Write a backup, beside a running server too. Raises NotFound, UsageError, StorageError."""
    with closing(open_existing(settings.database_url)) as database:
        return backup.back_up(database, settings.data_dir, target, version("fovea-rag"))


def restore_data(settings: Settings, source: Path) -> BackupReport:
    """Put a backup into the empty data directory and database of the settings. Raises as `backup.restore` does, and
    has then made no directory.
    """
    with DataDirectoryLock(settings.data_dir) as lock:
        try:
            return backup.restore(source, settings.data_dir, settings.database_url)
        except FoveaError:
            lock.withdraw()
            raise


def _folders(settings: Settings) -> FolderOf:
    return lambda tenant: index_folder(settings.data_dir, tenant)


def _codecs(settings: Settings) -> Mapping[str, TokenCodec]:
    from service.factories import make_codec, scorer_weights

    codec = make_codec(scorer_weights(settings))
    return {codec.codec_id: codec}
