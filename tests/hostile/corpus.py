"""The hostile corpus: small files of every kind that breaks tools, with the expected results.

    python -m tests.hostile.corpus FOLDER        writes the files
    python -m tests.hostile.corpus --markdown    prints docs/hostile-video.md

A corpus folder has `found/`, which is passed as a folder, `listed/`, whose files are passed in a
manifest, and that manifest, `listed.jsonl`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av

from schemas.reasons import REASONS
from tests.hostile.broken_files import write_broken_files
from tests.hostile.case import HostileCase
from tests.hostile.no_videos import write_no_videos
from tests.hostile.odd_containers import write_odd_containers
from tests.hostile.odd_files import write_odd_files
from tests.hostile.odd_names import write_odd_names
from tests.hostile.odd_streams import write_odd_streams
from tests.hostile.odd_times import write_lying_headers, write_odd_times

__all__ = ["HostileCase", "markdown_table", "write_corpus"]

_INTRO: Final = """\
# Hostile video: every case and its result

`python -m tests.hostile.corpus --markdown` prints this page. `tests/hostile` creates each
of these {count} files, runs `facetracks annotate` on all of them at once, and
checks status, reason, frames, every frame's pts, upright size, rotation, aspect ratio,
and the colour of a pixel in the cases about colour. Where two results are listed, both are
correct, because the file itself does not show the damage.

`tests/long/test_seams.py` cuts the undamaged files into segments of 1, 3 and 10 s, with a
box on every frame, and checks that the tables equal those of a run without cuts.

`tests/hostile/test_exact.py` draws a spot at a known position in rotated, non-square-pixel,
enlarged and reduced pictures and at the picture's edge: a landmark on the spot is within 0.05 px of
its position in the source image.

## Rules

**Lost frames.** A loss is reported if a packet was rejected, a picture was damaged, or a packet
went in and the frame times have a gap in its place. These are not losses: the second
field of a frame, a packet with two pictures or none, timestamps that restart. A recording
that begins in the middle of a group of pictures is complete from its first key frame on, in every
container: no player can show what comes before, so it is neither lost nor bad. A missing
fragment of an MP4 is a pause. Garbage is no frame after the last of the frames that an IVF states,
or where it is shorter than a frame of a Y4M. A frame whose time is out of order is not lost.

**Timestamps.** AVI stores when packets are decoded, and tools copy these times into other
containers. B-frames, packed or not, then have the right set of times in the wrong order. A frame
therefore waits until no earlier time can follow, and gets the first unused one
(`models/timestamps.py`). FFmpeg drops the negative timestamps of Matroska: they are counted back
from the first one that it gives.

**Streams and pictures.** A stream of one picture beside sound is a video of one frame, unless
it is marked as a cover. Frames are used as FFmpeg decodes them: interlaced frames keep both
fields; cropping by the codec is applied, cropping by the container (Matroska's PixelCrop, MP4's
clap) is not. Colours follow the matrix and range of the frame; high dynamic range is
not tone-mapped. FFmpeg cannot read animated WebP.

**Isolation.** Commands that take a video and its tracks (`render`, `redact`, `crop`, `evaluate
coverage`, `evaluate tracks`), `report`, `probe` and `--timings` decode in the same kind of
limited child process as `annotate`, with its default limits, so such a file ends the command with
one message. There are two exceptions. The command itself copies sound without decoding it,
after a child has read all of it. Labelled sets (300VW and the like), which a person has
downloaded and checked, are decoded without a child.

## Kinds of fault in public reports

`cases` are the small inputs of the test data, which `test_cases.py` checks. Names with a slash
are inputs below.

| | kind | tests of the right value |
| --- | --- | --- |
| 1 | mirrored orientation | cases, `faces/mirrored-*`, `test_exact.py`, `test_frame_pixels.py` |
| 2 | the wrong stream | cases, `streams/*`, `test_stream_choice.py` |
| 3 | rows before a pause, ids after it | cases, `times/pauses.mp4`, `times/sparse.mp4`, \
`test_track_assembler_seams.py`, `test_window_builder.py` |
| 4 | repeated frames | cases, `repeats/*`, `test_frame_samples.py`; \
[design.md](design.md#repeated-frames) |
| 5 | trust in a single header field | `lies/*`, `test_segment_plan.py` |
| 6 | ranges | cases, `test_segment_plan.py` |
| 7 | packets that are not exactly one frame | cases, chained Ogg, `times/packed.*`, \
`times/not-coded.*`, `times/decoding.*`, `codecs/fields.avi`, `test_lost_frames.py`, \
`test_frame_stream.py` |
| 8 | empty packets | cases |
| 9 | RIFF sizes | cases, `lies/*.avi`, `codecs/opendml.avi`, `test_container_sizes.py` |
| 10 | begin in the middle of a group of pictures | `begun/*` |
| 11 | cost by claimed length; any start time | cases, `times/epoch.mkv`, \
`lies/billion-seconds.mkv`, `test_segment_plan.py` |
| 12 | formats: allowed, refused, unknown; encrypted | cases, `other/*`, `test_formats.py` |
| 13 | start in any folder | `test_safe_python.py` |
| 14 | faults of the machine | `test_host_errors.py`, `test_moved_corpora.py` |
| 15 | standard streams, names, servers, links, extras | `test_standard_streams.py`, \
`test_http_source.py`, `test_inputs.py` |
| 16 | manifests | `test_inputs.py` |
| 17 | a corpus that moved | `test_moved_corpora.py` |
| 18 | readers of tracks | `test_track_files.py`, `other_readers.py` |
| 19 | answers of the child | `test_messages.py`, `test_child_frames.py`, `test_misbehaving.py` |
| 20 | decoding outside the child | `test_hostile_inputs.py` |
| 21 | one definition of the overhang | `reach.py`, `test_track_assembler_seams.py` |
| 22 | the state of `rts` | `test_state_bytes.py` |
"""
#: Folders of the corpus and the headings of their cases.
_TITLES: Final = {
    "codecs": "Codecs and containers",
    "colours": "Pixels",
    "sizes": "Sizes and lengths",
    "faces": "Rotated and non-square pixels",
    "times": "Times",
    "repeats": "Repeated frames",
    "streams": "More than one stream",
    "begun": "Recordings that begin in the middle of a group of pictures",
    "lies": "Wrong headers",
    "cut": "Truncated",
    "packets": "Bad packets",
    "flipped": "Flipped and lost bytes",
    "bombs": "Small files with huge pictures",
    "other": "Not a video",
    "names": "File names",
    "listed": "From a manifest",
}


def write_corpus(folder: Path) -> list[HostileCase]:
    """Writes every file below `folder`; returns the expected result of each."""
    found, listed = folder / "found", folder / "listed"
    for place in (found, listed):
        place.mkdir(parents=True)
    av.logging.set_level(None)
    with _quiet_encoders():
        cases = [
            *write_odd_files(found),
            *write_odd_times(found / "times"),
            *write_lying_headers(found / "lies"),
            *write_odd_streams(found),
            *write_odd_containers(found),
            *write_broken_files(found),
            *write_no_videos(found, listed),
            *write_odd_names(found, listed),
        ]
    with (folder / "listed.jsonl").open("w") as manifest:
        for case in cases:
            if case.listed:
                row = {"uri": str(case.path(folder)), "video_id": case.video_id}
                manifest.write(json.dumps(row) + "\n")
    return cases


@contextlib.contextmanager
def _quiet_encoders() -> Iterator[None]:
    """SVT-AV1 ignores log levels and writes to stderr."""
    sys.stderr.flush()
    saved, quiet = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(quiet)


def markdown_table(cases: list[HostileCase]) -> str:
    """docs/hostile-video.md: every case and its result."""
    lines = _INTRO.format(count=len(cases)).splitlines()
    groups: dict[str, list[HostileCase]] = {}
    for case in cases:
        groups.setdefault("listed" if case.listed else case.name.partition("/")[0], []).append(case)
    for group, title in _TITLES.items():
        lines += ["", f"## {title}", "", "| input | description | result | frames |"]
        lines += ["| --- | --- | --- | --- |"]
        lines += [_row(case) for case in groups[group]]
    return "\n".join(lines) + "\n"


def _row(case: HostileCase) -> str:
    low, high = case.frames
    frames = str(low) if low == high else f"{low} to {high}"
    if case.reasons[:1] == ("truncated",):
        frames = "those that are whole"
    reasons = [r for r in case.reasons if r in REASONS] if len(case.reasons) < 4 else []
    outcome = " or ".join(case.statuses) + (f" ({', '.join(reasons)})" if reasons else "")
    name = case.name.rpartition("/")[2]
    shown = case.video_id if case.video_id is not None else name
    shown = ascii(shown)[1:-1].replace("|", "\\|").replace("`", "'")
    shown = shown if len(shown) < 50 else f"{shown[:30]}... ({len(shown)} characters)"
    return f"| `` {shown} `` | {case.what} | {outcome} | {frames} |"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where to write the files")
    parser.add_argument("--markdown", action="store_true", help="print the table of all cases")
    args = parser.parse_args()
    if args.folder is not None:
        cases = write_corpus(args.folder)
    else:
        with tempfile.TemporaryDirectory() as folder:
            cases = write_corpus(Path(folder) / "corpus")
    sys.stdout.write(markdown_table(cases) if args.markdown else f"{len(cases)} files\n")


if __name__ == "__main__":
    main()
