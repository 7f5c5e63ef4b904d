"""A video with labelled frames, read lazily.

    frames.pictures() --> number, key, picture --+
                                   |             +--> faces(): one LabelledFace after the other
    labels ---------------------> [key] ---------+

A key identifies a frame in the labels: its number, or its timestamp.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import av
import numpy as np
import numpy.typing as npt

from models.landmarks.datasets.labelled_face import (
    AnnotationError,
    FaceOrigin,
    LabelledFace,
    leaving_out_broken,
)

Image = npt.NDArray[np.uint8]


class Frame(NamedTuple):
    """A frame of a video.

    number: its place in the video, from 0.
    key: identifies it in the labels.
    picture: (H, W, 3) uint8 RGB or a picture file; None where it was not requested.
    """

    number: int
    key: int
    picture: Image | Path | None


class FrameSource(Protocol):
    """The frames of a video."""

    @property
    def fps(self) -> float:
        """Frames a second, as the video states it."""

    def pictures(self, wanted: Collection[int]) -> Iterator[Frame]:
        """Every frame in order; pictures of those whose keys are wanted.

        Raises:
            AnnotationError: the video cannot be read, or ends in an error.
        """


@dataclasses.dataclass(frozen=True, slots=True)
class VideoFile:
    """A video file; keys are numbers."""

    path: Path

    @property
    def fps(self) -> float:
        """The average rate that the container states; 25 where it states none."""
        try:
            with av.open(str(self.path)) as container:
                return float(container.streams.video[0].average_rate or 25)
        except (av.FFmpegError, IndexError) as error:
            raise AnnotationError(f"{self.path}: cannot be read as a video: {error}") from error

    def pictures(self, wanted: Collection[int]) -> Iterator[Frame]:
        """Every frame in order; pictures of the wanted numbers."""
        try:
            with av.open(str(self.path)) as container:
                for number, frame in enumerate(container.decode(container.streams.video[0])):
                    picture = frame.to_ndarray(format="rgb24") if number in wanted else None
                    yield Frame(number, number, picture)
        except (av.FFmpegError, IndexError) as error:
            raise AnnotationError(f"{self.path}: cannot be decoded: {error}") from error


@dataclasses.dataclass(frozen=True, slots=True)
class PictureFiles:
    """The frames of a video as picture files, by number; keys are numbers.

    Files are not read here: a broken one raises when it is loaded.
    """

    paths: Mapping[int, Path]
    fps: float = 25.0  # of all data sets that come as pictures

    def pictures(self, wanted: Collection[int]) -> Iterator[Frame]:
        """Every frame in order; files of the wanted numbers."""
        for number in sorted(self.paths):
            yield Frame(number, number, self.paths[number] if number in wanted else None)


@dataclasses.dataclass(frozen=True, slots=True)
class FaceLabel:
    """One face of one frame: (68, 2) float32 landmarks, (4,) float32 box, its number."""

    landmarks_px: npt.NDArray[np.float32]
    box_xyxy_px: npt.NDArray[np.float32]
    face: int = 0


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class LabelledVideo:
    """A video and the labels of its frames, both read lazily.

    origin: the fields common to its faces: data set, video, category, movement, expression.
    frames: where its pictures come from.
    labels: the faces of each labelled frame, by the frame's key. Looking one up may read a
        file, and raise AnnotationError.
    every_frame: a frame without labels is an error, not a frame without a face.
    """

    origin: FaceOrigin
    frames: FrameSource
    labels: Mapping[int, Sequence[FaceLabel]]
    every_frame: bool = False

    def __repr__(self) -> str:
        return f"LabelledVideo({self.origin.data_set!r}, {self.origin.video!r})"

    @property
    def _name(self) -> str:
        return f"{self.origin.data_set} {self.origin.video}"

    def faces(
        self, *, window_frames: int = 1, skipped: list[str] | None = None
    ) -> Iterator[LabelledFace]:
        """Every labelled face in the order of frames, with its picture.

        `earlier` holds the same face in up to window_frames - 1 frames right before, as far
        as they are labelled. At most window_frames pictures are held in memory.

        Raises:
            AnnotationError: a label is broken or missing, the video cannot be decoded or ends
                before a labelled frame; with `skipped` the faces concerned are left out instead.
        """
        before: dict[int, list[LabelledFace]] = {}  # of the frame before, by face
        last = -1
        frames = self.frames.pictures(frozenset(self.labels))
        for frame, labels in self.labelled(frames, skipped=skipped):
            if frame.number != last + 1:
                before = {}
            last, now = frame.number, {}
            for label in labels:
                earlier = before.get(label.face, [])[: window_frames - 1]
                assert frame.picture is not None, "every labelled frame is wanted"
                origin = dataclasses.replace(self.origin, frame=frame.number, face=label.face)
                face = LabelledFace(
                    f"{origin.video}@{frame.number}",
                    frame.picture,
                    label.landmarks_px,
                    label.box_xyxy_px,
                    tuple(reversed(earlier)),
                    origin,
                )
                now[label.face] = [dataclasses.replace(face, earlier=()), *earlier]
                yield face
            before = now

    def labelled(
        self, frames: Iterable[Frame], *, skipped: list[str] | None = None
    ) -> Iterator[tuple[Frame, Sequence[FaceLabel]]]:
        """Each frame with its labels, which may be none.

        Raises:
            AnnotationError: a label is broken or missing, or there is no frame for it; with
                `skipped` the frame comes without labels instead.
        """
        missing = set(self.labels)
        with leaving_out_broken(skipped):
            for frame in frames:
                missing.discard(frame.key)
                labels: Sequence[FaceLabel] = ()
                with leaving_out_broken(skipped):
                    labels = self._labels_of(frame)
                yield frame, labels
        if missing:
            with leaving_out_broken(skipped):
                raise AnnotationError(
                    f"{self._name}: the video has no frame for {len(missing)} of "
                    f"{len(self.labels)} labelled frames, the first of them {min(missing)}"
                )

    def _labels_of(self, frame: Frame) -> Sequence[FaceLabel]:
        if frame.key in self.labels:
            return self.labels[frame.key]
        if self.every_frame:
            raise AnnotationError(
                f"{self._name}: frame {frame.number} has no label, expected one for every frame"
            )
        return ()


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
