"""Local runs process waves; the output does not depend on them."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from test_annotate import manifest, rows_of

from pipeline.inputs import Inputs
from pipeline.waves import RunTotals, next_size, run_in_waves
from schemas.records import Video, VideoFailure
from schemas.tracks import TRACK_SCHEMA
from tests.benchmarks.looped_clip import loop_clip

GIB = 1 << 30


def videos(count: int) -> list[Video]:
    return [Video(str(i), f"memory://in/{i}.mp4") for i in range(count)]


@pytest.mark.parametrize(
    ("count", "staged", "expected"),
    [
        (16, 0, 32),  # all finished before
        (16, GIB // 100, 32),
        (16, GIB, 16),
        (16, 4 * GIB, 4),
        (4, 400 * GIB, 1),
        (1, GIB // 64, 2),
        (200, GIB // 100, 256),
        (200, 0, 400),
        (1024, 0, 1024),
        (1024, 1, 256),
    ],
)
def test_the_next_wave_is_as_large_as_staging_allows(count, staged, expected):
    assert next_size(count, staged) == expected


def test_every_input_is_in_one_wave():
    failures = [VideoFailure(Video("x", "/x"), "not_found", "none")]
    inputs, ran, totals = Inputs(videos(65), failures), [], RunTotals()

    def run_wave(wave: Inputs) -> Counter[str]:
        ran.append(wave)
        return Counter(staging_bytes=len(wave.videos), frames_decoded=2)

    run_in_waves(inputs, run_wave, totals)
    assert [len(wave.videos) for wave in ran] == [16, 32, 17]
    assert [video for wave in ran for video in wave.videos] == inputs.videos
    assert [failure for wave in ran for failure in wave.failures] == failures
    assert (totals.waves, totals.videos_done, totals.staging_peak_bytes) == (3, 66, 32)
    assert totals.counters == {"staging_bytes": 65, "frames_decoded": 6}


@pytest.mark.parametrize(
    ("count", "workers", "sizes"),
    [
        (24, 1, [24]), (25, 4, [16, 9]), (64, 1, [16, 48]), (0, 1, [0]),
        (33, 16, [33]), (100, 16, [64, 36]),
    ],
)  # fmt: skip
def test_the_first_wave_has_videos_for_all_workers_and_the_last_a_small_rest(count, workers, sizes):
    ran: list[int] = []

    def run_wave(wave: Inputs) -> Counter[str]:
        ran.append(len(wave.videos))
        return Counter(staging_bytes=1)

    run_in_waves(Inputs(videos(count)), run_wave, RunTotals(), workers)
    assert ran == sizes


def test_files_that_are_missing_count_as_a_part_of_one(tmp_path):
    there = tmp_path / "a.mp4"
    there.touch()
    missing = [Video(f"m{i}", str(tmp_path / f"m{i}")) for i in range(320)]
    inputs, ran = Inputs([*missing, *(Video(f"v{i}", str(there)) for i in range(30))]), []

    def run_wave(wave: Inputs) -> Counter[str]:
        ran.append(wave.videos)
        return Counter()

    run_in_waves(inputs, run_wave, RunTotals())
    assert [len(wave) for wave in ran] == [320 + 11, 19]  # 320 / 64 + 11 = 16
    assert [video for wave in ran for video in wave] == inputs.videos


def test_a_wave_takes_all_that_may_be_missing():
    ran = []
    missing = [Video(str(i), f"/none/{i}.mp4") for i in range(1100)]
    run_in_waves(Inputs(missing), lambda w: ran.append(len(w)) or Counter(), RunTotals())
    assert ran == [1024, 76]


def test_failures_alone_are_a_wave():
    failures = [VideoFailure(Video("x", "/x"), "not_found", "none")]
    totals = RunTotals()
    run_in_waves(Inputs([], failures), lambda wave: Counter(n=len(wave.failures)), totals)
    assert (totals.waves, totals.counters) == (1, {"n": 1})


def test_a_wave_that_breaks_leaves_the_totals_of_those_before():
    totals = RunTotals()

    def run_wave(wave: Inputs) -> Counter[str]:
        if wave.videos[0].video_id == "16":
            raise RuntimeError("the disk is gone")
        return Counter(frames_decoded=5)

    with pytest.raises(RuntimeError, match="disk is gone"):
        run_in_waves(Inputs(videos(40)), run_wave, totals)
    assert (totals.waves, totals.videos_done, totals.counters) == (1, 16, {"frames_decoded": 5})


@pytest.fixture()
def many(faceless_clip, tmp_path) -> Path:
    """A manifest of 25 short videos with boxes: two waves."""
    lines = ["pts_seconds,x0,y0,x1,y1", *(f"{i / 25},20,10,60,50" for i in range(10))]
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    video = {"uri": faceless_clip, "boxes": "boxes.csv", "stop_seconds": 0.39}
    return manifest(tmp_path, "many", *({"video_id": f"v{i:02d}", **video} for i in range(25)))


def test_a_run_in_waves_adds_up_and_goes_on_after_one_that_broke(facetracks, many, tmp_path):
    output = tmp_path / "out"
    command = ("annotate", many, "--output", output, "--stabilizer", "none")
    in_the_way = output / "videos" / "v24.parquet"
    in_the_way.mkdir(parents=True)
    (in_the_way / "file").touch()
    broke = facetracks(*command)
    assert broke.status == 1
    assert "16 of 25 inputs were done before the run failed" in broke.err
    assert len(list((output / "tracks").iterdir())) == 16
    assert not list((output / ".staging").glob("*"))
    assert "finished" not in json.loads((output / "run.json").read_text())

    (in_the_way / "file").unlink()
    in_the_way.rmdir()
    ended = facetracks(*command, "--timings")
    assert ended.status == 0, ended.err
    assert "25 videos: 25 ok" in ended.out
    assert "staging: " in ended.out
    record = json.loads((output / "run.json").read_text())
    counters = record["counters"]
    assert counters["videos_done_before"] == 16
    assert counters["frames_decoded"] + 10 * counters.get("segments_reused", 0) == 90

    again = facetracks(*command, "--overwrite")
    assert again.status == 0
    record = json.loads((output / "run.json").read_text())
    assert record["waves"] == 2
    assert record["counters"]["frames_decoded"] == record["counters"]["track_rows"] == 250
    staged = record["counters"]["staging_bytes"]
    assert record["staging_peak_bytes"] == pytest.approx(staged * 16 / 25, rel=0.01)
    assert {row["status"] for row in rows_of(output).values()} == {"ok"}
    assert not (output / ".staging").exists()


def test_a_video_without_an_index_has_the_tracks_of_one_that_has_one(
    facetracks, talking_clip, tmp_path
):
    """24 s, two faces: the raw stream is one segment, which comes in two pieces."""
    for name in ("indexed.mp4", "raw.h264"):
        loop_clip(talking_clip, tmp_path / name, 24)
    output = tmp_path / "out"
    ended = facetracks(
        "annotate", tmp_path / "indexed.mp4", tmp_path / "raw.h264", "--output", output,
        "--segment-seconds", "5", "--device", "cpu",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    rows = rows_of(output)
    assert (rows["indexed.mp4"]["segments"], rows["raw.h264"]["segments"]) == (5, 1)
    assert rows["raw.h264"]["frames_decoded"] == 600
    indexed, raw = (pq.read_table(output / "tracks" / f"{name}.parquet") for name in rows)
    assert raw.num_rows > 683  # a piece and more
    for name in TRACK_SCHEMA.names:
        if name in ("face_id", "frame_index", "box_source"):
            assert indexed[name].equals(raw[name]), name
        elif name not in ("video_id", "pts"):
            one, other = (np.array(table[name].to_pylist()) for table in (indexed, raw))
            np.testing.assert_allclose(one, other, rtol=0, atol=0.01, err_msg=name)
