"""A Python child process with a pipe: start, memory, exit code, kill.

It is started by exec, never by a bare fork: the worker may hold CUDA and locks. It imports the
installed package only (`safe_python`), and a terminal's Ctrl-C does not reach it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Final

import numpy as np

from transforms.decoding.messages import Answer, Progress, decode_answer
from transforms.decoding.safe_python import python_command, python_environment
from transforms.decoding.watchdog import Breach, Watchdog

_FAREWELL_SECONDS: Final = 2.0
_LAST_WORDS_BYTES: Final = 400
#: How often a busy child's memory and time are checked.
_WATCH_SECONDS: Final = 0.25
_SIZE_BYTES: Final = 4
#: For glibc: memory of frames returns to the system when freed. By default the thresholds rise with
#: the size of freed blocks, and the heap keeps them.
_MALLOC: Final = {"MALLOC_MMAP_THRESHOLD_": str(4 << 20), "MALLOC_TRIM_THRESHOLD_": str(4 << 20)}
#: The children of this process that are alive.
_ALIVE: set[subprocess.Popen[bytes]] = set()


class ChildProcess:
    """One process that runs `module FD`, and our end of its pipe, `connection`.

    Raises OSError if the system cannot create a process, file or pipe.
    """

    def __init__(self, module: str) -> None:
        with contextlib.ExitStack() as opened:
            self._stderr: Any = opened.enter_context(tempfile.TemporaryFile())
            ours, theirs = Pipe()
            opened.enter_context(ours)
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    python_command(module, str(theirs.fileno())),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._stderr,
                    env=python_environment(OMP_NUM_THREADS="1", **_MALLOC),
                    start_new_session=True,  # Ctrl-C is for the worker, which ends us
                )
            opened.pop_all()
        self.connection: Connection[Any, Any] = ours
        self._socket = socket.socket(fileno=os.dup(ours.fileno()))
        watch = struct.pack("ll", 0, int(_WATCH_SECONDS * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, watch)
        self._header = memoryview(bytearray(_SIZE_BYTES))
        self._body: memoryview | None = None
        self._bytes_read = 0  # of the header, or of the body after it
        _ALIVE.add(self._process)

    def receive(self) -> memoryview | None:
        """The next message of the child's `Connection.send_bytes`.

        None if it is not there after `_WATCH_SECONDS`; the next call goes on with it.

        Unlike `recv_bytes` it reads megabytes in one system call, into the memory where they stay:
        each return from a call waits for the interpreter's lock.

        Raises EOFError when the child hangs up, OSError for a message of 2 GiB or more.
        """
        if self._body is None:
            if not self._fills(self._header):
                return None
            (size,) = struct.unpack("!i", self._header)
            if size < 0:
                raise OSError("got a message of 2 GiB or more")
            self._body, self._bytes_read = np.empty(size, np.uint8).data, 0
        if not self._fills(self._body):
            return None
        body, self._body, self._bytes_read = self._body, None, 0
        return body.toreadonly()

    def _fills(self, buffer: memoryview) -> bool:
        """Whether the buffer is full after one more call."""
        if self._bytes_read < len(buffer):
            try:
                rest = buffer[self._bytes_read :]
                count = self._socket.recv_into(rest, flags=socket.MSG_WAITALL)
            except BlockingIOError:  # nothing came
                return False
            if not count:
                raise EOFError
            self._bytes_read += count
        return self._bytes_read == len(buffer)

    def memory_mb(self) -> float:
        """Resident memory; 0 where the system does not report it."""
        try:
            pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        except (OSError, IndexError):
            return 0.0
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        return self._process.poll()

    def close(self) -> None:
        """Kills the process and closes its files."""
        self._process.kill()
        self._process.wait()
        _ALIVE.discard(self._process)
        self._socket.close()
        self.connection.close()
        self._stderr.close()

    def last_words(self) -> str:
        """The exit status of a process that closed its pipe, and its last line on stderr."""
        try:
            self._process.wait(timeout=_FAREWELL_SECONDS)
        except subprocess.TimeoutExpired:  # it closed its end and still runs
            self._process.kill()
            self._process.wait()
        code = self._process.returncode
        how = f"exit status {code}" if code >= 0 else f"signal {_signal_name(-code)}"
        end = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, end - _LAST_WORDS_BYTES))
        words = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"{how}: {words[-1]}" if words else how


def kill_all_children() -> None:
    """Kills every child of this process, before it exits."""
    for process in list(_ALIVE):
        process.kill()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals between the named ones
        return str(number)


def ignore_frames(frames: int) -> None:
    """Does nothing: the default without a progress display."""


def wait_for_answer(
    process: ChildProcess, watchdog: Watchdog, on_frames: Callable[[int], None] = ignore_frames
) -> tuple[Answer, memoryview] | Breach:
    """The next answer other than progress, or the limit that was broken before it.

    Raises EOFError or OSError when the child hangs up, ValueError for garbage.
    """
    watchdog.wait_begins(time.monotonic())
    while True:
        content = process.receive()
        if content is not None:
            received = decode_answer(content)
            if not isinstance(received[0], Progress):
                watchdog.wait_ends(time.monotonic())
                return received
            watchdog.sign(time.monotonic())
            on_frames(received[0].frames)
        breach = watchdog.breach(time.monotonic(), process.memory_mb())
        if breach is not None:
            return breach
