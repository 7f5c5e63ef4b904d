"""`facetracks forget`: removes videos from an output."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from pipeline.outputs.forget_videos import ForgottenVideo, forget

#: Exit status where the output held nothing of some id.
EXIT_UNKNOWN: Final = 1


def run(args: argparse.Namespace) -> int:
    """Removes, prints what was removed; returns the exit status."""
    forgotten = forget(args.output, args.video_ids, on_progress=_tell)
    unknown = [video.video_id for video in forgotten if not video.removed]
    known = len(forgotten) - len(unknown)
    total = sum(video.bytes for video in forgotten)
    print(f"{known} videos removed from {args.output}, {total} bytes")
    if known:
        print(
            "the videos themselves and exports are kept; the next `annotate` of a corpus that "
            "contains the videos annotates them again"
        )
    if unknown:
        print(
            f"facetracks: {args.output} holds nothing about {', '.join(map(repr, unknown))}; "
            "expected values of the column video_id of its videos table",
            file=sys.stderr,
        )
    return EXIT_UNKNOWN if unknown else 0


def _tell(video: ForgottenVideo) -> None:
    for name in video.removed:
        print(f"{video.video_id}: removed {name}")
