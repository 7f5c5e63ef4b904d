"""`facetracks derive`: measures and blinks in tables beside the tracks."""

from __future__ import annotations

import argparse
import sys

from pipeline.outputs.derive_tracks import DerivedVideo, derive_tracks

_EVERY: int = 100


def run(args: argparse.Namespace) -> int:
    """Derives, prints progress and where the tables are; returns the exit status."""
    seen = 0

    def tell(video: DerivedVideo, videos: int) -> None:
        nonlocal seen
        seen += 1
        if seen % _EVERY == 0 and seen < videos:
            print(f"{seen}/{videos} videos", file=sys.stderr)

    derived = derive_tracks(
        args.output, args.videos or None, overwrite=args.overwrite, on_progress=tell
    )
    new = [video for video in derived if not video.done_before]
    rows, blinks = sum(video.rows for video in new), sum(video.blinks for video in new)
    before = len(derived) - len(new)
    print(f"{len(new)} videos derived now, {before} before; {rows} rows, {blinks} blinks")
    print(f"rows:   {args.output}/derived/rows\nblinks: {args.output}/derived/blinks")
    return 0
