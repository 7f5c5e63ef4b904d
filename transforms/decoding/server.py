"""The decoding child's side: answers one request at a time, on the pipe it was given.

    python -P -m transforms.decoding.server FD

Run by DecodingChild. Requests are pickles from our worker; answers are records of `messages`,
read without pickle, because this process handles untrusted video.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import resource
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Final

import av
import cv2
from av.error import FFmpegError

from schemas.errors import FacetracksError, VideoError
from schemas.records import Segment, StreamMetadata, Video
from transforms.decoding.child import ChildSettings
from transforms.decoding.encryption import refuse_encrypted
from transforms.decoding.frame_answer import Frame, Frames
from transforms.decoding.frame_stream import FrameStream
from transforms.decoding.messages import (
    Done,
    Fault,
    Measured,
    NeedsCopy,
    Plan,
    Progress,
    Raised,
    Ready,
    Refusal,
    Request,
    Windows,
    encode_answer,
    fitting_end,
    fitting_text,
)
from transforms.decoding.segment_plan import plan_segments
from transforms.decoding.video_source import OpenVideo, open_video
from transforms.storage.record_codec import pack_windows
from transforms.storage.source_files import NoRangesError, give_up_within

if TYPE_CHECKING:
    from transforms.decoding.box_sources import GivenBoxes
    from transforms.decoding.pictures import PictureRequest

_PROGRESS_SECONDS: Final = 0.5
_PARENT_CHECK_SECONDS: Final = 1.0
#: The worker kills this process at the memory limit; this stops growth between its checks.
_HARD_MEMORY_FACTOR: Final = 2


class Server:
    """Answers requests. What only some of them need is imported with the first of these."""

    def __init__(self, connection: Connection[Any, Any], settings: ChildSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._last_progress = 0.0

    def load(self, with_detector: bool) -> bytes:
        """Imports what decoding needs and, where asked, loads the detector."""
        from transforms.decoding import box_sources, window_builder  # noqa: F401

        if with_detector:
            _ = self._detector
        else:
            from transforms.decoding import box_files  # noqa: F401
        return encode_answer(Done())

    def plan(self, video: Video) -> bytes:
        """The plan of a video."""
        with self._opened(video) as opened:
            segments = plan_segments(video, opened, self._settings.segment_seconds)
            refuse_encrypted(video.uri, opened.container, opened.stream)  # reads packets
            first = segments[0]
            if video.boxes_uri and _given_boxes(video, first.metadata).by == "frame_index":
                # Frame numbers are known only by decoding from the start.
                segments = [dataclasses.replace(first, count=1, own_stop_pts=None)]
        return encode_answer(Plan.of(segments))

    def decode(self, segment: Segment) -> bytes:
        """The windows of a segment; all pieces but the last are sent beforehand."""
        from transforms.decoding.box_sources import BoxSource, DetectedBoxes
        from transforms.decoding.window_builder import decode_windows

        boxes: BoxSource
        if segment.video.boxes_uri is not None:
            boxes = _given_boxes(segment.video, segment.metadata)
        else:
            boxes = DetectedBoxes(self._detector, segment.metadata.time_base)
        with self._opened(segment.video, segment) as opened:
            frames = FrameStream(segment, opened, self._settings.max_pixels)
            for piece in decode_windows(
                segment,
                frames,
                boxes,
                self._settings.crop,
                take_losses=frames.lost.take,
                on_progress=self._progress,
            ):
                is_last = piece.segment.own_stop_pts == segment.own_stop_pts
                answer = encode_answer(Windows(last=is_last), pack_windows(piece))
                if not is_last:
                    self._connection.send_bytes(answer)  # blocks until the worker reads
        return answer

    def measure(self, video: Video) -> bytes:
        """Decodes a whole video in a bare PyAV loop; answers with frames and seconds."""
        frames = 0
        with self._opened(video) as opened:
            opened.stream.codec_context.thread_count = 1
            start = time.perf_counter()
            with contextlib.suppress(FFmpegError):  # as far as a plain decode gets
                for _ in opened.container.decode(opened.stream):
                    frames += 1
                    self._progress(frames)
            return encode_answer(Measured(frames, time.perf_counter() - start))

    def picture(self, asked: PictureRequest) -> bytes:
        """One picture of a video."""
        from transforms.decoding.picture_taking import take_picture

        return encode_answer(*take_picture(asked, self._settings.max_pixels, self._progress))

    def frames(self, segment: Segment) -> bytes:
        """The planes of every frame of a segment; sent one by one."""
        with self._opened(segment.video, segment) as opened:
            for pts, planes in FrameStream(segment, opened, self._settings.max_pixels):
                frame, body = Frame.of(pts, planes)
                self._connection.send_bytes(encode_answer(Frames(frame), body))
        return encode_answer(Frames(None))

    def sound(self, segment: Segment) -> bytes:
        """Reads all sound packets of a segment's video and discards them."""
        with (
            open_video(segment.video.uri, segment=segment) as opened,
            contextlib.suppress(FFmpegError, IndexError),  # as far as a plain reader gets
        ):
            for count, _ in enumerate(opened.container.demux(opened.container.streams.audio)):
                self._progress(count)
        return encode_answer(Done())

    def _opened(
        self, video: Video, segment: Segment | None = None
    ) -> contextlib.AbstractContextManager[OpenVideo]:
        pixels, stream = self._settings.max_pixels, self._settings.stream
        return open_video(video.uri, max_pixels=pixels, segment=segment, stream_index=stream)

    @functools.cached_property
    def _detector(self) -> Any:
        from models.detection.face_detector import load_face_detector
        from models.tensor_file import check_digest

        detector = load_face_detector(self._settings.detector)
        check_digest("face detector", detector.weights_sha256, self._settings.detector_sha256)
        return detector

    def _progress(self, frames: int) -> None:
        now = time.monotonic()
        if now - self._last_progress > _PROGRESS_SECONDS:
            self._last_progress = now
            self._connection.send_bytes(encode_answer(Progress(frames)))


@functools.lru_cache(maxsize=1)
def _given_boxes(video: Video, metadata: StreamMetadata) -> GivenBoxes:
    """The boxes given for a video; read once for all its segments."""
    from transforms.decoding.box_files import read_boxes

    return read_boxes(video, metadata.time_base, metadata.step_pts)


def main(descriptor: int, server_class: type[Server] = Server) -> None:
    """Answers on the pipe `descriptor` until the worker closes its end."""
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _serve(Connection(descriptor), server_class)


def _serve(connection: Connection[Any, Any], server_class: type[Server]) -> None:
    av.logging.set_level(None)
    cv2.setNumThreads(1)
    settings: ChildSettings = connection.recv()
    _limit_memory(settings.memory_mb * _HARD_MEMORY_FACTOR << 20)
    give_up_within(settings.stall_seconds)
    server = server_class(connection, settings)
    connection.send_bytes(encode_answer(Ready()))
    while True:
        request, argument = connection.recv()
        connection.send_bytes(encode_answer(Progress(0)))
        connection.send_bytes(_answer(server, request, argument, settings))


def _answer(server: Server, request: Request, argument: Any, settings: ChildSettings) -> bytes:
    """The last answer to a request; exceptions become answers."""
    try:
        answer: bytes = getattr(server, request)(argument)
        return answer
    except NoRangesError:
        return encode_answer(NeedsCopy())
    except VideoError as error:
        return encode_answer(Refusal(error.reason, fitting_text(str(error))))
    except FacetracksError as error:
        return encode_answer(Fault(fitting_text(str(error))))
    except Exception as error:
        if request == Request.LOAD:
            return encode_answer(Fault(fitting_text(f"{type(error).__name__}: {error}")))
        if isinstance(error, MemoryError):
            uri = argument.uri if isinstance(argument, Video) else argument.video.uri
            message = f"{uri}: the decoder needed more than {settings.memory_mb} MB"
            return encode_answer(Refusal("memory_limit", fitting_text(message)))
        return encode_answer(Raised(fitting_end(traceback.format_exc())))


def _limit_memory(limit_bytes: int) -> None:
    """Limits this process's memory, by RLIMIT_DATA, or the system's own lower limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        limit_bytes = min(limit_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def _end_with_parent(parent: int) -> None:
    """Ends this process soon after its parent has; runs in a thread beside the work."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
