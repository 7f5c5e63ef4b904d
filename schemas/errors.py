"""What can go wrong, as one tree.

FacetracksError
├── UsageError            the command or a manifest is wrong: exit status 2
│   └── ManifestError     a manifest, a boxes file: names the file, the row, the column
├── WeightsError          a weights file is missing, damaged, or of another network
├── OutputError           OUTPUT cannot be written or read back
├── HostError             this machine or installation fails, whatever the video: the run ends
├── AccountingError       inputs and status rows do not add up: the run fails
└── VideoError            one video's failure: becomes a row with `reason`, never a crash
    ├── SourceError       reason not_found | no_match | protocol_refused | unreadable
    ├── ContainerError    reason empty | not_a_video | format_refused | encrypted,
    │                     no_video_stream | no_frames | empty_range
    ├── DecodingError     reason decoder_error | decoder_hung | decoder_crashed,
    │                     time_limit | memory_limit | pixel_limit
    └── BoxesError        reason bad_boxes

A message says what happened, what was got, what was expected, and which video.
"""

from __future__ import annotations


class FacetracksError(Exception):
    """Base of every error this package raises on purpose.

    The message says what happened, what was got, what was expected, and which video. The tree
    is in `schemas/errors.py`.
    """


class UsageError(FacetracksError):
    """The command line, or a file it names, is invalid."""


class ManifestError(UsageError):
    """A manifest or a boxes file lacks a required column or has an invalid value."""


class WeightsError(FacetracksError):
    """A weights file is missing, damaged, or belongs to another network."""


class OutputError(FacetracksError):
    """The output location cannot be written, or holds files of something else."""


class HostError(FacetracksError):
    """This machine or installation fails, whatever the video: the run ends with one message.

    It never becomes a video's status: once it is fixed, the same command resumes.
    """


class AccountingError(FacetracksError):
    """Inputs and status rows do not add up."""


class VideoError(FacetracksError):
    """One video failed; `reason` is written in its status row."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[VideoError], tuple[str, str]]:
        return type(self), (self.reason, str(self))


class SourceError(VideoError):
    """The bytes of a video cannot be reached."""


class ContainerError(VideoError):
    """The bytes are there but hold no video that can be opened."""


class DecodingError(VideoError):
    """The decoder failed, hung or crashed, or passed a limit."""


class BoxesError(VideoError):
    """The boxes that a manifest gives for a video cannot be used."""
