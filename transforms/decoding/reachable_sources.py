"""Makes inputs readable for a decoding child: some are copied to a temporary file first.

Sources in this process's memory:// are copied for every request. Sources on a web server without
range requests, or without a size, are copied once and kept for later requests, within a limit on
their total size.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, Final

import fsspec

from schemas.errors import HostError, SourceError
from schemas.records import Video
from transforms.storage.atomic_files import temporary_file
from transforms.storage.source_files import resolve, retrying

#: Limit on the size of one copy, and of all unused copies together.
_MAX_COPY_BYTES: Final = 8 << 30
_CHUNK_BYTES: Final = 1 << 20


@dataclasses.dataclass(slots=True)
class _Copy:
    """A copy on the disk, and how many requests are reading it."""

    file: Any
    size_bytes: int
    users: int = 0


class Copies:
    """Temporary copies of sources by URI; the least recently used are removed first.

    max_bytes: limit on the size of one copy, and on that of all unused copies together.
    """

    def __init__(self, max_bytes: int = _MAX_COPY_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._wanted: dict[str, threading.Lock] = {}  # held while a source is downloaded
        self._copies: OrderedDict[str, _Copy] = OrderedDict()

    def want(self, uri: str) -> bool:
        """Marks a source to be read from a copy; returns whether it was not marked before."""
        with self._lock:
            is_new = uri not in self._wanted
            self._wanted.setdefault(uri, threading.Lock())
        return is_new

    @contextlib.contextmanager
    def lent(self, uri: str) -> Iterator[str | None]:
        """The path of the copy, for as long as the block; None where none is wanted.

        Raises SourceError where the source cannot be read, or is too large to be copied.
        """
        download = self._wanted.get(uri)
        if download is None:
            yield None
            return
        with download:
            if uri not in self._copies:
                copy = _download(uri, self._max_bytes)
                with self._lock:
                    self._copies[uri] = copy
            copy = self._copies[uri]
            copy.users += 1
        try:
            yield copy.file.name
        finally:
            with download:
                copy.users -= 1
            self._make_room(uri)

    def _make_room(self, latest: str) -> None:
        with self._lock:
            self._copies.move_to_end(latest)
            idle = [uri for uri, copy in self._copies.items() if not copy.users]
            size = sum(self._copies[uri].size_bytes for uri in idle)
            for uri in idle:
                if size <= self._max_bytes:
                    break
                copy = self._copies.pop(uri)
                size -= copy.size_bytes
                copy.file.close()


def _download(uri: str, max_bytes: int) -> _Copy:
    """Reads a source once from its beginning to its end."""

    def read() -> _Copy:
        fs, path = resolve(uri)
        copy = temporary_file()
        size = 0
        with contextlib.ExitStack() as on_failure:
            on_failure.enter_context(copy)
            with fs.open(path, "rb", block_size=0, cache_type="none") as source:
                while chunk := source.read(_CHUNK_BYTES):
                    size += len(chunk)
                    if size > max_bytes:
                        what = f"{uri}: its server supports no range requests, and it has more than"
                        raise SourceError("unreadable", f"{what} the {max_bytes} bytes of a copy")
                    copy.write(chunk)
            copy.flush()
            on_failure.pop_all()
        return _Copy(copy, size)

    return retrying(read, uri, "cannot be copied to a temporary file")


#: The copies of this process.
COPIES: Final = Copies()


@contextlib.contextmanager
def within_reach(video: Video) -> Iterator[Video]:
    """The video, and its boxes, under URIs that a child can open; for as long as the block.

    Raises HostError if there is no room for a copy, SourceError if a source that must be copied
    cannot be read to its end.
    """
    with contextlib.ExitStack() as stack:

        def reachable(url: str) -> str:
            if not url.startswith("memory://"):
                return stack.enter_context(COPIES.lent(url)) or url
            fs, path = fsspec.core.url_to_fs(url)
            if not fs.exists(path):
                return url
            suffix = PurePosixPath(path).suffix
            try:
                copy = stack.enter_context(temporary_file(suffix))
                copy.write(fs.cat_file(path))
                copy.flush()
            except OSError as error:
                raise HostError(f"{url} cannot be copied to a temporary file: {error}") from error
            return str(copy.name)

        boxes = video.boxes_uri
        yield dataclasses.replace(
            video, uri=reachable(video.uri), boxes_uri=boxes and reachable(boxes)
        )
