"""A lock on local outputs. On object stores two runs of one configuration write equal files."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import OutputError
from transforms.storage.atomic_files import sweep_all_temporaries
from transforms.storage.output_tables import OutputFolder


@contextlib.contextmanager
def exclusive_run(output: OutputFolder) -> Iterator[None]:
    """Holds a local output for this process; clears what killed runs left unfinished.

    The lock is the kernel's (flock): it ends with the process. Object stores have none.

    Raises OutputError when another run holds the output.
    """
    local = output.lock.local_path()
    if local is None:
        yield
        return
    lock_path = Path(local)
    with lock_path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock_path.stat().st_ino != os.fstat(lock.fileno()).st_ino:
                raise BlockingIOError("another run has replaced the lock file")
        except OSError as error:
            message = f"{output.url}: another run is writing there; wait for it to end"
            raise OutputError(message) from error
        try:
            sweep_all_temporaries(str(lock_path.parent))
            yield
        finally:
            with contextlib.suppress(OSError):
                lock_path.unlink()
