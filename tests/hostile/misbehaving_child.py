"""A decoding child that misbehaves like one taken over by a hostile video; run by the tests.

The video_id of a request selects the fault; all other requests are served by the real code.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import msgspec

from schemas.records import Segment, Video
from transforms.decoding.messages import Progress, Windows, encode_answer
from transforms.decoding.server import Server, main

__all__ = ["Misbehaving"]

_MEGABYTE = 1 << 20


class Misbehaving(Server):
    """Serves most videos, and fails on some."""

    def plan(self, video: Video) -> bytes:
        misbehave(video.video_id, self._connection)
        return super().plan(video)

    def decode(self, segment: Segment) -> bytes:
        misbehave(segment.video.video_id.removeprefix("decode-"), self._connection)
        return super().decode(segment)


def misbehave(how: str, connection: Connection[Any, Any]) -> None:
    """Fails in the way named `how`, if there is such a way."""
    if how == "hangs":
        sleep_for_ever()
    elif how == "hangs deaf":
        signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL})
        sleep_for_ever()
    elif how == "spins":
        while True:
            pass
    elif how == "chatters":  # endless progress without a result
        while True:
            connection.send_bytes(encode_answer(Progress(1)))
            time.sleep(0.02)
    elif how == "segfaults":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif how == "aborts":
        os.abort()
    elif how == "exits":
        os._exit(0)
    elif how == "hungry":
        eat(pieces=1 << 20, pause_seconds=0.02)
    elif how == "greedy":  # at once, faster than the watchdog's polling
        eat(pieces=1, bytes_a_piece=1 << 40)
    elif how == "recurses":
        misbehave_deeper(0)
    elif how == "hangs up":
        connection.close()
        sleep_for_ever()
    elif how in GARBAGE:
        connection.send_bytes(GARBAGE[how])
        sleep_for_ever()


def framed(record: bytes) -> bytes:
    return len(record).to_bytes(8, "little") + record + bytes(-len(record) % 8)


#: Invalid answers.
GARBAGE = {
    "garbage: nothing": b"",
    "garbage: noise": os.urandom(1000),
    "garbage: a record that is none": framed(b"{not msgpack"),
    "garbage: windows with noise": encode_answer(Windows(last=True), bytes(range(256)) * 40),
    "garbage: windows with nothing": encode_answer(Windows(last=True)),
    "garbage: an error of another shape": framed(msgspec.msgpack.encode([1, 2])),
    "garbage: a pickle that touches a file": b"cposix\nsystem\n(S'touch pwned'\ntR.",
}


def eat(*, pieces: int, bytes_a_piece: int = 32 * _MEGABYTE, pause_seconds: float = 0.0) -> None:
    """Allocates memory and touches every page."""
    eaten = []
    for _ in range(pieces):
        eaten.append(b"\1" * bytes_a_piece)
        time.sleep(pause_seconds)


def misbehave_deeper(depth: int) -> int:
    return misbehave_deeper(depth + 1) + 1


def sleep_for_ever() -> NoReturn:
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main(int(sys.argv[1]), Misbehaving)
