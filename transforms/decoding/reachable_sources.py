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
    """A copy on the disk, once it is there, and how many requests read it or wait for it."""

    download: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    file: Any = None
    size_bytes: int = 0
    users: int = 0


class Copies:
    """Temporary copies of sources by URI; the least recently used are removed first.

    max_bytes: limit on the size of one copy, and on that of all unused copies together.
    """

    def __init__(self, max_bytes: int = _MAX_COPY_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._copies: OrderedDict[str, _Copy] = OrderedDict()  # of the sources that are wanted

    def want(self, uri: str) -> bool:
        """Marks a source to be read from a copy; returns whether it was not marked before."""
        with self._lock:
            is_new = uri not in self._copies
            self._copies.setdefault(uri, _Copy())
        return is_new

    @contextlib.contextmanager
    def lent(self, uri: str) -> Iterator[str | None]:
        """The path of the copy, for as long as the block; None where none is wanted.

        Raises SourceError where the source cannot be read, or is too large to be copied.
        """
        with self._lock:
            copy = self._copies.get(uri)
            if copy is not None:
                copy.users += 1
        if copy is None:
            yield None
            return
        try:
            with copy.download:
                if copy.file is None:
                    copy.file, copy.size_bytes = _download(uri, self._max_bytes)
            yield copy.file.name
        finally:
            with self._lock:
                copy.users -= 1
                self._copies.move_to_end(uri)
                self._make_room()

    def _make_room(self) -> None:
        idle = [copy for copy in self._copies.values() if copy.file and not copy.users]
        size = sum(copy.size_bytes for copy in idle)
        for copy in idle:
            if size <= self._max_bytes:
                break
            size -= copy.size_bytes
            copy.file.close()
            copy.file = None


def _download(uri: str, max_bytes: int) -> tuple[Any, int]:
    """Reads a source once from its beginning to its end: the temporary file, and its bytes."""

    def read() -> tuple[Any, int]:
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
        return copy, size

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
