"""Decoding in a process of its own, which can hang, crash or be killed without harm.

    worker thread                         child (python -P -m transforms.decoding.server)
    DecodingChild.plan / .decode  --->    opens, seeks, decodes, detects, crops
                                  <---    progress, windows, ... or why there are none

One child serves one worker thread, one request at a time, and stays alive between requests. A
child that makes no progress, takes too long or grows too large is killed; the next request gets
a new one. The child exits when its worker is gone, even while a decoder hangs.

A failure before a child has opened a video is a fault of the host: libraries that cannot be
imported, a system limit, a detector that cannot be loaded. A new child is started once; if that
fails too, the run ends with a HostError.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import signal
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np

from models.frame_pixels import FramePixels
from schemas.errors import DecodingError, HostError, VideoError
from schemas.records import Segment, SegmentWindows, Video
from transforms.decoding.child_process import ChildProcess, ignore_frames, wait_for_answer
from transforms.decoding.frame_answer import Frames
from transforms.decoding.messages import (
    Answer,
    Done,
    Fault,
    Measured,
    NeedsCopy,
    Picture,
    Plan,
    Raised,
    Ready,
    Refusal,
    Request,
    Windows,
    more_follow,
)
from transforms.decoding.pictures import PictureRequest, VideoPicture
from transforms.decoding.piece_builder import CropSpec
from transforms.decoding.reachable_sources import COPIES, within_reach
from transforms.decoding.watchdog import Breach, Watchdog
from transforms.storage.record_codec import unpack_windows
from transforms.storage.source_files import NoRangesError

_LOGGER = logging.getLogger(__name__)
#: Time allowed for every request, in addition to that for the length of its video.
_GRACE_SECONDS: Final = 120.0
#: Assumed length of a video of unknown length.
_UNKNOWN_SECONDS: Final = 3600.0
#: Minimum silence allowed while a child loads its libraries.
_START_SECONDS: Final = 300.0
_STARTS: Final = 2
_NO_CROPS: Final = CropSpec(1, 1.0, 1)

_Asked: TypeAlias = Video | Segment | PictureRequest
_Expected = TypeVar("_Expected", bound=Answer)
_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True)
class ChildSettings:
    """Settings that a decoding child is started with.

    crop: the input of the landmark network; the default is for requests that crop nothing.
    detector: `default`, `yunet:PATH`, or a weights file.
    detector_sha256: hex digest that the detector's weights must have, if given.
    stall_seconds: a child silent for longer is killed.
    max_slowness: seconds of work per second of video, beyond which it is killed.
    memory_mb: resident memory beyond which it is killed.
    max_pixels: frames with more are refused.
    stream: index of the stream to decode, among all of a container; None chooses one.
    module: what the child runs; tests put a misbehaving one here.
    """

    crop: CropSpec = _NO_CROPS
    detector: str = "default"
    detector_sha256: str | None = None
    segment_seconds: float = 10.0
    stall_seconds: float = 60.0
    max_slowness: float = 60.0
    memory_mb: int = 4096
    max_pixels: int = 50_000_000
    stream: int | None = None
    module: str = f"{__package__}.server"


class _KilledError(DecodingError):
    """Something other than this worker killed the child; the request is repeated once."""


class DecodingChild:
    """A handle on the child; start is lazy, restart after a failure automatic."""

    def __init__(self, settings: ChildSettings) -> None:
        self._settings = settings
        self._process: ChildProcess | None = None
        self._busy = False
        self._on_frames: Callable[[int], None] = ignore_frames
        self._prepared: set[bool] = set()  # without, with the detector
        self._has_opened_a_video = False

    def plan(self, video: Video) -> list[Segment]:
        """Cuts a video into segments.

        Raises VideoError if it cannot be opened, or the child crashes or passes a limit; HostError
        if no child can be started.
        """
        return self._answer(Request.PLAN, video, 0.0, Plan)[0].segments(video)

    def decode(
        self, segment: Segment, on_frames: Callable[[int], None] | None = None
    ) -> Iterator[SegmentWindows]:
        """Decodes one segment, in one piece or several; raises as `plan` does.

        The child works at most one piece ahead of the caller. `on_frames` is called now and then
        with the number of frames of the segment that are decoded so far.
        """
        self._on_frames = on_frames or ignore_frames
        video, rest = segment.video, segment
        seconds = (segment.metadata.duration_seconds or _UNKNOWN_SECONDS) / segment.count

        def attempt(reachable: Video) -> Iterator[SegmentWindows]:
            nonlocal rest
            self._prepare(video)
            asked = dataclasses.replace(rest, video=reachable)
            for answer, body in self._answers(Request.DECODE, asked, video, seconds, Windows):
                with self._refusing_garbage(video):
                    windows = self._piece(body, rest, last=answer.last)
                if not answer.last:
                    rest = rest.after(windows.segment.own_stop_pts)
                yield windows

        return self._repeated(video, attempt)

    def measure(self, video: Video) -> tuple[int, float]:
        """Frames and seconds of a plain decode of the whole video; raises as `plan` does."""
        measured, _ = self._answer(Request.MEASURE, video, _UNKNOWN_SECONDS, Measured)
        return measured.frames, measured.seconds

    def picture(self, asked: PictureRequest) -> VideoPicture:
        """A picture of a video; raises as `plan` does."""
        answer, body = self._answer(Request.PICTURE, asked, 0.0, Picture)
        with self._refusing_garbage(asked.video):
            shape = answer.height_px, answer.width_px, 3
            pixels = np.frombuffer(body, np.uint8).reshape(shape)
        return VideoPicture(answer.pts, pixels, np.array(answer.affine).reshape(2, 3))

    def frames(self, segment: Segment) -> Iterator[tuple[int, FramePixels]]:
        """(pts, pixels) of every frame of a segment, pts rising; raises as `plan` does."""
        last_pts = None
        seconds = segment.metadata.duration_seconds or _UNKNOWN_SECONDS
        for answer, body in self._all_answers(Request.FRAMES, segment, seconds, Frames):
            frame = answer.frame
            if frame is not None and (last_pts is None or frame.pts > last_pts):
                with self._refusing_garbage(segment.video):
                    pixels = FramePixels(frame.planes(body, self._settings.max_pixels))
                last_pts = frame.pts
                yield last_pts, pixels

    def read_sound(self, segment: Segment) -> None:
        """Reads all packets of a video's sound, as a trial; raises as `plan` does."""
        self._answer(Request.SOUND, segment, _UNKNOWN_SECONDS, Done)

    def close(self) -> None:
        """Kills the child process."""
        if self._process is not None:
            self._process.close()
        self._process = None
        self._busy = self._has_opened_a_video = False
        self._prepared.clear()

    def _piece(self, body: memoryview, whole: Segment, *, last: bool) -> SegmentWindows:
        """A piece of `whole`, the range that is left, with the range it owns; raises ValueError."""
        windows = unpack_windows(body, whole)
        crop, geometry = self._settings.crop, windows.geometry
        size, frames = (crop.size_px, crop.size_px), crop.window_frames
        if windows.crops.shape[1:3] != size or windows.windows.shape[1] != frames:
            got = f"crops {windows.crops.shape}, windows {windows.windows.shape}"
            raise ValueError(f"got {got}, expected crops of {size} px in windows of {frames}")
        if geometry and geometry.width_px * geometry.height_px > self._settings.max_pixels:
            raise ValueError(f"got {geometry}, expected {self._settings.max_pixels} pixels at most")
        seam = windows.seam
        if last:
            if seam is not None and whole.owns(seam.pts):
                raise ValueError(f"the last piece up to {whole.own_stop_pts} ends at {seam.pts}")
            return windows
        if seam is None or not whole.owns(seam.pts) or seam.pts == whole.own_start_pts:
            bounds = f"{whole.own_start_pts} to {whole.own_stop_pts}"
            raise ValueError(f"a piece of {bounds} ends at {seam and seam.pts}")
        pts = windows.rows.frame_pts
        if len(pts) and pts[-1] >= seam.pts:
            raise ValueError(f"a piece that ends at {seam.pts} has a frame at {pts[-1]}")
        return dataclasses.replace(windows, segment=whole.until(seam.pts))

    def _answer(
        self, request: Request, argument: _Asked, video_seconds: float, expected: type[_Expected]
    ) -> tuple[_Expected, memoryview]:
        """The only answer to a request about a video, which is copied first if necessary."""
        with contextlib.closing(
            self._all_answers(request, argument, video_seconds, expected)
        ) as answers:
            return next(answers)

    def _all_answers(
        self, request: Request, argument: _Asked, video_seconds: float, expected: type[_Expected]
    ) -> Generator[tuple[_Expected, memoryview]]:
        """The answers to a request about a video; all again if it must be copied, or was killed."""
        video = argument if isinstance(argument, Video) else argument.video

        def attempt(reachable: Video) -> Iterator[tuple[_Expected, memoryview]]:
            asked: _Asked = reachable
            if not isinstance(argument, Video):
                asked = dataclasses.replace(argument, video=reachable)
            return self._answers(request, asked, video, video_seconds, expected)

        return self._repeated(video, attempt)

    def _repeated(
        self, video: Video, attempt: Callable[[Video], Iterator[_Result]]
    ) -> Generator[_Result]:
        """The results of an attempt at the video where a child can open it.

        Repeated from a copy if the source has no random access, and once if the child was killed.
        """
        was_killed = False
        while True:
            try:
                with within_reach(video) as reachable:
                    yield from attempt(reachable)
                return
            except NoRangesError:
                if not COPIES.want(video.uri):
                    raise
            except _KilledError:
                if was_killed:
                    raise
                was_killed = True

    def _answers(
        self,
        request: Request,
        argument: _Asked,
        video: Video,
        video_seconds: float,
        expected: type[_Expected],
    ) -> Iterator[tuple[_Expected, memoryview]]:
        """The answers to one request, up to the last; raises the errors they carry."""
        if self._busy:  # the last request was abandoned
            self.close()
        process, self._busy = self._started(), True
        settings = self._settings
        self._has_opened_a_video = True
        total = _GRACE_SECONDS + settings.max_slowness * video_seconds
        watchdog = Watchdog(settings.memory_mb, settings.stall_seconds, total)
        try:
            process.connection.send((request, argument))
            while self._busy:
                with self._refusing_garbage(video):
                    received = wait_for_answer(process, watchdog, self._on_frames)
                if isinstance(received, Breach):
                    self.close()
                    message = f"{video.uri}: the decoder {received.what} and was killed"
                    raise DecodingError(received.reason, message)
                answer, body = received
                self._busy = more_follow(answer)
                self._raise_error(answer, argument, video)
                with self._refusing_garbage(video):
                    if not isinstance(answer, expected):
                        kinds = f"{type(answer).__name__}, expected {expected.__name__}"
                        raise ValueError(f"got {kinds}")
                yield answer, body
        except (EOFError, OSError) as error:
            words, code = process.last_words(), process.exit_code
            self.close()
            if code == -signal.SIGXCPU:
                raise HostError(f"a decoding process ran out of CPU time: {words}") from error
            if code == -signal.SIGKILL:
                what = "the decoder was killed twice, by the system for lack of memory or by a user"
                raise _KilledError("decoder_crashed", f"{video.uri}: {what} ({words})") from error
            message = f"{video.uri}: the decoder crashed ({words})"
            raise DecodingError("decoder_crashed", message) from error

    def _raise_error(self, answer: Answer, argument: _Asked, video: Video) -> None:
        """Raises the error that an answer carries, if any."""
        if isinstance(answer, Refusal):
            if answer.reason == "memory_limit":
                self.close()  # its memory may still be full
            asked = argument if isinstance(argument, Video) else argument.video
            raise VideoError(answer.reason, answer.message.replace(asked.uri, video.uri))
        if isinstance(answer, NeedsCopy):
            raise NoRangesError.of(video.uri)
        if isinstance(answer, Raised):  # hostile input triggers bugs
            _LOGGER.error("%s: the decoding process raised\n%s", video.uri, answer.trace)
            message = f"{video.uri}: the decoding process raised {answer.last_line}"
            raise DecodingError("decoder_error", message)
        if isinstance(answer, Fault):
            raise HostError(answer.message)

    @contextlib.contextmanager
    def _refusing_garbage(self, video: Video) -> Iterator[None]:
        """Closes the child and raises a DecodingError where its answer raises a ValueError."""
        try:
            yield
        except ValueError as error:
            self.close()
            message = f"{video.uri}: the decoder answered with garbage: {error}"
            raise DecodingError("decoder_error", message) from error

    def _prepare(self, video: Video) -> None:
        """Makes the child load its libraries and the detector before it opens the video."""
        if self._busy:
            self.close()
        with_detector = video.boxes_uri is None
        while with_detector not in self._prepared:
            process, is_new = self._started(), not self._has_opened_a_video
            failure = self._failure_of(process, (Request.LOAD, with_detector), Done)
            if failure is None:
                self._prepared.add(with_detector)
                continue
            self.close()
            if is_new:  # else a video may have left it in this state
                raise HostError(f"a decoding process cannot load what it needs: {failure}")

    def _started(self) -> ChildProcess:
        """The running child, its libraries imported; HostError where it cannot start."""
        failure: str | None = None
        if self._process is not None and self._process.exit_code is not None:
            self.close()  # it died after its last answer: no fault of the next video
        for _ in range(_STARTS):
            if self._process is not None:
                return self._process
            try:
                process = self._process = ChildProcess(self._settings.module)
            except OSError as error:
                failure = f"{type(error).__name__}: {error}"
                continue
            failure = self._failure_of(process, self._settings, Ready)
            if failure is None:
                return process
            self.close()
        raise HostError(f"a decoding process cannot be started: {failure}")

    def _failure_of(
        self, process: ChildProcess, message: Any, expected: type[Answer]
    ) -> str | None:
        """Sends a message about no video and waits for its answer; returns the failure, if any."""
        settings = self._settings
        stall_seconds = max(settings.stall_seconds, _START_SECONDS)
        watchdog = Watchdog(settings.memory_mb, stall_seconds)
        try:
            process.connection.send(message)
            received = wait_for_answer(process, watchdog)
        except (EOFError, OSError):
            return process.last_words()
        except ValueError as error:
            return f"it answered with garbage: {error}"
        if not isinstance(received, Breach):
            answer, _ = received
            # It may have answered before the first look at its memory.
            breach = watchdog.breach(time.monotonic(), process.memory_mb())
            if breach is None:
                if isinstance(answer, Fault):
                    return answer.message
                return None if isinstance(answer, expected) else f"it answered {answer!r:.200}"
            received = breach
        hint = " (--max-memory-mb)" if received.reason == "memory_limit" else ""
        return f"it {received.what}{hint}"
