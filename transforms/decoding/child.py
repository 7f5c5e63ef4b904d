"""Decoding in a process of its own, which can hang, crash or be killed without harm.

    worker thread                         child (python -m transforms.decoding.server)
    DecodingChild.plan / .decode  --->    opens, seeks, decodes, detects, crops
                                  <---    progress, pieces, ... then the rest or a VideoError

One child serves one worker thread, one request at a time, and lives on between requests.
It is started by exec, never by a bare fork: the worker may hold CUDA and locks. A child
that makes no progress, takes too long or grows too large is killed; the next request gets
a new one. The child ends by itself when its worker is gone, even from inside a decoder
that hangs. Its answers are read without pickle: it handles untrusted video.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, Pipe
from pathlib import Path, PurePosixPath
from typing import Any, Final, NoReturn

import fsspec

from schemas.errors import DecodingError, VideoError
from schemas.records import Segment, SegmentWindows, Video
from transforms.decoding.window_builder import CropSpec
from transforms.storage.record_codec import unpack_plan, unpack_windows

__all__ = ["ChildSettings", "DecodingChild", "kill_all_children"]

_LOGGER = logging.getLogger(__name__)
#: How often a busy child's memory and time are looked at.
_WATCH_SECONDS: Final = 0.25
#: Time that every request may take, whatever the length of its video.
_GRACE_SECONDS: Final = 120.0
#: Length that a video without a known one is taken for.
_UNKNOWN_SECONDS: Final = 3600.0
_FAREWELL_SECONDS: Final = 2.0
_START_SECONDS: Final = 60.0
_LARGEST_ANSWER: Final = 2**31 - 1
#: The kind of answer that more will follow.
_PIECE: Final = b"W"
#: The children of this process that are alive.
_ALIVE: set[subprocess.Popen[bytes]] = set()


@dataclasses.dataclass(frozen=True)
class ChildSettings:
    """What a decoding child is told once.

    detector: `default`, `yunet:PATH`, or a weights file.
    detector_sha256: hex digest that the detector's weights must have, if given.
    stall_seconds: a child silent for longer is killed.
    max_slowness: seconds of work a second of video, beyond which it is killed.
    memory_mb: resident memory beyond which it is killed.
    max_pixels: frames with more are refused.
    stream: index of the stream to decode, among all of a container; None chooses.
    module: what the child runs; tests put a misbehaving one here.
    """

    crop: CropSpec
    detector: str = "default"
    detector_sha256: str | None = None
    segment_seconds: float = 10.0
    decode_threads: int = 1
    stall_seconds: float = 60.0
    max_slowness: float = 60.0
    memory_mb: int = 4096
    max_pixels: int = 50_000_000
    stream: int | None = None
    module: str = f"{__package__}.server"


class DecodingChild:
    """A handle on the child; start is lazy, restart after a failure automatic."""

    def __init__(self, settings: ChildSettings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        self._stderr: Any = None
        self._greeted = False
        self._busy = False

    def plan(self, video: Video) -> list[Segment]:
        """Cuts a video in segments.

        Raises VideoError with the reason class when it cannot be opened, or when it takes
        the child down or past a limit.
        """
        with _within_reach(video) as reachable:
            _, plan = next(self._ask("plan", reachable, video, 0.0))
        try:
            return unpack_plan(plan, video)
        except ValueError as error:
            self._refuse_garbage(video, error)

    def decode(self, segment: Segment) -> Iterator[SegmentWindows]:
        """Decodes one segment, in one piece or several; raises VideoError as `plan` does.

        The child works on the next piece while the caller has one, and no further.
        """
        seconds = (segment.metadata.duration_seconds or _UNKNOWN_SECONDS) / segment.count
        rest = segment
        with _within_reach(segment.video) as reachable:
            request = dataclasses.replace(segment, video=reachable)
            for is_last, answer in self._ask("decode", request, segment.video, seconds):
                try:
                    windows = unpack_windows(answer, rest)
                    if not is_last:
                        windows, rest = _divided(windows)
                except ValueError as error:
                    self._refuse_garbage(segment.video, error)
                yield windows

    def close(self) -> None:
        """Ends the child, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            _ALIVE.discard(self._process)
        for resource in (self._connection, self._stderr):
            if resource is not None:
                resource.close()
        self._process = self._connection = self._stderr = None
        self._busy = False

    def _ask(
        self, request: str, argument: Video | Segment, video: Video, video_seconds: float
    ) -> Iterator[tuple[bool, bytes]]:
        """What the child answers: (whether it is the last, content) of each piece.

        Raises VideoError where it fails.
        """
        if self._busy:  # nobody heard the last request out
            self.close()
        connection, self._busy = self._started(), True
        time_limit = _GRACE_SECONDS + self._settings.max_slowness * video_seconds
        waited = 0.0
        try:
            connection.send((request, argument))
            while self._busy:
                start = time.monotonic()
                answer = self._answer(connection, video, time_limit, waited)
                waited += time.monotonic() - start
                self._busy = answer[:1] == _PIECE
                yield not self._busy, self._content(answer, argument, video)
        except (EOFError, OSError) as error:
            message = f"{video.uri}: the decoder took its process down ({self._last_words()})"
            self.close()
            raise DecodingError("decoder_crashed", message) from error

    def _content(self, answer: bytes, argument: Video | Segment, video: Video) -> bytes:
        """What an answer brings; raises what it tells."""
        kind, content = answer[:1], answer[1:]
        if kind == b"V":
            try:
                told = json.loads(content)
                reason, message = str(told["reason"]), str(told["message"])
                message = message.replace(_uri_of(argument), video.uri)
                if reason == "memory_limit":
                    self.close()  # what filled its memory may still be there
            except (ValueError, KeyError, TypeError) as error:
                self._refuse_garbage(video, error)
            raise VideoError(reason, message)
        if kind == b"X":  # hostile bytes find bugs, ours and others': one video's failure
            text = content.decode(errors="replace").strip()
            _LOGGER.error("%s: the decoding process raised\n%s", video.uri, text)
            message = f"{video.uri}: the decoding process raised {text.splitlines()[-1]}"
            raise DecodingError("decoder_error", message)
        if kind == b"B":
            text = content.decode(errors="replace")
            raise RuntimeError(f"{video.uri}: the decoding child raised\n{text}")
        if kind not in (_PIECE, b"D"):
            self._refuse_garbage(video, ValueError(f"an answer of kind {kind!r}"))
        return content

    def _answer(
        self, connection: Connection[Any, Any], video: Video, time_limit: float, waited: float
    ) -> bytes:
        """Waits for an answer, as it did for `waited` s; kills a child that breaks a limit."""
        limits = self._settings
        start = last_sign = time.monotonic()
        while True:
            if connection.poll(_WATCH_SECONDS):
                answer = connection.recv_bytes(_LARGEST_ANSWER)
                if answer[:1] != b"P":
                    return answer
                last_sign, self._greeted = time.monotonic(), True
            now, memory_mb = time.monotonic(), self._memory_mb()
            if memory_mb > limits.memory_mb:
                self._kill(video, "memory_limit", f"needed more than {limits.memory_mb} MB")
            if waited + now - start > time_limit:
                self._kill(video, "time_limit", f"needed more than {time_limit:.0f} s")
            patience = limits.stall_seconds
            if not self._greeted:  # it is still reading its libraries
                patience = max(patience, _START_SECONDS)
            if now - last_sign > patience:
                silent = f"made no progress for {patience:g} s"
                self._kill(video, "decoder_hung", silent)

    def _kill(self, video: Video, reason: str, what: str) -> NoReturn:
        self.close()
        raise DecodingError(reason, f"{video.uri}: the decoder {what} and was killed")

    def _refuse_garbage(self, video: Video, error: Exception) -> NoReturn:
        self.close()
        message = f"{video.uri}: the decoder answered with garbage: {error}"
        raise DecodingError("decoder_error", message) from error

    def _memory_mb(self) -> float:
        """Resident memory of the child; 0 where the system does not tell."""
        assert self._process is not None
        try:
            pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        except (OSError, IndexError):
            return 0.0
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def _started(self) -> Connection[Any, Any]:
        if self._connection is not None:
            return self._connection
        ours, theirs = Pipe()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        environment = dict(os.environ, OMP_NUM_THREADS="1")
        environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", self._settings.module, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
            env=environment,
            start_new_session=True,  # a terminal's Ctrl-C is for the worker, which ends us
        )
        _ALIVE.add(self._process)
        theirs.close()
        ours.send(self._settings)
        self._connection = ours
        self._greeted = False
        return ours

    def _last_words(self) -> str:
        assert self._process is not None
        try:
            self._process.wait(timeout=_FAREWELL_SECONDS)
        except subprocess.TimeoutExpired:  # it closed its end, and lives on
            self._process.kill()
            self._process.wait()
        code = self._process.returncode
        how = f"exit status {code}"
        if code is not None and code < 0:
            how = f"signal {signal.Signals(-code).name}"
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - 400))
        words = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"{how}: {words[-1]}" if words else how


def _divided(windows: SegmentWindows) -> tuple[SegmentWindows, Segment]:
    """A piece with what it owns, up to its seam, and what is left of the segment."""
    whole, seam = windows.segment, windows.seam
    if seam is None or not whole.owns(seam.pts) or seam.pts == whole.own_start_pts:
        raise ValueError(f"a piece of {whole.own_start_pts} to {whole.own_stop_pts} ends at {seam}")
    return dataclasses.replace(windows, segment=whole.until(seam.pts)), whole.after(seam.pts)


def _uri_of(argument: Video | Segment) -> str:
    return argument.uri if isinstance(argument, Video) else argument.video.uri


def kill_all_children() -> None:
    """Ends every child of this process; for a process about to end."""
    for process in list(_ALIVE):
        process.kill()


@contextlib.contextmanager
def _within_reach(video: Video) -> Iterator[Video]:
    """The video as another process can read it: what is in our memory:// goes to a file."""
    with contextlib.ExitStack() as stack:

        def spooled(url: str | None) -> str | None:
            if url is None or not url.startswith("memory://"):
                return url
            fs, path = fsspec.core.url_to_fs(url)
            if not fs.exists(path):
                return url
            suffix = PurePosixPath(path).suffix
            copy = stack.enter_context(tempfile.NamedTemporaryFile(suffix=suffix))
            copy.write(fs.cat_file(path))
            copy.flush()
            return copy.name

        uri = spooled(video.uri) or video.uri
        yield dataclasses.replace(video, uri=uri, boxes_uri=spooled(video.boxes_uri))
