"""A labelled data set as every reader gives it: stills, videos, or both."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from models.landmarks.datasets.labelled_face import LabelledFace
from models.landmarks.datasets.labelled_video import LabelledVideo


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class LabelledSet:
    """Labelled faces of one data set, read lazily.

    name: of the data set and its split.
    stills: faces whose pictures have no neighbours in time.
    """

    name: str
    stills: Sequence[LabelledFace] = ()
    videos: Sequence[LabelledVideo] = ()

    def __repr__(self) -> str:
        return f"LabelledSet({self.name!r}, {len(self.stills)} stills, {len(self.videos)} videos)"

    def faces(
        self, *, window_frames: int = 1, skipped: list[str] | None = None
    ) -> Iterator[LabelledFace]:
        """Every face: the stills, then video after video (`LabelledVideo.faces`)."""
        yield from self.stills
        for video in self.videos:
            yield from video.faces(window_frames=window_frames, skipped=skipped)
