"""The tracks that `fit-stabilizer` trains on and `evaluate-stabilizers` judges by."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from tqdm import tqdm

from models.detection.face_detector import load_face_detector
from models.landmarks.datasets.ibug_300vw import read_300vw
from models.landmarks.model import load_landmark_model
from models.synthesis.face_clips import FaceClip, labelled_video_clips, load_clip, save_clip
from models.synthesis.motion_tracks import MotionTrack
from models.synthesis.track_sets import CLIP_FRAMES, Split, animate_split, clip_count, mix_split
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
    add("--cache", type=Path, metavar="DIR", help="keep the animated clips here (5 s each to make)")
    add("--weights", type=Path, metavar="FILE", help="landmark weights (default: the package's)")
    add("--tracks", type=int, default=tracks, help="how many tracks (default: %(default)s)")
    add("--frames", type=int, default=300, help="frames of a track (default: %(default)s)")
    add(
        "--clips",
        type=int,
        help="animated clips (default: 14 to fit, 12 held out, 9 to test)",
    )
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
    frames = min(args.frames, CLIP_FRAMES)
    animate = animate_split(args.data, split, model.card, detector, seed=args.seed, frames=frames)
    card = model.card
    made_by = f"{detector.weights_sha256} {card.crop_size_px} {card.crop_scale} {args.seed} "
    made_by += f"{frames} {split} {args.data}"
    kept: Path | None = None
    if args.cache:
        kept = args.cache / hashlib.sha256(made_by.encode()).hexdigest()[:12]
    count = clip_count(split, args.clips)
    animated = [
        _clip(animate, number, kept).track(model)
        for number in tqdm(range(count), f"animated stills ({split})", unit="clip")
    ]
    tracks = mix_split(
        args.data, split, animated, seed=args.seed, tracks=args.tracks, frames=args.frames
    )
    if labelled is not None:
        videos = read_300vw(labelled, "train").videos
        found = labelled_video_clips(videos, card, detector, frames=args.frames, seed=args.seed)
        tracks += [clip.track(model) for clip in tqdm(found, "labelled videos", len(videos))]
    return tracks


def _clip(animate: Callable[[int], FaceClip], number: int, kept: Path | None) -> FaceClip:
    """The clip of a number: kept from before, or made and kept."""
    if kept is None:
        return animate(number)
    path = kept / f"{number}.npz"
    if not path.is_file():
        save_clip(path, animate(number))
    return load_clip(path)
