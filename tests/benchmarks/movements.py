"""Errors of landmark networks by movement and expression: tables of the local-motion paper.

    python -m tests.benchmarks.movements ../shared/data --weights fast --weights 2d.safetensors

People of LFPW's test set are animated with one movement or one expression at a time, which
gives exact ground truth. Crops use boxes with one draw of the detector's noise per clip. Prints, in
percent of the distance of the outer eye corners, the error without each clip's constant part, the
mean change of the error from frame to frame, and NRMSE over all clips.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from models.crops import crop_to_image, sample_plane, square_affine
from models.face_box import DETECTOR_NOISE, box_from_landmarks, jitter_box
from models.landmarks.card import LandmarkCard
from models.landmarks.datasets.sets import read_evaluation_set
from models.landmarks.landmark_model import LandmarkModel
from models.landmarks.metrics import interocular_px
from models.landmarks.model import load_landmark_model
from models.synthesis.animated_faces import can_be_animated
from models.synthesis.face_animation import animate_still
from models.synthesis.face_motion import Pose

_FRAME_PX: Final = 256
_CYCLES: Final = 1.5
#: Fields of the pose, given a sine from -1 to 1 and its cosine.
MOVEMENTS: Final[dict[str, Callable[[Pose, float, float], Pose]]] = {
    "still": lambda pose, sine, cosine: pose,
    "shift": lambda pose, sine, cosine: _posed(pose, head_shift_xy_px=(14 * sine, 6 * cosine)),
    "size": lambda pose, sine, cosine: _posed(pose, head_scale=float(np.exp(0.09 * sine))),
    "roll": lambda pose, sine, cosine: _posed(pose, roll_deg=14 * sine),
    "yaw": lambda pose, sine, cosine: _posed(pose, yaw_deg=18 * sine),
    "pitch": lambda pose, sine, cosine: _posed(pose, pitch_deg=11 * sine),
    "mouth open": lambda pose, sine, cosine: _posed(pose, mouth_open=0.95 * _share(sine)),
    "mouth narrow": lambda pose, sine, cosine: _posed(pose, mouth_narrow=0.9 * _share(sine)),
    "brows": lambda pose, sine, cosine: _posed(pose, brow_raise=1.1 * _share(sine)),
    "blink": lambda pose, sine, cosine: _posed(
        pose, blink=float(np.clip(1.5 * _share(sine) - 0.3, 0, 1))
    ),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Clip:
    """One person, one movement: frames (T, H, W, 3), landmarks (T, 68, 2), boxes (T, 4)."""

    movement: str
    frames: npt.NDArray[np.uint8]
    truth_px: npt.NDArray[np.float64]
    boxes_px: npt.NDArray[np.float64]


def clips(data: Path, people: int, frames: int) -> Iterator[Clip]:
    """Every movement of `people` people."""
    rng = np.random.default_rng(5)
    stills = [f for f in read_evaluation_set(data, "300w/common") if can_be_animated(f)]
    for index in rng.permutation(len(stills))[:people]:
        animation = animate_still(stills[index])
        for name, move in MOVEMENTS.items():
            rest = Pose(
                yaw_deg=rng.normal(0, 4),
                pitch_deg=rng.normal(0, 3),
                roll_deg=rng.normal(0, 3),
                mouth_open=max(0.0, rng.normal(0.05, 0.1)),
            )
            phases = 2 * np.pi * _CYCLES * np.arange(frames) / frames + rng.uniform(0, 2 * np.pi)
            poses = [move(rest, float(np.sin(p)), float(np.cos(p))) for p in phases]
            truth = np.stack([animation.landmarks(pose, _FRAME_PX) for pose in poses])
            unit = np.array([0, 0, 100, 100], np.float32)
            noise = (jitter_box(unit, rng, DETECTOR_NOISE) - unit) / 100  # one per clip
            boxes = [box_from_landmarks(face.astype(np.float32)) for face in truth]
            yield Clip(
                name,
                np.stack([animation.render(pose, _FRAME_PX) for pose in poses]),
                truth,
                np.stack([box + noise * (box[2:] - box[:2]).max() for box in boxes]),
            )


def errors(model: LandmarkModel, clip: Clip) -> npt.NDArray[np.float64]:
    """(T, 68, 2) in percent of the distance of the outer eye corners."""
    affines = [_crop_map(box, model.card) for box in clip.boxes_px]
    size = model.card.crop_size_px
    crops = np.stack(
        [sample_plane(f, a, size, size) for f, a in zip(clip.frames, affines, strict=True)]
    ).astype(np.uint8)
    index = np.arange(len(crops))[:, None] + np.arange(1 - model.card.window_frames, 1)
    found = model.predict(crops, np.maximum(index, 0))
    placed = np.stack([crop_to_image(p, a) for p, a in zip(found, affines, strict=True)])
    scale = np.array([float(interocular_px(face)) for face in clip.truth_px])
    return 100 * (placed - clip.truth_px) / scale[:, None, None]


def _crop_map(box: npt.NDArray[np.float64], card: LandmarkCard) -> npt.NDArray[np.float64]:
    return square_affine(box, scale=card.crop_scale, size_px=card.crop_size_px)


def _posed(pose: Pose, **changes: object) -> Pose:
    return dataclasses.replace(pose, **changes)  # type: ignore[arg-type]


def _share(sine: float) -> float:
    return 0.5 + 0.5 * sine


def main() -> None:
    """Prints a line per network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", action="append", default=[])
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--frames", type=int, default=24)
    args = parser.parse_args()
    shown = list(clips(args.data, args.people, args.frames))
    for weights in args.weights or ["fast"]:
        model = load_landmark_model(weights)
        rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in MOVEMENTS}
        for clip in shown:
            error = errors(model, clip)
            unbiased = np.linalg.norm(error - error.mean(0), axis=-1).mean()
            step = np.linalg.norm(np.diff(error, axis=0), axis=-1).mean()
            whole = np.linalg.norm(error, axis=-1).mean()
            rows[clip.movement].append((float(whole), float(unbiased), float(step)))
        whole, unbiased, step = np.mean([row for each in rows.values() for row in each], axis=0)
        parts = (f"{k} {np.mean(v, 0)[1]:.3f}/{np.mean(v, 0)[2]:.3f}" for k, v in rows.items())
        head = f"{weights}: NRMSE {whole:.2f} unbiased {unbiased:.3f} stability {step:.3f}"
        sys.stdout.write(f"{head} | {' '.join(parts)}\n")


if __name__ == "__main__":
    main()
