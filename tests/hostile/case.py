"""The expected result of one file of the hostile corpus."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

__all__ = ["HostileCase"]


@dataclass(frozen=True, slots=True)
class HostileCase:
    """One input, and the expected results of a run.

    Values known by construction are exact. If the result depends on the decoder (how many frames
    survive flipped bytes), the field gives bounds.

    Attributes:
        name: the path below `found` or `listed` in the corpus folder.
        what: a description of the fault.
        statuses: the correct statuses; several only for damage that the file does not show.
        reasons: the correct reasons if it is not ok.
        frames: minimum and maximum of the frames that can be decoded.
        pts: every frame's pts if nothing is lost; otherwise the pts that frames may have.
        lost_pts: frames that the row must report as missing.
        time_base: seconds per unit of pts.
        upright_size_px: width and height as a player shows them.
        rotation_deg: the clockwise turn that makes stored frames upright.
        mirrored: whether rotated frames are then mirrored left to right.
        aspect: width:height of an upright pixel.
        rgb: colour of the middle of the first frame, 0..255.
        faces: faces on every frame; None if the number is not checked.
        segments: number of segments in a run; None for any number.
        counted: whether the file states its number of frames.
        repeats: frames that repeat the previous one; None if they are not counted.
        stream: the index of the stream that a player shows, and how many there are.
        listed: passed in a manifest, because a folder cannot contain it or would hide it.
        video_id: the id in the manifest.
    """

    name: str
    what: str
    statuses: tuple[str, ...] = ("ok",)
    reasons: tuple[str, ...] = ()
    frames: tuple[int, int] = (0, 0)
    pts: tuple[int, ...] | None = None
    lost_pts: tuple[int, ...] = ()
    time_base: Fraction | None = None
    upright_size_px: tuple[int, int] | None = None
    rotation_deg: int = 0
    mirrored: bool = False
    aspect: Fraction = Fraction(1)
    rgb: tuple[int, int, int] | None = None
    faces: int | None = None
    segments: int | None = None
    counted: bool = True
    repeats: int | None = None
    stream: tuple[int, int] | None = None
    listed: bool = False
    video_id: str | None = None

    def path(self, corpus: Path) -> Path:
        """The path of the file."""
        return corpus / ("listed" if self.listed else "found") / self.name

    def __str__(self) -> str:
        return ascii(self.name)[1:-1]
