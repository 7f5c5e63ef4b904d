"""Increase of the spread of landmarks that a painted occluder hides.

    python -m tests.benchmarks.occluded_spread ../shared/data [--weights fast accurate]

Faces of 300w/common, in their labels' boxes, without and with sunglasses, a mask or a hand. Only
landmarks covered by the occluder count. Prints the ratio of the mean spreads, the share of
landmarks whose spread doubles, and, for comparison, the ratio of the mean errors.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from models.crops import image_to_crop
from models.landmarks.datasets.sets import read_evaluation_set
from models.landmarks.model import load_landmark_model
from models.landmarks.training.augmentation import cut_crop
from models.landmarks.training.occluders import occlude_landmarks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", nargs="+", default=["fast", "accurate"])
    args = parser.parse_args()
    faces = read_evaluation_set(args.data, "300w/common")
    for weights in args.weights:
        model = load_landmark_model(weights)
        size = model.card.crop_size_px
        cut = [cut_crop(face, face.box_xyxy_px, model.card) for face in faces]
        crops = np.stack([crop for crop, _ in cut])
        pairs = zip(faces, cut, strict=True)
        truth = np.stack([image_to_crop(face.landmarks_px, affine) for face, (_, affine) in pairs])
        windows = np.repeat(np.arange(len(crops))[:, None], model.card.window_frames, axis=1)
        points, spread = model.predict_with_spread(crops, windows)
        error = np.linalg.norm(points - truth, axis=-1)
        for kind in ("sunglasses", "mask", "hand"):
            rng = np.random.default_rng(0)
            behind = np.stack(
                [occlude_landmarks(c, t, rng, kind) for c, t in zip(crops, truth, strict=True)]
            )
            x, y = truth.round().astype(int).clip(0, size - 1).transpose(2, 0, 1)
            changed = np.abs(behind.astype(int) - crops).max(-1) > 8
            hidden = changed[np.arange(len(crops))[:, None], y, x]
            points_behind, spread_behind = model.predict_with_spread(behind, windows)
            error_behind = np.linalg.norm(points_behind - truth, axis=-1)
            sys.stdout.write(
                f"{weights:10}{kind:12}{hidden.sum():6} hidden  spread x "
                f"{spread_behind[hidden].mean() / spread[hidden].mean():.2f}, doubled for "
                f"{(spread_behind >= 2 * spread)[hidden].mean():.0%}  error x "
                f"{error_behind[hidden].mean() / error[hidden].mean():.2f}\n"
            )


if __name__ == "__main__":
    main()
