"""Bytes of videos, wherever they are: what can pass is tried again, what cannot is told.

A connection that breaks, a server that answers 503: each read is tried a few times, with
a pause that doubles. What stays broken is a SourceError of that video.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import fsspec

from schemas.errors import SourceError

__all__ = ["SourceFile", "is_local", "look_up", "retrying"]

_LOGGER = logging.getLogger(__name__)
_READ_AHEAD_BYTES: Final = 4 << 20
_TRIES: Final = 5
_FIRST_PAUSE_SECONDS: Final = 0.25

_Result = TypeVar("_Result")


def is_local(fs: Any) -> bool:
    """Whether a file system is this machine's disk."""
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    return "file" in protocols


def look_up(uri: str) -> tuple[Any, str, dict[str, Any]]:
    """(file system, path, info) of a source; `info` has `size` where it is known.

    Raises SourceError: not_found, or unreadable for everything else, folders too.
    """

    def ask() -> tuple[Any, str, dict[str, Any]]:
        fs, path = fsspec.core.url_to_fs(uri)
        return fs, path, fs.info(path)

    fs, path, info = retrying(ask, uri, "cannot be reached")
    if info.get("type") == "directory":
        raise SourceError("unreadable", f"{uri}: is a folder, expected a video file")
    return fs, path, info


def retrying(action: Callable[[], _Result], uri: str, what: str) -> _Result:
    """Does `action`; failures that may pass are tried again, the rest become SourceErrors."""
    pause = _FIRST_PAUSE_SECONDS
    for left in reversed(range(_TRIES)):
        try:
            return action()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise SourceError("not_found", f"{uri}: no such file or object") from error
        except Exception as error:  # each file system raises its own kinds
            if left == 0 or _is_final(error):
                message = f"{uri}: {what}: {type(error).__name__}: {error}"
                raise SourceError("unreadable", message) from error
            _LOGGER.info("%s: %s: %s; trying again", uri, what, error)
        time.sleep(pause)
        pause *= 2
    raise AssertionError("unreachable")


def _is_final(error: Exception) -> bool:
    """Whether trying again cannot help: rights, addresses, missing packages."""
    status = getattr(error, "status", None)
    if isinstance(status, int) and 400 <= status < 500:
        return status not in (408, 429)
    return isinstance(error, PermissionError | ValueError | ImportError | NotImplementedError)


class SourceFile(io.RawIOBase):
    """A remote file for FFmpeg to read: read-ahead, retries, and SourceErrors.

    FFmpeg's Python bindings pass exceptions of a file on, so a SourceError comes out of
    whatever call needed the bytes.
    """

    def __init__(self, fs: Any, path: str, uri: str, size: int | None) -> None:
        self._fs, self._path, self._uri = fs, path, uri
        self._position = 0
        self._file: Any = None
        self._size = size

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; b"" at the end."""
        content = retrying(lambda: self._read(size), self._uri, "reading stopped midway")
        self._position += len(content)
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to an offset; nothing is read yet."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size or 0}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Where the next byte comes from."""
        return self._position

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Whether the source tells its size; one that does not is read once through."""
        return self._size is not None

    def close(self) -> None:
        """Lets the source go."""
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()

    def _read(self, size: int) -> bytes:
        try:
            file = self._opened()
            file.seek(self._position)
            return bytes(file.read(size))
        except Exception:
            self._file = None  # the next try starts from a new connection
            raise

    def _opened(self) -> Any:
        if self._file is None:
            self._file = self._fs.open(
                self._path, "rb", block_size=_READ_AHEAD_BYTES, cache_type="readahead"
            )
        return self._file
