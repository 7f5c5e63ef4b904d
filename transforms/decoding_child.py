"""Decoding in a process of its own, which can hang, crash or be killed without harm.

    worker thread                         child (python -m transforms.decoding_child)
    DecodingChild.plan / .decode  --->    opens, seeks, decodes, detects, crops
                                  <---    progress, ... then a result or a VideoError

One child serves one worker thread, one request at a time, and lives on between requests.
It is started by exec, never by a bare fork: the worker may hold CUDA and locks. A child
that makes no progress for `stall_seconds` is killed; the next request gets a new one.
The child ends by itself when its worker is gone, even from inside a decoder that hangs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection, Pipe
from pathlib import PurePosixPath
from typing import Any, Final

import fsspec

from schemas.errors import DecodingError, VideoError
from schemas.records import Segment, SegmentWindows, Video
from transforms.window_decoding import CropSpec

__all__ = ["ChildSettings", "DecodingChild", "kill_all_children"]

_PROGRESS_SECONDS: Final = 0.5
_PARENT_CHECK_SECONDS: Final = 1.0
#: The children of this process that are alive.
_ALIVE: set[subprocess.Popen[bytes]] = set()


@dataclasses.dataclass(frozen=True, slots=True)
class ChildSettings:
    """What a decoding child is told once.

    detector: `default`, `yunet:PATH`, or a weights file.
    stall_seconds: a child silent for longer is killed.
    """

    crop: CropSpec
    detector: str = "default"
    segment_seconds: float = 10.0
    decode_threads: int = 1
    stall_seconds: float = 60.0


class DecodingChild:
    """A handle on the child; start is lazy, restart after a failure automatic."""

    def __init__(self, settings: ChildSettings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        self._stderr: Any = None

    def plan(self, video: Video) -> list[Segment]:
        """Cuts a video in segments.

        Raises VideoError with the reason class when it cannot be opened, or takes the
        child down.
        """
        with _within_reach(video) as reachable:
            segments: list[Segment] = self._ask("plan", reachable, video)
        return [dataclasses.replace(segment, video=video) for segment in segments]

    def decode(self, segment: Segment) -> SegmentWindows:
        """Decodes one segment; raises VideoError as `plan` does."""
        with _within_reach(segment.video) as reachable:
            request = dataclasses.replace(segment, video=reachable)
            windows: SegmentWindows = self._ask("decode", request, segment.video)
        return dataclasses.replace(windows, segment=segment)

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

    def _ask(self, request: str, argument: Any, video: Video) -> Any:
        connection = self._started()
        try:
            connection.send((request, argument))
            while connection.poll(self._settings.stall_seconds):
                kind, value = connection.recv()
                if kind == "done":
                    return value
                if kind == "video error":
                    raise value
                if kind == "bug":
                    raise RuntimeError(f"{video.uri}: the decoding child raised\n{value}")
        except (EOFError, OSError) as error:
            message = f"{video.uri}: the decoder took its process down ({self._last_words()})"
            self.close()
            raise DecodingError("decoder_crashed", message) from error
        self.close()
        seconds = self._settings.stall_seconds
        message = f"{video.uri}: the decoder made no progress for {seconds:g} s and was killed"
        raise DecodingError("decoder_hung", message)

    def _started(self) -> Connection[Any, Any]:
        if self._connection is not None:
            return self._connection
        ours, theirs = Pipe()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        environment = dict(os.environ, OMP_NUM_THREADS="1")
        environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "transforms.decoding_child", str(theirs.fileno())],
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
        return ours

    def _last_words(self) -> str:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        code = self._process.returncode
        how = f"exit status {code}"
        if code is not None and code < 0:
            how = f"signal {signal.Signals(-code).name}"
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - 400))
        words = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"{how}: {words[-1]}" if words else how


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


class _Server:
    """The child's side. Heavy imports wait until they are needed."""

    def __init__(self, connection: Connection[Any, Any], settings: ChildSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._detector: Any = None
        self._last_progress = 0.0

    def plan(self, video: Video) -> list[Segment]:
        from transforms.video_source import open_video, plan_segments

        with open_video(video.uri) as (container, stream):
            return plan_segments(video, container, stream, self._settings.segment_seconds)

    def decode(self, segment: Segment) -> SegmentWindows:
        from transforms.face_boxes import BoxSource, DetectedBoxes, read_boxes
        from transforms.video_source import FrameStream, open_video
        from transforms.window_decoding import decode_windows

        time_base = segment.probe.time_base
        boxes: BoxSource
        if segment.video.boxes_uri is not None:
            boxes = read_boxes(segment.video, time_base, segment.probe.average_fps)
        else:
            boxes = DetectedBoxes(self._loaded_detector(), time_base)
        with open_video(segment.video.uri) as (container, stream):
            threads = self._settings.decode_threads
            frames = FrameStream(segment, container, stream, threads)
            windows = decode_windows(
                segment, frames, boxes, self._settings.crop, on_progress=self._progress
            )
        work = dataclasses.replace(windows.work, packets_bad=frames.packets_bad)
        return dataclasses.replace(windows, work=work)

    def _loaded_detector(self) -> Any:
        if self._detector is None:
            import torch

            from models.face_detector import load_face_detector

            torch.set_num_threads(1)
            self._detector = load_face_detector(self._settings.detector)
        return self._detector

    def _progress(self, frames: int) -> None:
        now = time.monotonic()
        if now - self._last_progress > _PROGRESS_SECONDS:
            self._last_progress = now
            self._connection.send(("progress", frames))


def _serve(connection: Connection[Any, Any]) -> None:
    import av
    import cv2

    av.logging.set_level(None)
    cv2.setNumThreads(1)
    server = _Server(connection, connection.recv())
    while True:
        request, argument = connection.recv()
        try:
            answer = ("done", getattr(server, request)(argument))
        except VideoError as error:
            answer = ("video error", error)
        except Exception:
            answer = ("bug", traceback.format_exc())
        connection.send(answer)


def _end_with_parent(parent: int) -> None:
    """Ends this process soon after its parent has; runs in a thread beside the work."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _serve(Connection(int(sys.argv[1])))
