"""`facetracks evaluate codecs`: errors of the heatmap codecs on disturbed Gaussians."""

from __future__ import annotations

import argparse
import json

import torch

from models.landmarks.evaluation.codec_errors import DISTURBANCES, codec_errors_px
from pipeline.text_files import text_table
from schemas.choices import GAUSSIAN_CODECS


def run(args: argparse.Namespace) -> int:
    """Measures and prints; returns 0."""
    torch.set_num_threads(1)
    rows = {
        disturbance.name: codec_errors_px(disturbance, count=args.maps, seed=args.seed)
        for disturbance in DISTURBANCES
    }
    if args.json:
        print(json.dumps({"maps": args.maps, "seed": args.seed, "mean_error_px": rows}, indent=2))
        return 0
    cells = ([name, *(f"{e[codec]:.4f}" for codec in GAUSSIAN_CODECS)] for name, e in rows.items())
    print(text_table(["mean error, heatmap px", *GAUSSIAN_CODECS], cells))
    return 0
