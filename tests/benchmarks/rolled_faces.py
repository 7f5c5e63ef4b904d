"""Recall of detection, and landmark errors, in pictures rotated by quarter turns.

    python -m tests.benchmarks.rolled_faces ../shared/data --weights fast --weights accurate

Pictures of 300w/common, rotated like a phone's video without its rotation flag, and detected as in
the pipeline. Errors are over the detected faces, in percent of the distance of the outer eye
corners.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from models.boxes import iou
from models.crops import crop_to_image, sample_plane, square_affine
from models.detection.face_detector import load_face_detector
from models.detection.rolled_faces import detect_any_roll
from models.face_box import box_from_landmarks
from models.landmarks.datasets.sets import read_evaluation_set
from models.landmarks.metrics import nrmse_percent
from models.landmarks.model import load_landmark_model

_FOUND_IOU = 0.4


def main() -> None:
    """Prints a line per quarter turn and network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", action="append", default=[])
    args = parser.parse_args()
    faces = read_evaluation_set(args.data, "300w/common")
    detector = load_face_detector("default")
    models = {weights: load_landmark_model(weights) for weights in args.weights or ["fast"]}
    for quarters in range(4):
        errors: dict[str, list[float]] = {weights: [] for weights in models}
        for face in faces:
            image = face.load()
            turned = np.ascontiguousarray(np.rot90(image, quarters))
            truth = face.landmarks_px
            for step in range(quarters):  # as np.rot90 moves pixels
                width = image.shape[1 - step % 2]
                truth = np.stack([truth[:, 1], width - 1 - truth[:, 0]], axis=1)
            boxes = detect_any_roll(detector, turned).boxes_xyxy_px
            near = [box for box in boxes if iou(box, box_from_landmarks(truth)) > _FOUND_IOU]
            for weights, model in models.items() if near else ():
                card = model.card
                affine = square_affine(near[0], scale=card.crop_scale, size_px=card.crop_size_px)
                crop = sample_plane(turned, affine, card.crop_size_px, card.crop_size_px)
                window = np.zeros((1, card.window_frames), np.intp)
                found = model.predict(np.asarray(crop, np.uint8)[None], window)
                placed = crop_to_image(found, affine)
                errors[weights].append(float(nrmse_percent(placed, truth[None])[0]))
        for weights, values in errors.items():
            far = sum(value > 10 for value in values)
            sys.stdout.write(
                f"{90 * quarters:>3} degrees {weights:<9} found {len(values)} of {len(faces)}, "
                f"NRMSE median {np.median(values):.2f} mean {np.mean(values):.2f}, "
                f"above 10: {far}\n"
            )


if __name__ == "__main__":
    main()
