"""Shape of a trained network's heatmaps near the peak, and its effect on each codec.

    python -m tests.benchmarks.heatmap_shapes ../shared/data --weights FILE ...

On the faces of 300w/common, in boxes with the detector's noise. Maps for soft-argmax are used
after their softmax, which was also trained towards Gaussians. Prints:

- the height of the peaks and the standard deviation of the maps at the peak (from the second
  difference of ln h along an axis), beside the sigma of the training;
- the distance of each codec from the centre of the Gaussian that fits the map best (`taylor`): the
  error of the codec alone, without the error of the map's position;
- the error of each codec with the sigma of the training, and with the deviation of the maps on one
  half of the faces, evaluated on the other half.

Eq. 4 computes sigma^2 ln(h1 / h) + 1/2. With a deviation of s in place of sigma, this is
(sigma / s)^2 (d - 1/2) + 1/2 at an offset d, so its mean error is ((sigma / s)^2 - 1) / 2 pixels,
always towards the same side. The error of the difference of both neighbours is
d ((sigma / s)^2 - 1), which has zero mean.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.crops import image_to_crop
from models.landmarks.card import LandmarkCard
from models.landmarks.datasets.labelled_face import LabelledFace
from models.landmarks.datasets.sets import read_evaluation_set
from models.landmarks.evaluation.measurement import jittered_boxes
from models.landmarks.networks.heatmap_codecs import decode_heatmaps
from models.landmarks.torch_model import read_landmark_weights
from models.landmarks.training.augmentation import cut_crop
from schemas.choices import GAUSSIAN_CODECS
from schemas.landmarks import LANDMARK_COUNT, OUTER_EYE_CORNERS

_BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", nargs="+", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=4)
    args = parser.parse_args()
    torch.set_num_threads(1)
    faces = read_evaluation_set(args.data, "300w/common")
    for weights in args.weights:
        tensors, card = read_landmark_weights(weights)
        network = card.build_network().eval()
        network.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=False)
        maps, truth_px = _maps(network, card, faces, draws=args.draws)
        sys.stdout.write(f"{weights}: {len(faces)} faces, {args.draws} boxes each\n")
        _describe(maps, truth_px, card.sigma_px)


@torch.inference_mode()
def _maps(
    network: torch.nn.Module, card: LandmarkCard, faces: list[LabelledFace], *, draws: int
) -> tuple[Tensor, Tensor]:
    """Heatmaps (N, 68, h, w) and the labels (N, 68, 2) in their pixels."""
    boxes = jittered_boxes(draws=draws, seed=0)
    size = card.crop_size_px
    mean, std = (torch.tensor(v) for v in (card.pixel_mean_rgb, card.pixel_std_rgb))
    crops, truth = [], []
    for face in faces:
        for box in boxes(face):
            assert box is not None  # only a detector misses faces
            crop, affine = cut_crop(face, box, card)
            crops.append(crop)
            truth.append(image_to_crop(face.landmarks_px, affine))
    parts = [
        network(((torch.from_numpy(np.stack(part)).float() - mean) / std).movedim(-1, 1))
        for part in (crops[i : i + _BATCH] for i in range(0, len(crops), _BATCH))
    ]
    maps = torch.cat(parts)[:, :LANDMARK_COUNT]
    if card.codec == "soft_argmax":
        maps = maps.flatten(-2).softmax(-1).reshape(maps.shape)
    return maps, (torch.from_numpy(np.stack(truth)).float() + 0.5) * maps.shape[-1] / size - 0.5


def _describe(maps: Tensor, truth_px: Tensor, sigma_px: float) -> None:
    peak = decode_heatmaps(maps, "argmax").long()
    inner = peak.clamp(1, maps.shape[-1] - 2)
    log_h = maps.clamp(min=1e-12).log().flatten(-2)

    def at(dx: int, dy: int) -> Tensor:
        index = (inner[..., 1] + dy) * maps.shape[-1] + inner[..., 0] + dx
        return log_h.gather(-1, index[..., None])[..., 0]

    second = torch.stack(
        [at(1, 0) - 2 * at(0, 0) + at(-1, 0), at(0, 1) - 2 * at(0, 0) + at(0, -1)], dim=-1
    )
    whole = (inner == peak).all(-1)
    deviation = (-1 / second.clamp(max=-1e-3)).sqrt()  # (N, 68, 2)
    heights = maps.flatten(-2).amax(-1)
    _quartiles("height of the peak", heights)
    _quartiles(f"deviation, px (trained with {sigma_px:g})", deviation[whole])

    fitted = decode_heatmaps(maps, "taylor", sigma_px)
    half = len(maps) // 2
    own = float(deviation[:half][whole[:half]].median())
    interocular = (truth_px[:, OUTER_EYE_CORNERS[0]] - truth_px[:, OUTER_EYE_CORNERS[1]]).norm(
        dim=-1
    )
    sys.stdout.write(
        f"  {'codec':16}{'from the fitted centre, px: mean x, y':>40}{'scatter':>10}"
        f"{'NRMSE':>8}{f'told {own:.2f} px':>14}\n"
    )
    for codec in GAUSSIAN_CODECS:
        off = (decode_heatmaps(maps, codec, sigma_px) - fitted)[whole]
        percent = [
            100
            * ((decode_heatmaps(maps, codec, told) - truth_px).norm(dim=-1).mean(-1))[half:]
            / interocular[half:]
            for told in (sigma_px, own)
        ]
        mean = off.mean(0)
        sys.stdout.write(
            f"  {codec:16}{f'{mean[0]:+.3f}, {mean[1]:+.3f}':>40}{off.std(0).mean():>10.3f}"
            f"{percent[0].mean():>8.3f}{percent[1].mean():>14.3f}\n"
        )


def _quartiles(name: str, values: Tensor) -> None:
    low, middle, high = np.percentile(values.numpy(), (25, 50, 75))
    sys.stdout.write(f"  {name}: {middle:.2f}, half of them in {low:.2f} to {high:.2f}\n")


if __name__ == "__main__":
    main()
