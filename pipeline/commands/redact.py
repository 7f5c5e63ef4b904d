"""`facetracks redact`: a copy of a video in which the faces of its tracks are hidden."""

from __future__ import annotations

import argparse

from pipeline.videos.redaction import redact
from pipeline.videos.track_file import find_track_file, read_track_file


def run(args: argparse.Namespace) -> int:
    """Runs `facetracks redact`; returns the exit status."""
    tracks = read_track_file(find_track_file(args.tracks, args.video, complete=True))
    frames = redact(
        args.video, tracks, args.to, style=args.style, margin=args.margin, progress=True
    )
    faces = len(set(tracks.face_id.tolist()))
    print(f"{args.to}: {frames} frames, {faces} faces hidden")
    return 0
