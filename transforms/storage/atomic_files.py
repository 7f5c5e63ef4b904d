"""Atomic writes on local disks and object stores: a file is complete or absent.

Local: written under a temporary name in the same folder, then os.replace. Elsewhere:
written to a local temporary file, then one whole-object put. An exception inside the
`with` publishes nothing. Names are deterministic, so writing twice is harmless.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import uuid
import weakref
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from models.atomic_write import TEMPORARY_PREFIX
from schemas.errors import OutputError
from transforms.storage.source_files import is_local, resolve

#: Temporary files that this process is writing.
_UNFINISHED: set[Path] = set()
#: Errors of a full or read-only disk.
_NO_ROOM = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
)
_PARQUET = ".parquet"
_STEM_BYTES = 112
_HASH_DIGITS = 16


def file_stem(video_id: str) -> str:
    """A file name for a video_id: itself where it is plain, else cleaned, `~`, and a hash.

    Never empty, holds no path separator, starts with no dot, at most 130 bytes long. No
    plain id has a `~`, so different ids have different stems.
    """
    clean = "".join(c if c.isalnum() or c in "._-" else "_" for c in video_id).lstrip(".")
    clean = clean.encode()[:_STEM_BYTES].decode(errors="ignore")
    if clean and clean == video_id:
        return clean
    digest = sha256(video_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{clean or '_'}~{digest[:_HASH_DIGITS]}"


@contextlib.contextmanager
def atomic_file(url: str) -> Iterator[Path]:
    """Yields a local path to write to; publishes it under `url` if the block does not raise."""
    fs, path = resolve(url)
    local = is_local(fs)
    folder = Path(path).parent if local else Path(tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}"
    _UNFINISHED.add(temporary)
    try:
        yield temporary
        if local:
            temporary.replace(path)
        else:
            fs.put_file(str(temporary), path)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise OutputError(f"{url} cannot be written: {error.strerror}") from error
        raise
    finally:
        _remove(temporary)


def write_bytes(url: str, content: bytes) -> None:
    """Publishes `content` under `url`, whole or not at all."""
    with atomic_file(url) as path:
        path.write_bytes(content)


def temporary_file(suffix: str = "") -> Any:
    """A named temporary file, open for writing bytes; removed when nothing refers to it."""
    file = tempfile.NamedTemporaryFile(prefix="facetracks-", suffix=suffix, delete=False)  # noqa: SIM115
    path = Path(file.name)
    _UNFINISHED.add(path)
    weakref.finalize(file, _remove, path)
    return file


def _remove(temporary: Path) -> None:
    with contextlib.suppress(OSError):
        temporary.unlink()
    _UNFINISHED.discard(temporary)


def sweep_temporaries() -> None:
    """Removes this process's unfinished and temporary files, before it exits."""
    for temporary in list(_UNFINISHED):
        temporary.unlink(missing_ok=True)


def sweep_all_temporaries(folder: str) -> None:
    """Removes the unfinished files of all processes below a local folder."""
    for leftover in Path(folder).rglob(f"{TEMPORARY_PREFIX}*"):
        leftover.unlink(missing_ok=True)


class Folder:
    """A folder of an output location, by URL."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def __truediv__(self, name: str) -> Folder:
        return Folder(f"{self.url}/{name}")

    def __str__(self) -> str:
        return self.url

    def table(self, stem: str) -> Folder:
        """The Parquet file of this name without its ending."""
        return self / f"{stem}{_PARQUET}"

    @property
    def stem(self) -> str:
        """The name of the Parquet file, without its ending."""
        return self.url.rpartition("/")[2].removesuffix(_PARQUET)

    def stems(self) -> list[str]:
        """The stems of the finished Parquet files in it."""
        return [n.removesuffix(_PARQUET) for n in self.names() if n.endswith(_PARQUET)]

    def exists(self) -> bool:
        """Whether there is a file or folder now; bypasses cached listings."""
        fs, path = resolve(self.url)
        fs.invalidate_cache(path)
        return bool(fs.exists(path))

    def names(self) -> list[str]:
        """Names of the finished files and folders in it; none where it does not exist."""
        return [name for name, _ in self.entries()]

    def entries(self) -> list[tuple[str, bool]]:
        """The names, and whether each is a folder."""
        fs, path = resolve(self.url)
        fs.invalidate_cache(path)
        try:
            found = fs.ls(path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        named = (
            (e["name"].rstrip("/").rsplit("/", 1)[-1], e["type"] == "directory") for e in found
        )
        return sorted(entry for entry in named if not entry[0].startswith(TEMPORARY_PREFIX))

    def size_bytes(self) -> int:
        """Bytes of the file, or of all files in the folder."""
        fs, path = resolve(self.url)
        return int(fs.du(path))

    def read_bytes(self) -> bytes:
        """The content of the file this names."""
        fs, path = resolve(self.url)
        return Path(path).read_bytes() if is_local(fs) else bytes(fs.cat_file(path))

    def open(self) -> Any:
        """The file this names, open for reading its bytes."""
        fs, path = resolve(self.url)
        return fs.open(path, "rb")

    def remove(self) -> None:
        """Removes it recursively; does nothing if it does not exist."""
        fs, path = resolve(self.url)
        if is_local(fs) and not os.path.lexists(path):
            return  # rm needs four system calls and an exception to find out
        with contextlib.suppress(FileNotFoundError):
            fs.rm(path, recursive=True)

    def local_path(self) -> str | None:
        """The path on this machine's disk; None elsewhere."""
        fs, path = resolve(self.url)
        return path if is_local(fs) else None
