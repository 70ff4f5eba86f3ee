"""`POST /api/v1/backup`: the archive as the body of the answer. A request never names a path on this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from ralex_core.runtime.runtime import Runtime

ARCHIVE = "ralex-monitor-backup.zip"


def backup_router(runtime: Runtime) -> APIRouter:
    """The route, for `create_app(runtime).include_router`."""
    router = APIRouter(prefix="/api/v1", tags=["Backup"])

    @router.post(
        "/backup",
        response_class=FileResponse,
        responses={200: {"content": {"application/zip": {}}, "description": "The archive."}},
    )
    def backup() -> FileResponse:  # pyright: ignore[reportUnusedFunction] - registered by the decorator
        """One consistent archive of both stores and the settings, as `ralex-monitor restore` takes it.

        It is always your own data, also while demo data is shown.
        """
        folder = Path(tempfile.mkdtemp(dir=runtime.settings.home, prefix=f".backup-{os.getpid()}-"))
        try:
            runtime.backup(folder / ARCHIVE)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        cleanup = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
        return FileResponse(folder / ARCHIVE, media_type="application/zip", filename=ARCHIVE, background=cleanup)

    return router
