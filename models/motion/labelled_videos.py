"""Labelled videos in the layout of 300VW, as tracks with truth.

DIR/001/vid.avi  DIR/001/annot/000001.pts, 000002.pts, ...   (one face, every frame)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from models.detection.face_detector import FaceDetector
from models.landmarks.data import AnnotationError, read_pts
from models.landmarks.model import LandmarkModel
from models.motion.animated_tracks import predict_track
from models.motion.motion_tracks import MotionTrack

__all__ = ["labelled_video_tracks"]


def labelled_video_tracks(
    folder: Path,
    model: LandmarkModel,
    detector: FaceDetector,
    *,
    frames: int,
    seed: int = 0,
) -> Iterator[MotionTrack]:
    """The network's track of the first frames of every video of a folder.

    Raises:
        AnnotationError: the folder has no video with annotations, a file is broken, or a
            video has fewer frames than annotations.
    """
    videos = sorted(folder.glob("*/vid.avi"))
    if not videos:
        raise AnnotationError(f"{folder}: got no */vid.avi, expected the layout of 300VW")
    for number, video in enumerate(videos):
        points = sorted((video.parent / "annot").glob("*.pts"))[:frames]
        if len(points) < 3:
            raise AnnotationError(f"{video.parent}: got {len(points)} .pts, expected 3 or more")
        truth = np.stack([read_pts(path, video).landmarks_px for path in points]).astype(float)
        fps, pictures = _open(video, len(points))
        rng = np.random.default_rng([seed, number])
        raw = predict_track(pictures, truth, fps, model, detector, rng)
        yield MotionTrack(video.parent.name, fps, truth, raw)


def _open(video: Path, frames: int) -> tuple[float, Iterator[npt.NDArray[np.uint8]]]:
    try:
        container = av.open(str(video))
        stream = container.streams.video[0]
    except (av.FFmpegError, IndexError) as error:
        raise AnnotationError(f"{video}: cannot be read as a video: {error}") from error

    def pictures() -> Iterator[npt.NDArray[np.uint8]]:
        with container:
            found = 0
            for frame in container.decode(stream):
                yield frame.to_ndarray(format="rgb24")
                found += 1
                if found == frames:
                    return
        raise AnnotationError(f"{video}: got {found} frames, expected {frames} as annotated")

    return float(stream.average_rate or 25), pictures()
