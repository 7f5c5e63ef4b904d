"""`facetracks evaluate codecs`: errors of the heatmap codecs on disturbed Gaussians."""

from __future__ import annotations

import argparse
import json

import torch

from models.landmarks.evaluation.codec_errors import DISTURBANCES, codec_errors_px
from models.landmarks.networks.heatmap_codecs import GAUSSIAN_CODECS, SIGMA_PX
from schemas.errors import UsageError

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `codecs` to the group of `facetracks evaluate`."""
    parser = subparsers.add_parser(
        "codecs",
        aliases=["decoders"],
        help="measure how heatmaps are decoded",
        description="Mean error in heatmap pixels of each way to decode a heatmap, on Gaussians "
        f"of known centre, 64x64, decoded with sigma {SIGMA_PX:g}: with noise (white, blurred by "
        "0.7 px), of another sigma, and at the edge. Needs no data.",
    )
    parser.add_argument("--maps", type=int, default=5000, help="heatmaps a row (default: 5000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of every random choice")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measures and prints; returns 0."""
    if args.maps < 1:
        raise UsageError(f"--maps: got {args.maps}, expected 1 or more")
    torch.set_num_threads(1)
    rows = {
        disturbance.name: codec_errors_px(disturbance, count=args.maps, seed=args.seed)
        for disturbance in DISTURBANCES
    }
    if args.json:
        print(json.dumps({"maps": args.maps, "seed": args.seed, "mean_error_px": rows}, indent=2))
        return 0
    print(f"{'mean error, heatmap px':28}" + "".join(f"{codec:>15}" for codec in GAUSSIAN_CODECS))
    for name, errors in rows.items():
        print(f"{name:28}" + "".join(f"{errors[codec]:15.4f}" for codec in GAUSSIAN_CODECS))
    return 0
