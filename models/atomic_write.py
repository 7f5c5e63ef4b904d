"""Atomic writes of local files: a file is complete or absent."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

#: Marks temporary files; the rest of the name is random.
TEMPORARY_PREFIX = ".facetracks-"


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yields a temporary name beside `path`, with its suffix, which becomes `path` in the end.

    Makes the folder. After an exception the temporary file is gone and `path` as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}{path.suffix}"
    try:
        yield temporary
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
