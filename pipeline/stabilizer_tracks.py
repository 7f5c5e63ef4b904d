"""The tracks that `fit-stabilizer` trains on and `evaluate-stabilizers` judges by."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import torch
from tqdm import tqdm

from models.detection.face_detector import load_face_detector
from models.landmarks.model import load_landmark_model
from models.motion.labelled_videos import labelled_video_tracks
from models.motion.motion_tracks import MotionTrack, load_tracks, save_tracks
from models.motion.track_sets import CLIP_FRAMES, Split, animate_split, clip_count, mix_split
from schemas.errors import UsageError

__all__ = ["add_track_options", "make_tracks"]


def add_track_options(parser: argparse.ArgumentParser, *, tracks: int) -> None:
    """The options that say which tracks."""
    add = parser.add_argument
    add(
        "--data",
        type=Path,
        metavar="DIR",
        help="labelled sets (images68, pseudo68, videos); without it only the animated astronaut",
    )
    add("--cache", type=Path, metavar="DIR", help="keep the animated tracks here (slow to make)")
    add("--weights", type=Path, metavar="FILE", help="landmark weights (default: the package's)")
    add("--tracks", type=int, default=tracks, help="how many tracks (default: %(default)s)")
    add("--frames", type=int, default=300, help="frames of a track (default: %(default)s)")
    add("--clips", type=int, help="animated clips to make (default: 12 to fit, 8 to evaluate)")
    add("--seed", type=int, default=0, help="seed of every random choice (default: 0)")
    add("--threads", type=int, default=1, help="CPU threads (default: 1)")


def make_tracks(
    args: argparse.Namespace, split: Split, labelled: Path | None = None
) -> list[MotionTrack]:
    """The tracks of a split, and of a folder in the layout of 300VW where one is given."""
    for name in ("tracks", "clips", "frames", "threads"):
        value = getattr(args, name)
        if value is not None and value < (3 if name == "frames" else 1):
            raise UsageError(f"--{name}: got {value}, expected more")
    torch.set_num_threads(args.threads)
    model, detector = load_landmark_model(args.weights), load_face_detector("default")
    clips = clip_count(split, args.clips)
    frames = min(args.frames, CLIP_FRAMES)
    made_by = (
        f"{model.weights_sha256} {detector.weights_sha256} {args.seed} {clips} {frames} {args.data}"
    )
    kept: Path | None = None
    if args.cache:
        args.cache.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(made_by.encode()).hexdigest()[:12]
        kept = args.cache / f"animated-{split}-{digest}.npz"
    if kept and kept.is_file():
        animated = load_tracks(kept)
    else:
        making = animate_split(
            args.data, split, model, detector, seed=args.seed, clips=clips, frames=frames
        )
        animated = list(tqdm(making, f"animating stills ({split})", total=clips, unit="clip"))
        if kept:
            save_tracks(kept, animated)
    tracks = mix_split(
        args.data, split, animated, seed=args.seed, tracks=args.tracks, frames=args.frames
    )
    if labelled is not None:
        found = labelled_video_tracks(labelled, model, detector, frames=args.frames, seed=args.seed)
        tracks += list(tqdm(found, "labelled videos", unit="video"))
    return tracks
