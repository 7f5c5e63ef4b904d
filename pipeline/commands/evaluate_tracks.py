"""`facetracks evaluate tracks`: finished tracks against labelled videos."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from models.boxes import match_boxes
from models.landmarks.datasets.labelled_face import FaceOrigin
from models.landmarks.datasets.labelled_video import Frame, LabelledVideo, VideoFile
from models.landmarks.evaluation.face_errors import LANDMARK_SUBSETS, FaceErrors, stability_percent
from models.landmarks.evaluation.measurement import SAME_FACE_IOU
from pipeline.data.labelled_sets import read_labelled_sets
from pipeline.data.labelled_tracks import AnnotatedVideo, matched_faces
from pipeline.reports.landmark_report import (
    MISSED_NOTE,
    Measurement,
    figure_rows,
    format_tables,
    scale_rows,
    without_nan,
)
from pipeline.videos.track_file import find_track_file, read_track_file
from schemas.errors import UsageError


def run(args: argparse.Namespace) -> int:
    """Measures and prints; returns 0."""
    skipped: list[str] | None = [] if args.skip_broken else None
    measured: list[Measurement] = []
    stability: list[dict[str, Any]] = []
    for data in read_labelled_sets(args.set, skipped=skipped):
        if not data.videos:
            raise UsageError(f"--set: {data.name} holds no videos, expected a set of videos")
        videos = [
            _match(args.output, video, skipped)
            for video in tqdm(data.videos, f"matching {data.name}", unit="video")
        ]
        for name, matched in zip(("raw", "stabilized"), zip(*videos, strict=True), strict=True):
            measured.append(Measurement(name, data.name, "tracks", FaceErrors.joined(matched)))
            stability += _stability_rows(name, data.name, matched)
    rows = {"results": list(figure_rows(measured)), "by_scale": scale_rows(measured)}
    if args.json:
        report = {
            "tracks": args.output,
            "missed": MISSED_NOTE,
            "left_out": skipped,
            "results": without_nan(rows["results"]),
            "stability": without_nan(stability),
            "by_scale": without_nan(rows["by_scale"]),
        }
        print(json.dumps(report, indent=2))
        return 0
    print(format_tables(rows))
    print("\n".join(_stability_lines(stability)))
    if skipped is not None:
        print("\n".join([f"skipped: {len(skipped)} broken annotations", *skipped]))
    return 0


def _match(
    output: str, video: LabelledVideo, skipped: list[str] | None
) -> tuple[FaceErrors, FaceErrors]:
    """The labelled faces of a video with the raw and with the stabilized landmarks of its rows."""
    if isinstance(video.frames, VideoFile):
        annotated = AnnotatedVideo(str(video.frames.path))
    elif isinstance(video.frames, AnnotatedVideo):
        annotated = video.frames
    else:
        raise UsageError(f"{video.origin.video}: its frames are pictures, expected a video file")
    tracks = read_track_file(find_track_file(output, annotated.uri))
    tracks.need_raw("evaluate tracks")
    rows_at = tracks.by_pts()
    pts = [frame.key for frame in annotated.pictures(())]
    by_number = annotated is not video.frames
    frames = (Frame(n, n if by_number else key, None) for n, key in enumerate(pts))
    origins: list[FaceOrigin] = []
    truth, places = [], []
    for frame, labels in video.labelled(frames, skipped=skipped):
        rows = rows_at.get(pts[frame.number], [])
        boxes = [label.box_xyxy_px for label in labels]
        own = dict(match_boxes(boxes, tracks.boxes_xyxy_px[rows], min_iou=SAME_FACE_IOU))
        for number, label in enumerate(labels):
            origin = dataclasses.replace(video.origin, frame=frame.number, face=label.face)
            origins.append(origin)
            truth.append(label.landmarks_px)
            places.append(rows[own[number]] if number in own else -1)
    if not origins:
        raise UsageError(f"{annotated.uri}: got no labelled frame, expected some")
    return matched_faces(tracks, places, origins, np.array(truth, np.float64))


def _stability_rows(
    name: str, data_set: str, videos: Sequence[FaceErrors]
) -> Iterator[dict[str, Any]]:
    """A row for all videos and one for each category; every video counts once."""
    scores = [(video.origins[0].category, stability_percent(video)) for video in videos]
    categories = sorted({category for category, _ in scores} - {""})
    for group, chosen in [("all", None), *((f"category {c}", c) for c in categories)]:
        for landmarks in LANDMARK_SUBSETS:
            values = [
                score[landmarks]
                for category, score in scores
                if chosen in (None, category) and not math.isnan(score[landmarks])
            ]
            yield {
                "network": name,
                "set": data_set,
                "group": group,
                "landmarks": landmarks,
                "normalization": "interocular",
                "videos": len(values),
                "stability_percent": float(np.mean(values)) if values else float("nan"),
            }


def _stability_lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "\nstability, percent of the distance of the outer eye corners, mean over videos"
    for row in rows:
        yield (
            f"{row['network']:10} {row['set']} {row['group']:10} {row['landmarks']} landmarks "
            f"{row['videos']:4d} videos {row['stability_percent']:6.2f}"
        )
