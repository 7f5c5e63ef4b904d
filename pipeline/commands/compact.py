"""`facetracks compact`: merges the files of many videos into a few."""

from __future__ import annotations

import argparse

from pipeline.outputs.compact_output import compact


def run(args: argparse.Namespace) -> int:
    """Compacts, prints the result; returns the exit status."""
    done = compact(
        args.output,
        on_progress=lambda videos: print(f"a file of {videos} videos", flush=True),
    )
    if done.files:
        print(f"{done.videos} videos in {done.files} files, {done.bytes} bytes")
    else:
        print(f"{args.output}: nothing to compact")
    return 0
