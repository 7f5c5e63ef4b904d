"""The tracks that `train stabilizer` trains on and `evaluate stabilizers` judges by."""

from __future__ import annotations

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
from models.synthesis.track_sets import CLIP_FRAMES, CLIPS, Split, animate_split, mix_split
from pipeline.data.data_settings import TrackSettings


def make_tracks(
    settings: TrackSettings, split: Split, labelled: Path | None = None
) -> list[MotionTrack]:
    """The tracks of a split, and of a folder in the layout of 300VW where one is given."""
    torch.set_num_threads(settings.threads)
    model, detector = load_landmark_model(settings.weights), load_face_detector("default")
    card, frames = model.card, min(settings.frames, CLIP_FRAMES)
    animate = animate_split(settings.data, split, card, detector, seed=settings.seed, frames=frames)
    made_by = f"{detector.weights_sha256} {card.crop_size_px} {card.crop_scale} {settings.seed} "
    made_by += f"{frames} {split} {settings.data}"
    digest = hashlib.sha256(made_by.encode()).hexdigest()
    kept = settings.cache / digest[:12] if settings.cache else None
    count = settings.clips or CLIPS[split]
    animated = [
        _clip(animate, number, kept).track(model)
        for number in tqdm(range(count), f"animated stills ({split})", unit="clip")
    ]
    tracks = mix_split(
        settings.data,
        split,
        animated,
        seed=settings.seed,
        tracks=settings.tracks,
        frames=settings.frames,
    )
    if labelled is not None:
        videos = read_300vw(labelled, "train").videos
        found = labelled_video_clips(
            videos, card, detector, frames=settings.frames, seed=settings.seed
        )
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
