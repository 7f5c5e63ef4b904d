"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import UsageError

__all__ = ["atomic_file"]


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yields a temporary name beside `path`; what was written there becomes `path`.

    After an exception the temporary file is gone and `path` is as it was.

    Raises:
        UsageError: the folder of `path` does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise UsageError(f"{path}: cannot be written: got no folder {path.parent}, expected one")
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
