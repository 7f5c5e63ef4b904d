"""Blink detection of `annotate` and `derive` on animated people: precision, recall and F1.

    python -m tests.benchmarks.blinks ../shared/data [--people 8] [--seconds 20] [--weights fast]

The people are those of 300w/common, who are in no training set. Each photograph is animated,
encoded, annotated and derived. A detected blink is correct if it overlaps a blink of the animation.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from models.landmarks.datasets.sets import read_evaluation_set
from models.synthesis.face_animation import animate_still
from models.synthesis.face_motion import pose_at
from pipeline.annotate import annotate
from pipeline.outputs.derive_tracks import derive_tracks
from pipeline.settings import AnnotateSettings
from tests.clips import write_clip

_FPS = 25
_SIZE_PX = 320


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--weights")
    args = parser.parse_args()
    faces = read_evaluation_set(args.data, "300w/common")
    frontal = [face for face in faces if _frontal(face.landmarks_px)]
    chosen = frontal[:: max(1, len(frontal) // args.people)][: args.people]
    seconds = np.arange(round(args.seconds * _FPS)) / _FPS
    poses = [pose_at(at) for at in seconds]
    shut = np.flatnonzero([pose.blink > 0.5 for pose in poses])
    truth = [seconds[run] for run in np.split(shut, np.flatnonzero(np.diff(shut) > 1) + 1)]
    found = right = hit = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for number, face in enumerate(chosen):
            animation = animate_still(face)
            frames = [animation.render(pose, _SIZE_PX) for pose in poses]
            write_clip(folder / "in" / f"{number}.mp4", frames, rate=_FPS)
        settings = AnnotateSettings(weights=args.weights)
        annotate([folder / "in"], folder / "out", settings)
        derive_tracks(folder / "out")
        rows = pq.read_table(folder / "out" / "derived" / "blinks").to_pylist()
        for number in range(len(chosen)):
            spans = [
                (row["start_seconds"], row["stop_seconds"])
                for row in rows
                if row["video_id"] == f"{number}.mp4"
            ]
            right += sum(any(_meet(span, blink) for blink in truth) for span in spans)
            hit += sum(any(_meet(span, blink) for span in spans) for blink in truth)
            found += len(spans)
    precision, recall = right / max(1, found), hit / (len(truth) * len(chosen))
    sys.stdout.write(
        f"{len(chosen)} people, {len(truth) * len(chosen)} blinks; {found} found, {right} right: "
        f"precision {precision:.3f}, recall {recall:.3f}, "
        f"F1 {2 * precision * recall / max(1e-9, precision + recall):.3f}\n"
    )


def _frontal(landmarks_px: np.ndarray) -> bool:
    """Whether the nose is about equally far from both eyes, as the animation requires."""
    right, left = (np.linalg.norm(landmarks_px[30] - landmarks_px[i]) for i in (36, 45))
    return bool(0.8 < right / left < 1.25)


def _meet(span: tuple[float, float], blink: np.ndarray) -> bool:
    return span[0] <= blink[-1] and blink[0] < span[1]


if __name__ == "__main__":
    main()
