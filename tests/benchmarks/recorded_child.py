"""A decoding child that answers each request as it did the first time: without decoding anything.

FACETRACKS_RECORDED names the folder of the answers. The first request about a segment is served as
usual and recorded.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec

from schemas.records import Segment, Video
from transforms.decoding.child import ChildSettings
from transforms.decoding.messages import Done, encode_answer
from transforms.decoding.server import Server, main


class _Recording:
    """A connection that keeps what is sent."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self.sent: list[bytes] = []

    def send_bytes(self, content: bytes) -> None:
        self.sent.append(content)
        self._connection.send_bytes(content)


class RecordedChild(Server):
    """Decodes what it has no answers for."""

    def __init__(self, connection: Connection[Any, Any], settings: ChildSettings) -> None:
        self._recording: Any = _Recording(connection)
        super().__init__(self._recording, settings)  # type: ignore[arg-type]

    def load(self, with_detector: bool) -> bytes:
        return encode_answer(Done())  # what decodes loads it then

    def plan(self, video: Video) -> bytes:
        return self._replayed(f"{video.uri} plan", lambda: super(RecordedChild, self).plan(video))

    def decode(self, segment: Segment) -> bytes:
        what = f"{segment.video.uri} {segment.index} of {segment.count}"
        return self._replayed(what, lambda: super(RecordedChild, self).decode(segment))

    def _replayed(self, what: str, answer: Callable[[], bytes]) -> bytes:
        name = hashlib.sha256(what.encode()).hexdigest()
        path = Path(os.environ["FACETRACKS_RECORDED"]) / name
        if path.exists():
            *pieces, last = msgspec.msgpack.decode(path.read_bytes(), type=list[bytes])
            for piece in pieces:
                self._connection.send_bytes(piece)
            return last
        self._recording.sent.clear()
        last = answer()
        # Progress reports are a few bytes, and stay.
        path.write_bytes(msgspec.msgpack.encode([*self._recording.sent, last]))
        return last


if __name__ == "__main__":
    main(int(sys.argv[1]), RecordedChild)
