"""What is true about one file of the hostile corpus."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

__all__ = ["HostileCase"]


@dataclass(frozen=True, slots=True)
class HostileCase:
    """One input, and what a truthful run must say of it.

    What is known by construction is exact; where the decoder has a say (how many frames
    survive flipped bytes) the field gives the bounds of the truth.

    Attributes:
        name: the path below `found` or `listed` in the corpus folder.
        what: what is wrong with it, in words.
        statuses: the statuses that are true of it; one, but for damage that nobody can see.
        reasons: the reason classes that are true of it when it is not ok.
        frames: fewest and most frames that can be decoded.
        pts: every frame's pts where nothing is lost; the pts that frames may have otherwise.
        lost_pts: frames that the row must name as missing.
        time_base: seconds per unit of pts.
        upright_size_px: width and height as a player shows them.
        rotation_deg: the clockwise turn that makes stored frames upright.
        mirrored: whether they are mirrored left to right after it.
        aspect: width:height of an upright pixel.
        rgb: colour of the middle of the first frame, 0..255.
        faces: faces on every frame; None where the pictures are not meant to have any.
        segments: into how many segments a run may cut it; None for any number.
        counted: whether the file tells how many frames it should have.
        repeats: frames that show what the one before does; None where nobody counted.
        stream: the index of the stream that a player shows, and how many there are.
        listed: given by a manifest, because a folder could not hold it or would hide it.
        video_id: the one that the manifest gives.
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
        """Where it lies."""
        return corpus / ("listed" if self.listed else "found") / self.name

    def __str__(self) -> str:
        return ascii(self.name)[1:-1]
