"""A web server of one folder with range requests and configurable misbehaviour."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

__all__ = ["Manners", "Request", "VideoServer", "serve"]

_CHUNK_BYTES: Final = 16 << 10


@dataclass(frozen=True, slots=True)
class Request:
    """One request: HEAD or GET, the file, and the requested bytes [start, stop)."""

    method: str
    name: str
    start: int
    stop: int
    number: int  # of the requests for this file, from 0


@dataclass(slots=True)
class Manners:
    """The answer to a request.

    status: an error instead of the file. cut_after: the connection breaks after this number
    of bytes. bytes_a_second: maximum rate. hang: no answer, and the connection stays open.
    ranges: if false, every request is answered with the whole file, like `python -m
    http.server`. shift: answers begin this number of bytes before the range, and say so.
    whole: answers have status 206, the range in their headers, and the whole file. sized: if
    false, the file is sent in chunks without its size.
    """

    status: int | None = None
    cut_after: int | None = None
    bytes_a_second: float | None = None
    hang: bool = False
    ranges: bool = True
    shift: int = 0
    whole: bool = False
    sized: bool = True


@dataclass(slots=True)
class VideoServer:
    """The served files, their behaviour, and the requests.

    `manners` maps a file's name to a function of the request; files without one are
    served correctly.
    """

    folder: Path
    url: str = ""
    manners: dict[str, Callable[[Request], Manners]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    bytes_sent: int = 0
    closing: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def asked(self, name: str) -> list[Request]:
        """The requests for a file, in order."""
        with self.lock:
            return [request for request in self.requests if request.name == name]


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[VideoServer]:
    """Serves `folder` on this machine until the block ends."""
    told = VideoServer(folder)

    class Handler(_Handler):
        server_told = told

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        told.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield told
        finally:
            told.closing.set()
            server.shutdown()
            thread.join()


def _in_a_chunk(content: bytes) -> bytes:
    """A chunk of HTTP's chunked encoding; an empty one ends the body."""
    return b"%x\r\n%b\r\n" % (len(content), content)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_told: VideoServer

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *args: object) -> None:
        """No log: requests are recorded instead."""

    def _answer(self) -> None:
        told, name = self.server_told, self.path.lstrip("/")
        path = told.folder / name
        if not path.is_file():
            self._refuse(404)
            return
        size = path.stat().st_size
        start, stop, partial = self._range(size)
        with told.lock:
            number = sum(request.name == name for request in told.requests)
            request = Request(self.command, name, start, stop, number)
            told.requests.append(request)
        manners = told.manners.get(name, lambda request: Manners())(request)
        if manners.hang:
            told.closing.wait()
            self.close_connection = True
            return
        if manners.status is not None:
            self._refuse(manners.status)
            return
        if not (manners.ranges and manners.sized):
            start, stop, partial = 0, size, False
        start = max(0, start - manners.shift)
        self.send_response(206 if partial else 200)
        if manners.ranges and manners.sized:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{size}"')
        if partial:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        if manners.whole:
            start, stop = 0, size
        if manners.sized:
            self.send_header("Content-Length", str(stop - start))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.command == "GET":
            with path.open("rb") as file:
                file.seek(start)
                self._send(file.read(stop - start), manners)

    def _send(self, content: bytes, manners: Manners) -> None:
        cut = len(content) if manners.cut_after is None else manners.cut_after
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for begin in range(0, min(cut, len(content)), _CHUNK_BYTES):
                chunk = content[begin : min(begin + _CHUNK_BYTES, cut)]
                self.wfile.write(chunk if manners.sized else _in_a_chunk(chunk))
                with self.server_told.lock:
                    self.server_told.bytes_sent += len(chunk)
                if manners.bytes_a_second and self.server_told.closing.wait(
                    len(chunk) / manners.bytes_a_second
                ):
                    break
            if not manners.sized and cut == len(content):
                self.wfile.write(_in_a_chunk(b""))
        if cut < len(content):
            self.close_connection = True

    def _range(self, size: int) -> tuple[int, int, bool]:
        asked = self.headers.get("Range")
        if not asked:
            return 0, size, False
        first, _, last = asked.removeprefix("bytes=").partition("-")
        return int(first), min(size, int(last) + 1 if last else size), True

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
