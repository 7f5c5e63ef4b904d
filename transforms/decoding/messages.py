"""The messages between a worker and its decoding child.

    worker  --->  (Request, its argument)              pickled: it comes from our own worker
    worker  <---  one of the records below, and bytes  read without pickle and checked in full

The child decodes untrusted video, so its answers may come from a compromised decoder. An answer
is the record's size in 8 bytes, the record in msgpack, padding, and a body of bytes (crops,
pixels) that starts at a multiple of 8. Types and ranges of all fields are checked; anything else
is a ValueError.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

import msgspec

from schemas.bounds import Coefficient, Count, Pts, Seconds
from schemas.reasons import REASONS
from schemas.records import Segment, StreamMetadata, Video
from transforms.decoding.frame_answer import Frames
from transforms.storage.record_codec import (
    decode_fraction,
    encode_fraction,
    join_record,
    split_record,
)

#: Maximum length of an error message, in characters.
_TEXT_CHARACTERS: Final = 8_000
#: Segments of a video: a year of video in segments of 10 s has 3 million.
_MAX_SEGMENTS: Final = 10_000_000
#: The largest picture.
MAX_SIDE_PX: Final = 1024
#: Square pixels of a frame that a picture's pixel covers, at least.
_MIN_AREA: Final = 1e-9


class Request(StrEnum):
    """A request to a child: the name of the server's method."""

    PLAN = "plan"  # of a Video: answers Plan
    LOAD = "load"  # whether the detector too: answers Done
    DECODE = "decode"  # of a Segment: answers Windows until `last`
    MEASURE = "measure"  # of a Video: answers Measured
    PICTURE = "picture"  # of a PictureRequest: answers Picture
    FRAMES = "frames"  # of a Segment: answers Frames until there is none
    SOUND = "sound"  # of a Segment: answers Done when all of its sound could be read


_Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=_TEXT_CHARACTERS)]
_Side: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX_SIDE_PX)]
#: seek_pts, own_start_pts, own_stop_pts of a segment.
_Cut: TypeAlias = tuple[Pts | None, Pts | None, Pts | None]


class Ready(msgspec.Struct, frozen=True, tag="ready", forbid_unknown_fields=True):
    """The child has read its libraries and set its limits; no video has been touched."""


class Progress(msgspec.Struct, frozen=True, tag="progress", forbid_unknown_fields=True):
    """The child is alive; the number of frames decoded so far."""

    frames: Count


class Done(msgspec.Struct, frozen=True, tag="done", forbid_unknown_fields=True):
    """The request is done; the answer has no content."""


class Plan(msgspec.Struct, frozen=True, tag="plan", forbid_unknown_fields=True):
    """The segments of one video, without the video, which the worker has."""

    metadata: StreamMetadata
    cuts: Annotated[list[_Cut], msgspec.Meta(min_length=1, max_length=_MAX_SEGMENTS)]

    def __post_init__(self) -> None:
        if self.cuts[0][1] is not None or self.cuts[-1][2] is not None:
            raise ValueError(f"cuts: got {self.cuts[0]} to {self.cuts[-1]}, expected open ends")
        for (_, own_start, own_stop), (seek, next_start, _) in itertools.pairwise(self.cuts):
            follows = (
                own_stop is not None
                and own_stop == next_start
                and (own_start is None or own_start < own_stop)
                and seek is not None
                and seek <= own_stop
            )
            if not follows:
                raise ValueError(
                    f"cuts: got one that owns {own_start} to {own_stop} before one that owns from "
                    f"{next_start} and decodes from {seek}; expected contiguous segments"
                )

    @classmethod
    def of(cls, segments: Sequence[Segment]) -> Plan:
        """The plan that consists of these segments."""
        cuts = [(s.seek_pts, s.own_start_pts, s.own_stop_pts) for s in segments]
        return cls(segments[0].metadata, cuts)

    def segments(self, video: Video) -> list[Segment]:
        """The segments that the plan cuts a video into."""
        count = len(self.cuts)
        return [Segment(video, self.metadata, i, count, *cut) for i, cut in enumerate(self.cuts)]


class Windows(msgspec.Struct, frozen=True, tag="windows", forbid_unknown_fields=True):
    """A piece of a segment, packed in the body; more follow unless it is the last."""

    last: bool


class Refusal(msgspec.Struct, frozen=True, tag="refusal", forbid_unknown_fields=True):
    """A VideoError: this video fails, for this reason."""

    reason: str
    message: _Text

    def __post_init__(self) -> None:
        if self.reason not in REASONS:
            raise ValueError(f"reason: got {self.reason[:40]!r}, expected one of {list(REASONS)}")


class Measured(msgspec.Struct, frozen=True, tag="measured", forbid_unknown_fields=True):
    """Frames and seconds of a plain decode of a whole video."""

    frames: Count
    seconds: Seconds


class Picture(msgspec.Struct, frozen=True, tag="picture", forbid_unknown_fields=True):
    """A picture of a frame: its RGB bytes are the body; `affine` maps to the upright frame."""

    pts: Pts
    width_px: _Side
    height_px: _Side
    affine: tuple[Coefficient, Coefficient, Coefficient, Coefficient, Coefficient, Coefficient]

    def __post_init__(self) -> None:
        a, b, _, c, d, _ = self.affine
        if abs(a * d - b * c) < _MIN_AREA:
            raise ValueError(f"affine: got {self.affine}, expected a map that can be inverted")


class NeedsCopy(msgspec.Struct, frozen=True, tag="needs_copy", forbid_unknown_fields=True):
    """The source does not support random access."""


class Raised(msgspec.Struct, frozen=True, tag="raised", forbid_unknown_fields=True):
    """An unexpected exception, with its traceback: this video fails."""

    trace: _Text

    @property
    def last_line(self) -> str:
        """The exception itself."""
        return (self.trace.strip().splitlines() or ["nothing"])[-1]


class Fault(msgspec.Struct, frozen=True, tag="fault", forbid_unknown_fields=True):
    """A fault of this machine or installation, not of the video."""

    message: _Text


Answer: TypeAlias = (
    Ready
    | Progress
    | Done
    | Plan
    | Windows
    | Measured
    | Picture
    | Frames
    | NeedsCopy
    | Refusal
    | Raised
    | Fault
)


def more_follow(answer: Answer) -> bool:
    """Whether an answer is one of several, and not the last."""
    if isinstance(answer, Windows):
        return not answer.last
    return isinstance(answer, Frames) and answer.frame is not None


def encode_answer(answer: Answer, body: bytes | memoryview = b"") -> bytes:
    """An answer as bytes, followed by its body."""
    return join_record(msgspec.msgpack.encode(answer, enc_hook=encode_fraction), body)


def decode_answer(content: bytes | memoryview) -> tuple[Answer, memoryview]:
    """The inverse of `encode_answer`, and the body; ValueError for malformed bytes."""
    record, body = split_record(content)
    answer: Answer = _DECODER.decode(record)
    return answer, body


def fitting_text(text: str) -> str:
    """The start of a text, as much as an answer may have; what is not UTF-8 is escaped."""
    return text.encode("utf-8", "backslashreplace").decode()[:_TEXT_CHARACTERS]


def fitting_end(text: str) -> str:
    """The end of a text, likewise."""
    return text.encode("utf-8", "backslashreplace").decode()[-_TEXT_CHARACTERS:]


_DECODER: Final = msgspec.msgpack.Decoder(Answer, dec_hook=decode_fraction)
