"""Tables do not depend on the cuts between segments: hostile corpus and real clips."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest
from annotate_process import annotate
from track_tables import assert_same_tracks

from schemas.records import Video
from schemas.videos import VIDEO_SCHEMA
from tests.hostile.corpus import HostileCase, write_corpus
from tests.transforms.cut_videos import plan
from transforms.storage.atomic_files import file_stem

pytestmark = pytest.mark.long

SEGMENT_SECONDS = (1, 3, 10)
UNCUT_SECONDS = 100_000
#: Number of real clips to cut; a smaller number is picked evenly from all that can be cut.
CLIPS = int(os.environ.get("FACETRACKS_SEAM_CLIPS", "100"))
OPTIONS = ("--workers", 2, "--device", "cpu", "--full-precision")
#: Columns of a status row that describe the video, not the work.
_FACTS = [
    name
    for name in VIDEO_SCHEMA.names
    if not name.endswith("_seconds") and name not in ("segments", "config_hash")
]


class Cut(NamedTuple):
    """A video, and the segment lengths that give more than one segment."""

    video: Video
    by_seconds: tuple[int, ...]


def that_can_be_cut(videos: list[Video]) -> list[Cut]:
    """The videos that can have more than one segment."""
    cuts = []
    for video in videos:
        ways = tuple(s for s in SEGMENT_SECONDS if len(plan(video, s)) > 1)
        if ways:
            cuts.append(Cut(video, ways))
    return cuts


def tables_of(cuts: list[Cut], seconds: int, folder: Path) -> Path:
    """The output of a run over some videos."""
    manifest, output = folder / f"{seconds}.jsonl", folder / f"{seconds}"
    rows = [
        {"uri": v.uri, "video_id": v.video_id, **({"boxes": v.boxes_uri} if v.boxes_uri else {})}
        for v in (cut.video for cut in cuts)
    ]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = (manifest, "--output", output, "--segment-seconds", seconds, *OPTIONS)
    with annotate(*command) as run:
        assert run.ended().status in (0, 3), run.ended().err
    return output


def check_seams(cuts: list[Cut], folder: Path) -> Counter[str]:
    """Compares runs with cuts to one without; counts the comparisons."""
    whole = tables_of(cuts, UNCUT_SECONDS, folder)
    tally: Counter[str] = Counter()
    for seconds in SEGMENT_SECONDS:
        some = [cut for cut in cuts if seconds in cut.by_seconds]
        output = tables_of(some, seconds, folder) if some else whole
        for cut in some:
            name = f"{file_stem(cut.video.video_id)}.parquet"
            rows, tracks = (
                [pq.ParquetFile(o / kind / name).read() for o in (whole, output)]
                for kind in ("videos", "tracks")
            )
            assert rows[0].select(_FACTS).equals(rows[1].select(_FACTS)), name
            assert_same_tracks(*tracks, full_precision=True)
            assert rows[0]["segments"].to_pylist() == [1]
            tally[f"segments of {seconds} s"] += rows[1]["segments"].to_pylist()[0]
            tally["rows compared"] += tracks[0].num_rows
    return tally


def boxed(case: HostileCase, folder: Path) -> Video:
    """A case with a box on every frame, so that every frame has a row from its pixels."""
    width, height = case.upright_size_px or (96, 72)
    rows = [f"{pts},{0.2 * width},{0.1 * height},{0.7 * width},{0.9 * height}" for pts in case.pts]
    boxes = folder / f"{file_stem(case.name)}.csv"
    boxes.write_text("\n".join(["pts,x0,y0,x1,y1", *rows]) + "\n")
    return Video(case.name, str(case.path(folder)), boxes_uri=str(boxes))


def test_hostile_corpus(tmp_path, capsys):
    cases = [case for case in write_corpus(tmp_path) if case.statuses == ("ok",)]
    videos = [boxed(case, tmp_path) for case in cases if case.pts and case.faces is None]
    videos += [Video(c.name, str(c.path(tmp_path))) for c in cases if not c.pts or c.faces]
    cuts = that_can_be_cut(videos)
    assert len(cuts) > 30
    tell(capsys, "hostile corpus", len(cuts), check_seams(cuts, tmp_path))


@pytest.mark.realdata
def test_real_clips(shared_data, tmp_path, capsys):
    clips = sorted((shared_data / "videos").iterdir())
    cuts = that_can_be_cut([Video(path.name, str(path)) for path in clips])
    step = -(-len(cuts) // CLIPS)
    tell(capsys, "real clips", len(cuts[::step]), check_seams(cuts[::step], tmp_path))


def tell(capsys, what: str, videos: int, tally: Counter[str]) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n{what}: {videos} videos, ")
        sys.stdout.write(", ".join(f"{n} {name}" for name, n in tally.items()) + "\n")
    assert tally["rows compared"] > 20 * videos
