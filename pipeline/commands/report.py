"""`facetracks report`: an output as one HTML page."""

from __future__ import annotations

import argparse

from pipeline.reports.corpus_report import report


def run(args: argparse.Namespace) -> int:
    """Writes the page and prints its path; returns 0."""
    made = report(args.output, args.to, thumbnails=args.thumbnails, progress=True)
    print(
        f"{made.inputs} inputs, {made.thumbnails} with a picture, {made.bytes / 1e6:.1f} MB\n"
        f"report: {made.file}"
    )
    return 0
