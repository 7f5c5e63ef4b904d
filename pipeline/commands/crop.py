"""`facetracks crop`: the faces of a video as clips or frames."""

from __future__ import annotations

import argparse

from pipeline.videos.crop_plan import CropFilter
from pipeline.videos.cropping import crop
from pipeline.videos.track_file import find_track_file, read_track_file


def run(args: argparse.Namespace) -> int:
    """Runs `facetracks crop`; returns the exit status."""
    done = crop(
        args.video,
        read_track_file(find_track_file(args.tracks, args.video)),
        args.to,
        format=args.format,
        size_px=args.size,
        margin=args.margin,
        keep_rotation=args.keep_rotation,
        min_frames=args.min_frames,
        progress=True,
        limits=CropFilter(
            min_face_px=args.min_face,
            min_score=args.min_score,
            max_spread=args.max_spread,
            max_blur=args.max_blur,
            max_cut_off=args.max_cut_off,
            max_yaw_deg=args.max_yaw,
        ),
    )
    print(f"{args.to}: {done.crops} crops in {done.files} files\ntransforms {done.table}")
    return 0
