"""`facetracks evaluate coverage`: the share of a detector's faces that have rows in the tracks."""

from __future__ import annotations

import argparse
import json
import operator
from dataclasses import asdict, astuple, dataclass
from typing import Any

from tqdm import tqdm

from models.boxes import match_boxes
from models.detection.face_detector import load_face_detector
from pipeline.videos.track_file import find_track_file, read_track_file
from pipeline.videos.upright_frames import pixel_aspect, upright_frames, whole_video
from schemas.errors import UsageError
from transforms.decoding.box_sources import DetectedBoxes
from transforms.decoding.child_pool import kept_children
from transforms.storage.compacted_tables import CompactedVideo
from transforms.storage.output_tables import OutputFolder

_SAME_FACE_IOU = 0.4


@dataclass(frozen=True, slots=True)
class Coverage:
    """Counts over the frames of a video.

    frames_seen: frames on which the detector sees a face that is large enough;
    frames_covered: those of them with a row. faces_seen, faces_covered: the same for
    faces, where a row must overlap the face (IoU 0.4 or more).
    """

    frames_seen: int = 0
    frames_covered: int = 0
    faces_seen: int = 0
    faces_covered: int = 0

    def __add__(self, other: Coverage) -> Coverage:
        return Coverage(*map(operator.add, astuple(self), astuple(other)))


def run(args: argparse.Namespace) -> int:
    """Prints a line a video and the sum; returns the exit status."""
    detector = load_face_detector(args.detector)
    statuses = OutputFolder(args.output).status_tables(["uri", "status"])
    rows = (row for table in statuses for row in table.to_pylist())
    uris = [row["uri"] for row in rows if row["status"] in ("ok", "partial")]
    if not uris:
        raise UsageError(f"{args.output}: no annotated video there; expected an output folder")
    found = {
        uri: measure_coverage(uri, find_track_file(args.output, uri), detector, args.min_size)
        for uri in tqdm(uris, unit="video")
    }
    total = sum(found.values(), Coverage())
    if args.json:
        print(json.dumps({"total": asdict(total)} | {u: asdict(c) for u, c in found.items()}))
        return 0
    for uri, coverage in found.items():
        print(f"{_shares(coverage)}  {uri}")
    print(f"{_shares(total)}  all")
    return 0


@kept_children()
def measure_coverage(
    uri: str, track_file: str | CompactedVideo, detector: Any, min_size_px: float
) -> Coverage:
    """Detects on every frame of a video and looks for the faces in its tracks.

    A face is large enough when the longer side of its box is `min_size_px` or more.
    """
    tracks = read_track_file(track_file)
    rows = tracks.by_pts()
    total = Coverage()
    whole = whole_video(uri, tracks.stream_index)
    boxes = DetectedBoxes(detector, whole.metadata.time_base)
    for number, (pts, pixels) in enumerate(upright_frames(whole)):
        aspect = float(pixel_aspect(whole.metadata, pixels))
        seen, _ = boxes.find(number, pts, pixels, aspect)
        seen = seen[(seen[:, 2:] - seen[:, :2]).max(1) >= min_size_px]
        here = tracks.boxes_xyxy_px[rows.get(pts, [])]
        pairs = match_boxes(seen, here, min_iou=_SAME_FACE_IOU)
        total += Coverage(
            int(len(seen) > 0), int(len(seen) > 0 and len(here) > 0), len(seen), len(pairs)
        )
    return total


def _shares(coverage: Coverage) -> str:
    frames, faces = coverage.frames_seen, coverage.faces_seen
    return (
        f"frames {coverage.frames_covered:>6}/{frames:<6}"
        f"{100 * coverage.frames_covered / frames if frames else 100:6.1f} %   "
        f"faces {coverage.faces_covered:>6}/{faces:<6}"
        f"{100 * coverage.faces_covered / faces if faces else 100:6.1f} %"
    )
