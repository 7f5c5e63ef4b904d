"""Bytes of videos, local or remote: transient errors are retried, permanent ones raised.

Each read is retried a few times with exponential backoff, after a broken connection or a 503. A
persistent error becomes that video's SourceError.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import re
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import unquote

import fsspec

from schemas.errors import HostError, SourceError
from transforms.storage.read_cache import RECENT, ReadCache

_LOGGER = logging.getLogger(__name__)
#: The smallest read after a seek: planning seeks to a keyframe every few seconds.
MIN_READ_BYTES: Final = 16 << 10
_MAX_AHEAD_BYTES: Final = 4 << 20
#: Read-ahead is the number of bytes read sequentially so far, divided by this.
_AHEAD_SHARE: Final = 2
#: Fields of a file system's info that identify a version of a source, best first.
_VERSION_KEYS: Final = (
    "md5Hash", "crc32c", "Content-MD5", "Digest", "ETag", "etag", "mtime", "LastModified",
    "Last-Modified", "last_modified", "updated", "blob_id",
)  # fmt: skip
#: A request to a silent web server is repeated after this time.
_answer_seconds = 10.0
_MIN_ANSWER_SECONDS: Final = 1.0
#: Part of the stall limit reserved for the pauses between tries and the report.
_SPARE_SECONDS: Final = 10.0
_TRIES: Final = 5
_FILE_URI: Final = "file://"
#: Part of fsspec's message for a web server that answers a range request with the whole file.
_NO_RANGES: Final = "range requests"
#: In the headers Range and Content-Range.
_RANGE: Final = re.compile(r"bytes[ =](\d+)-(\d+)")
#: The extra that installs the package for a protocol.
_EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "hf": "hf"} | dict.fromkeys(
    ("abfs", "abfss", "az", "adl"), "azure"
)
#: Arrow's message if this machine has no HDFS client.
_NO_LIBRARY: Final = "Unable to load lib"
_HADOOP: Final = "Java and Hadoop (JAVA_HOME, HADOOP_HOME, CLASSPATH of `hadoop classpath --glob`)"
_FIRST_PAUSE_SECONDS: Final = 0.25

_Result = TypeVar("_Result")


def is_local(fs: Any) -> bool:
    """Whether a file system is this machine's disk."""
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    return "file" in protocols


def resolve(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it.

    An absolute path is always a local file; escapes (%20) in a file:// URI are decoded. Requests to
    web servers time out, so that they can be retried.

    Raises HostError if the package for its protocol is not installed.
    """
    if url.startswith("/"):
        return _local_files(), url
    if url.startswith(_FILE_URI):
        path = url.removeprefix(_FILE_URI).removeprefix("localhost")
        if path.startswith("/"):
            return _local_files(), unquote(path, errors="surrogateescape")
    options: dict[str, Any] = {}
    if url.startswith(("http://", "https://")):
        import aiohttp  # takes 0.2 s, in each decoding child too

        wait = aiohttp.ClientTimeout(
            total=None, sock_connect=_answer_seconds, sock_read=_answer_seconds
        )
        options["client_kwargs"] = {"timeout": wait, "trace_configs": [_range_checks()]}
    try:
        fs, path = fsspec.core.url_to_fs(url, **options)
    except (ImportError, OSError) as error:
        if isinstance(error, OSError) and _NO_LIBRARY not in str(error):
            raise
        raise HostError(_missing_package(url, error)) from error
    return fs, path


@functools.cache
def _local_files() -> Any:
    """This machine's disk; fsspec takes 10 us to find it, and a missing file asks eight times."""
    return fsspec.filesystem("file")


@functools.cache
def _range_checks() -> Any:
    """An aiohttp.TraceConfig for `_check_range`."""
    import aiohttp

    checks = aiohttp.TraceConfig()
    checks.on_request_end.append(_check_range)
    return checks


async def _check_range(session: Any, context: Any, request: Any) -> None:
    """Raises ValueError for an answer whose headers state other bytes than the requested range.

    fsspec takes every answer with status 206 for the range, wherever it starts and however long.
    """
    asked, answer = _RANGE.search(request.headers.get("Range", "")), request.response
    if asked is None or answer.status >= 300:
        return
    start, last = int(asked[1]), int(asked[2])
    is_right = start == 0 and answer.status != 206  # fsspec reads no more than it needs
    got = _RANGE.search(answer.headers.get("Content-Range", ""))
    if got is not None and int(got[1]) == start and int(got[2]) <= last:
        is_right = answer.content_length in (None, int(got[2]) + 1 - start)
    if not is_right:
        answer.close()
        raise ValueError(f"got other bytes than {start} to {last}, expected {_NO_RANGES}")


def _missing_package(url: str, error: Exception) -> str:
    protocol = url.partition("://")[0]
    what = f"pip install 'facetracks[{_EXTRAS[protocol]}]'" if protocol in _EXTRAS else str(error)
    what = _HADOOP if isinstance(error, OSError) else what
    return f"{url}: no package is installed that reads {protocol}://; install: {what}"


def give_up_within(stall_seconds: float) -> None:
    """Makes all tries of a silent server end before `stall_seconds` have passed."""
    global _answer_seconds
    _answer_seconds = max(_MIN_ANSWER_SECONDS, (stall_seconds - _SPARE_SECONDS) / _TRIES)


def look_up(uri: str) -> tuple[Any, str, dict[str, Any]]:
    """(file system, path, info) of a source; `info` has `size` where it is known.

    Raises SourceError: not_found, or unreadable for everything else, folders and pipes too.
    """

    def ask() -> tuple[Any, str, dict[str, Any]]:
        fs, path = resolve(uri)
        return fs, path, fs.info(path)

    fs, path, info = retrying(ask, uri, "cannot be reached")
    if info.get("type") == "directory":
        if is_local(fs) and not os.access(path, os.R_OK | os.X_OK):
            raise SourceError("unreadable", f"{uri}: no permission to list this folder")
        raise SourceError("unreadable", f"{uri}: is a folder, expected a video file")
    if is_local(fs) and info.get("type") == "other":
        raise SourceError("unreadable", f"{uri}: is a pipe, socket or device; expected a file")
    return fs, path, info


def fingerprint(info: dict[str, Any]) -> str:
    """Identifies a source's bytes by the info of `look_up`: size, and the best version field.

    That is a hash of the bytes if the store has one, else the etag, else the modification time in
    whole seconds, which copies keep. It does not depend on the location of the source.
    """
    keys = ["size", *version_keys(info)[:1]]
    fields = {key: info[key] for key in keys if info.get(key) is not None}
    if isinstance(fields.get("mtime"), float):
        fields["mtime"] = int(fields["mtime"])
    return " ".join(f"{key}={value}" for key, value in fields.items())


def version_keys(info: dict[str, Any]) -> list[str]:
    """The fields of the info of `look_up` that identify a version of a source, best first."""
    return [key for key in _VERSION_KEYS if info.get(key) is not None]


def read_head(uri: str, count: int, start: int = 0) -> bytes:
    """`count` bytes of a source from `start` on, or all it has; raises SourceError."""
    fs, path, _ = look_up(uri)

    def head() -> bytes:
        with fs.open(path, "rb", cache_type="none") as file:
            file.seek(start)
            return bytes(file.read(count))

    return retrying(head, uri, "cannot be read")


def retrying(action: Callable[[], _Result], uri: str, what: str) -> _Result:
    """Calls `action`; transient errors are retried, permanent ones raised as SourceErrors."""
    tries = 0
    while True:
        try:
            return action()
        except (HostError, SourceError):
            raise
        except Exception as raised:  # each file system raises its own kinds
            error, tries = _underlying(raised), tries + 1
            if isinstance(error, FileNotFoundError | NotADirectoryError):
                message = f"{uri}: no such file or object"
                raise SourceError("not_found", message) from raised
            if tries == _TRIES or _is_final(error):
                message = f"{uri}: {what}: {type(error).__name__}: {error}".removesuffix(": ")
                raise SourceError("unreadable", message) from raised
            _LOGGER.info("%s: %s: %s; retrying", uri, what, error)
        time.sleep(_FIRST_PAUSE_SECONDS * 2 ** (tries - 1))


def _underlying(error: Exception) -> Exception:
    """fsspec's web file system raises FileNotFoundError for every failure; returns its cause."""
    cause = error.__cause__
    if not isinstance(error, FileNotFoundError) or cause is None:
        return error
    gone = getattr(cause, "status", None) in (404, 410) or isinstance(cause, FileNotFoundError)
    return error if gone or not isinstance(cause, Exception) else cause


def _is_final(error: Exception) -> bool:
    """Whether a retry cannot help: permissions, wrong addresses, missing packages."""
    status = getattr(error, "status", None)
    if isinstance(status, int) and 400 <= status < 500:
        return status not in (408, 429)
    final = (PermissionError, IsADirectoryError, ValueError, ImportError, NotImplementedError)
    return isinstance(error, final)


class NoRangesError(SourceError):
    """A web server without range requests: the source must be copied for random access."""

    @classmethod
    def of(cls, uri: str) -> NoRangesError:
        """The error of one source."""
        return cls(
            "unreadable", f"{uri}: its server supports no range requests, or reports no size"
        )


class SourceFile(io.RawIOBase):
    """A remote file for FFmpeg to read: read-ahead, retries, and SourceErrors.

    Read-ahead starts small after a seek and grows with sequential reads, up to the byte where the
    reader is expected to stop: reading single keyframes costs little, sequential reading takes few
    requests, and few unused bytes are read. Bytes in the cache `recent` are not read again. PyAV
    propagates exceptions of a file, so the call that needed the bytes raises the SourceError.

    Args:
        fs: a file system of fsspec, and `path` in it.
        uri: what errors call it.
        info: the info of `look_up`, with a size.
    """

    def __init__(
        self, fs: Any, path: str, uri: str, info: dict[str, Any], recent: ReadCache = RECENT
    ) -> None:
        self._fs, self._path, self._uri = fs, path, uri
        self._size: int = info["size"]
        self._recent, self._key = recent, f"{uri}\n{fingerprint(info)}"
        self._position = 0
        self._file: Any = None
        self._ahead, self._ahead_start = b"", 0
        self._run_bytes = 0
        self._stop: int | None = None

    def expect_stop(self, position: int) -> None:
        """Sets where the reader is expected to stop: read-ahead stops there and restarts small."""
        self._stop = position

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, all that are left by default; b"" at the end."""
        if size < 0:
            return self.readall()
        content = retrying(lambda: self._read(size), self._uri, "reading stopped midway")
        self._position += len(content)
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to an offset; nothing is read yet."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Where the next byte comes from."""
        return self._position

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def close(self) -> None:
        """Closes the source."""
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()

    def _read(self, size: int) -> bytes:
        at = self._position - self._ahead_start
        if not 0 <= at < len(self._ahead):
            self._look_ahead(size, sought=at != len(self._ahead))
            at = self._position - self._ahead_start
        return self._ahead[at : at + size]

    def _look_ahead(self, size: int, *, sought: bool) -> None:
        """Loads the byte at the position into `_ahead`, unless the file ends before it."""
        if sought:
            self._run_bytes = 0
        known = self._recent.at(self._key, self._position)
        if known is not None:
            self._ahead_start, self._ahead = known
            return
        count = max(size, self._ahead_bytes())
        next_start = self._recent.next_start(self._key, self._position)
        self._fill(count if next_start is None else min(count, next_start - self._position))
        if self._ahead:
            self._recent.add(self._key, self._ahead_start, self._ahead)

    def _ahead_bytes(self) -> int:
        """How many bytes to read ahead at the position."""
        if self._stop is not None and self._position >= self._stop:
            self._stop, self._run_bytes = None, 0
        room = _MAX_AHEAD_BYTES if self._stop is None else self._stop - self._position
        grown = max(self._run_bytes // _AHEAD_SHARE, MIN_READ_BYTES)
        return min(grown, room, _MAX_AHEAD_BYTES)

    def _fill(self, size: int) -> None:
        try:
            if self._file is None:
                self._file = self._fs.open(self._path, "rb", cache_type="none")
            self._file.seek(self._position)
            content = bytes(self._file.read(size))
            if not content and self._position < self._size:
                what = f"reading stopped midway: got nothing at byte {self._position}"
                raise SourceError("unreadable", f"{self._uri}: {what} of {self._size}")
        except Exception as error:
            self._file = None  # the next try starts from a new connection
            if isinstance(error, ValueError) and _NO_RANGES in str(error):
                raise NoRangesError.of(self._uri) from error
            raise
        self._ahead, self._ahead_start = content, self._position
        self._run_bytes += len(content)
