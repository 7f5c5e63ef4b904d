"""`facetracks export`: tracks in the formats of other tools."""

from __future__ import annotations

import argparse

from pipeline.exports.formats import export_tracks


def run(args: argparse.Namespace) -> int:
    """Runs `facetracks export`; returns the exit status."""
    done = export_tracks(
        args.tracks, args.to, args.format, video_ids=args.video, raw=args.raw, progress=True
    )
    print(f"{args.to}: {done.rows} rows of {done.videos} videos in {done.files} files")
    return 0
