"""The whole hostile corpus through `annotate`, in one run, and every input accounted for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from models.frame_pixels import FramePixels
from pipeline.commands.annotate import EXIT_INCOMPLETE
from schemas.errors import VideoError
from schemas.reasons import REASONS
from schemas.records import Segment, Video
from tests.hostile.corpus import HostileCase, markdown_table, write_corpus
from transforms.decoding.frame_stream import FrameStream
from transforms.decoding.segment_plan import plan_segments
from transforms.decoding.video_source import open_video
from transforms.storage.atomic_files import file_stem

ROOT = Path(__file__).parents[2]
#: Many seams: clips of two seconds become three segments.
SEGMENT_SECONDS = 0.5
COLOUR_TOLERANCE = 6  # of 255: error of 4:2:0, 8 bits and a lossy encoder


@dataclass(frozen=True)
class Run:
    """A finished run over the corpus."""

    folder: Path
    output: Path
    status: int
    text: str
    rows: list[dict[str, Any]]

    def row(self, case: HostileCase) -> dict[str, Any]:
        uri = _readable(str(case.path(self.folder)))
        (row,) = [r for r in self.rows if r["uri"] == uri and _is_id(case, r["video_id"])]
        return row


def _is_id(case: HostileCase, video_id: str) -> bool:
    return case.video_id is None or case.video_id == video_id


def _readable(path: str) -> str:
    """A path as stored in a table: bytes that are not UTF-8 are escaped."""
    return path.encode("utf-8", "backslashreplace").decode()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> tuple[Path, list[HostileCase]]:
    folder = tmp_path_factory.mktemp("hostile") / "corpus"
    return folder, write_corpus(folder)


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory) -> Run:
    folder, _ = corpus
    output = tmp_path_factory.mktemp("annotated") / "deep" / "down" / "out"
    command = [sys.executable, "-m", "pipeline.commands.cli", "annotate"]
    command += [str(folder / "found"), str(folder / "listed.jsonl"), "--output", str(output)]
    command += ["--workers", "2", "--segment-seconds", str(SEGMENT_SECONDS)]
    command += ["--stabilizer", "none"]
    environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=600)
    text = (done.stdout + done.stderr).decode(errors="replace")
    files = sorted((output / "videos").glob("*.parquet"))
    rows = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
    return Run(folder, output, done.returncode, text, rows)


def test_every_input_has_exactly_one_row(run, corpus):
    folder, cases = corpus
    expected = Counter(_readable(str(case.path(folder))) for case in cases)
    assert Counter(row["uri"] for row in run.rows) == expected
    assert len({row["video_id"] for row in run.rows}) == len(cases)
    assert len(cases) > 200


def test_the_run_ends_well_and_says_that_some_videos_did_not(run, corpus):
    assert run.status == EXIT_INCOMPLETE, run.text[-3000:]
    assert f"{len(corpus[1])} videos: " in run.text


def test_statuses_and_reasons(run, corpus, subtests):
    for case in corpus[1]:
        with subtests.test(str(case)):
            row = run.row(case)
            told = (row["status"], row["reason"], row["message"])
            assert row["status"] in case.statuses, told
            if row["status"] == "ok":
                assert row["reason"] == (None if row["face_frames"] else "no_face"), told
            else:
                assert row["reason"] in case.reasons, told
                assert row["reason"] in REASONS
                assert row["message"]


def test_frame_counts(run, corpus, subtests):
    for case in corpus[1]:
        with subtests.test(str(case)):
            row = run.row(case)
            low, high = case.frames
            if row["status"] == "failed":
                assert row["frames_decoded"] == 0
            else:
                assert low <= row["frames_decoded"] <= high
            if row["status"] == "ok" and case.counted:
                assert row["frames_decoded"] == high  # lost frames exclude ok


def test_geometry(run, corpus, subtests):
    for case in corpus[1]:
        row = run.row(case)
        if case.upright_size_px is None or row["status"] == "failed":
            continue
        with subtests.test(str(case)):
            assert (row["width"], row["height"]) == case.upright_size_px
            assert (row["rotation_deg"], row["mirrored"]) == (case.rotation_deg, case.mirrored)
            aspect = f"{case.aspect.numerator}:{case.aspect.denominator}"
            assert row["sample_aspect_ratio"] == aspect


def test_repeats_are_counted(run, corpus, subtests):
    for case in corpus[1]:
        if case.repeats is not None:
            with subtests.test(str(case)):
                assert run.row(case)["repeats"] == case.repeats


def test_the_stream_that_a_player_shows(run, corpus, subtests):
    for case in corpus[1]:
        if case.stream is not None:
            with subtests.test(str(case)):
                row = run.row(case)
                assert (row["stream_index"], row["streams"]) == case.stream


def test_frames_that_are_lost_are_named(run, corpus, subtests):
    """A frame that was not decoded is in a missing range; a decoded one is in none."""
    for case in corpus[1]:
        if not case.lost_pts:
            continue
        with subtests.test(str(case)):
            ranges = run.row(case)["lost_pts"]
            flat = [pts for pair in ranges for pts in pair]
            assert flat == sorted(set(flat))  # in order, apart, none empty
            assert all(any(a <= pts < b for a, b in ranges) for pts in case.lost_pts), ranges
            assert not any(a <= pts < b for a, b in ranges for pts in case.pts or ()), ranges


def test_faces_are_found_upright(run, corpus, subtests):
    for case in corpus[1]:
        if case.faces is None:
            continue
        with subtests.test(str(case)):
            row = run.row(case)
            assert row["faces"] == case.faces
            assert row["face_frames"] == case.faces * row["frames_decoded"]


def test_tracks_are_there_for_all_that_did_not_fail(run, corpus, subtests):
    for case in corpus[1]:
        with subtests.test(str(case)):
            row = run.row(case)
            file = run.output / "tracks" / f"{file_stem(row['video_id'])}.parquet"
            assert file.exists() == (row["status"] != "failed")
            if not file.exists():
                continue
            rows = pq.ParquetFile(file).read(columns=["pts", "pts_seconds"]).to_pydict()
            assert len(rows["pts"]) == row["face_frames"]
            if case.time_base is not None:
                assert row["time_base"] == str(case.time_base)
                seconds = [float(pts * case.time_base) for pts in rows["pts"]]
                assert rows["pts_seconds"] == seconds
            if case.pts is not None:
                assert set(rows["pts"]) <= set(case.pts)


def test_how_often_a_video_is_cut(run, corpus, subtests):
    for case in corpus[1]:
        if case.segments is not None:
            with subtests.test(str(case)):
                assert run.row(case)["segments"] == case.segments
    assert max(row["segments"] for row in run.rows) > 3


def test_nothing_is_written_outside_output_and_nothing_is_left_over(run, corpus):
    base = run.output.parents[2]
    outside = [p for p in base.rglob("*") if p.is_file() and run.output not in p.parents]
    assert outside == []
    assert not Path("/tmp/escaped").exists()
    assert not (ROOT / "pwned").exists()
    kinds = {p.name for p in run.output.iterdir()}
    assert kinds == {"tracks", "videos", "run.json"}
    for kind in ("tracks", "videos"):
        names = [p.name for p in (run.output / kind).iterdir()]
        assert [n for n in names if n.startswith(".") or not n.endswith(".parquet")] == []
    assert {p.name for p in corpus[0].iterdir()} == {"found", "listed", "listed.jsonl"}


def plan(path: Path, seconds: float) -> list[Segment]:
    with open_video(str(path)) as opened:
        return plan_segments(Video(path.name, str(path)), opened, seconds)


def owned_frames(path: Path, seconds: float) -> Iterator[tuple[int, FramePixels]]:
    """Every frame with its pts, from the segment that owns it."""
    for segment in plan(path, seconds):
        with open_video(str(path)) as opened:
            for pts, frame in FrameStream(segment, opened):
                if segment.owns(pts):
                    yield pts, FramePixels(frame)


@pytest.fixture(scope="module")
def frames_of(corpus) -> Callable[..., list[tuple[int, np.ndarray]]]:
    """(pts, thumbnail) of every frame of a case, decoded once."""

    @cache
    def decode(case: HostileCase, *, cut: bool) -> list[tuple[int, np.ndarray]]:
        frames = owned_frames(case.path(corpus[0]), SEGMENT_SECONDS if cut else 1000.0)
        return [(pts, pixels.luma_thumbnail()) for pts, pixels in frames]

    return decode


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "uncut"])
def test_every_frame_has_its_pts(corpus, frames_of, subtests, cut):
    for case in corpus[1]:
        if case.frames[1] == 0:
            continue
        with subtests.test(str(case)):
            try:
                pts = [at for at, _ in frames_of(case, cut=cut)]
            except VideoError as error:
                assert "failed" in case.statuses, error
                continue
            assert pts == sorted(set(pts))
            assert case.frames[0] <= len(pts) <= case.frames[1]
            if case.pts is not None:
                assert set(pts) <= set(case.pts)
                if case.frames[0] == case.frames[1]:
                    assert tuple(pts) == case.pts


def test_a_video_in_segments_shows_the_same_pictures(corpus, frames_of, subtests):
    for case in corpus[1]:
        if case.statuses != ("ok",):
            continue
        with subtests.test(str(case)):
            whole, cut = frames_of(case, cut=False), frames_of(case, cut=True)
            assert [pts for pts, _ in cut] == [pts for pts, _ in whole]
            pairs = zip(cut, whole, strict=True)
            assert [a[0] for a, b in pairs if not np.array_equal(a[1], b[1])] == []


def test_a_frame_that_a_file_counts_comes_out_or_is_named_as_lost(run, corpus, frames_of, subtests):
    for case in corpus[1]:
        row = run.row(case)
        if row["status"] != "partial" or not case.counted or case.pts is None:
            continue
        with subtests.test(str(case)):
            came_out = {pts for pts, _ in frames_of(case, cut=False)}
            unnamed = [
                pts
                for pts in (*case.pts, *case.lost_pts)
                if pts not in came_out and not any(a <= pts < b for a, b in row["lost_pts"])
            ]
            assert unnamed == []


def test_colours_come_out_as_they_went_in(corpus, subtests):
    folder, cases = corpus
    for case in cases:
        if case.rgb is None:
            continue
        with subtests.test(str(case)):
            _, pixels = next(owned_frames(case.path(folder), 1000.0))
            middle = np.array([[1.0, 0, pixels.width_px // 2], [0, 1, pixels.height_px // 2]])
            got = pixels.sample(middle, 1, 1)[0, 0].astype(int)
            assert np.abs(got - case.rgb).max() <= COLOUR_TOLERANCE, got


def test_the_page_of_cases_is_up_to_date(corpus):
    page = (ROOT / "docs" / "hostile-video.md").read_text()
    assert page == markdown_table(corpus[1]), "python -m tests.hostile.corpus --markdown > ..."
