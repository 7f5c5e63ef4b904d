"""Tiny data sets in the published layouts: slightly moving discs as faces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from clips import write_clip

from schemas.landmarks import FLIP_PERMUTATION

SIZE_PX = 128


def disc_landmarks(shift: float = 0.0) -> np.ndarray:
    """(68, 2): a ring with a face's mirror symmetry, centre at 60 + shift, two decimals."""
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    first = np.minimum(np.arange(68), FLIP_PERMUTATION)  # of a mirrored pair
    side = np.stack([np.sign(FLIP_PERMUTATION - np.arange(68)), np.ones(68)], axis=1)
    return np.round(60 + shift + 25 * ring[first] * side, 2)


def disc_picture(shift: float = 0.0) -> np.ndarray:
    """(128, 128, 3) uint8 RGB: a dark disc where `disc_landmarks` are."""
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
    disc = np.hypot(x - 60 - shift, y - 60 - shift) < 25
    return np.repeat(np.where(disc, 60, 200).astype(np.uint8)[..., None], 3, axis=-1)


def write_picture(path: Path, shift: float = 0.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), disc_picture(shift))
    return path


def write_points(path: Path, points: Iterable[Sequence[float]]) -> Path:
    """A .pts file with the numbers as they are given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
    path.write_text(f"version: 1\nn_points:  68\n{{\n{body}\n}}\n")
    return path


def write_pts(path: Path, landmarks: np.ndarray) -> Path:
    """A .pts file as iBUG writes it: pixels count from 1."""
    return write_points(path, landmarks + 1)


def write_300vw(folder: Path, videos: Sequence[str], frames: int = 5) -> Path:
    for video in videos:
        pictures = [disc_picture(i) for i in range(frames)]
        (folder / video).mkdir(parents=True)
        write_clip(folder / video / "vid.avi", pictures, codec="mpeg4")
        for i in range(frames):
            write_pts(folder / video / "annot" / f"{i + 1:06d}.pts", disc_landmarks(i))
    return folder


def write_300w(folder: Path, names: Sequence[str]) -> Path:
    """Pictures (.jpg) with .pts beside them; names such as helen/testset/1_1."""
    for shift, name in enumerate(names):
        write_picture(folder / f"{name}.jpg", shift)
        write_pts(folder / f"{name}.pts", disc_landmarks(shift))
    return folder


def write_snap(folder: Path, recordings: Sequence[str], frames: int = 4) -> Path:
    """A folder of numbered pictures and .pts per recording; names such as 09/pitch/happy."""
    for recording in recordings:
        for i in range(frames):
            write_picture(folder / recording / f"frame_{i + 1:04d}.jpg", i)
            write_pts(folder / recording / f"frame_{i + 1:04d}.pts", disc_landmarks(i))
    return folder


def write_talking_face(folder: Path, frames: int = 4) -> Path:
    for i in range(frames):
        write_picture(folder / "images" / f"franck_{i:05d}.jpg", i)
        write_points(folder / "points" / f"franck_{i:05d}.pts", talking_face_points(i))
    return folder


def talking_face_points(shift: float = 0.0) -> np.ndarray:
    """(68, 2) points of the Talking Face markup; its 7 common points are those of a disc."""
    points = np.full((68, 2), 60.0 + shift)
    points[0], points[7], points[14] = (35 + shift, 50 + shift), (60, 85 + shift), (85 + shift, 50)
    common = {27: 36, 29: 39, 34: 42, 32: 45, 67: 30, 48: 48, 54: 54}
    for own, ibug in common.items():
        points[own] = disc_landmarks(shift)[ibug]
    return points
