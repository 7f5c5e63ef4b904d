import random
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from segments import box_at, make_part, make_segment, split_parts
from stages import outputs_of

from schemas.records import SegmentFailure, SegmentPart, SegmentStats, Video, VideoTracks
from transforms.stabilize_tracks import SaveParts, StabilizeTracks, stabilize_segments
from transforms.storage.parts import save_part
from transforms.storage.run_output import RunOutput

FRAMES = {
    pts: {0: box_at(10 + pts % 2), **({1: box_at(90)} if pts > 3 else {})} for pts in range(20)
}
BOUNDS = [4, 8, 12, 16]


def saved(run_output: RunOutput, name: str = "clip.mp4") -> list[SegmentPart]:
    """The parts of a video of five segments and two faces."""
    video = Video(name, f"/in/{name}")
    parts = split_parts(FRAMES, BOUNDS, video=video)
    return [save_part(run_output.staging(video), part) for part in parts]


def failure(part: SegmentPart) -> SegmentFailure:
    return SegmentFailure(part.segment, "decoder_hung", "it hung")


def run_stage(outcomes, run_output, stabilizer="one-euro") -> list[VideoTracks]:
    """The output of StabilizeTracks for `outcomes`, in that order."""
    return outputs_of(outcomes, StabilizeTracks(run_output, stabilizer))


def rows_of(tracks: VideoTracks) -> pa.Table:
    return pa.concat_tables(pq.read_table(url) for url in tracks.part_urls).sort_by(
        [("face_id", "ascending"), ("frame_index", "ascending")]
    )


def without_times(tracks: VideoTracks) -> VideoTracks:
    return replace(tracks, stabilize_seconds=0.0, part_urls=())


@pytest.fixture()
def run_output(tmp_path):
    return RunOutput(str(tmp_path / "out"), {"stabilizer": "one-euro"})


@pytest.fixture()
def twin(tmp_path):
    """The plain function's result for the undamaged video: (record, rows)."""
    place = RunOutput(str(tmp_path / "twin"), {})
    tracks = stabilize_segments(saved(place), place, "one-euro")
    return tracks, rows_of(tracks)


def test_the_plain_twin_by_hand(twin):
    tracks, rows = twin
    assert (tracks.segments, tracks.frames, tracks.faces, tracks.rows) == (5, 20, 2, 36)
    assert (tracks.first_pts, tracks.last_pts, tracks.failures) == (0, 19, ())
    assert tracks.stats == SegmentStats(decode_seconds=5.0)
    assert rows["frame_index"].to_pylist() == [*range(20), *range(4, 20)]
    assert rows["x"] != rows["x_raw"]


@pytest.mark.parametrize("seed", range(4))
def test_segments_may_come_in_any_order_and_twice(run_output, twin, seed):
    outcomes = saved(run_output)
    outcomes += random.Random(seed).sample(outcomes, 3)
    random.Random(seed).shuffle(outcomes)
    (tracks,) = run_stage(outcomes, run_output)
    assert without_times(tracks) == without_times(twin[0])
    assert rows_of(tracks).equals(twin[1])


def test_videos_do_not_mix(run_output, twin):
    videos = [saved(run_output, name) for name in ("a.mp4", "b.mp4", "c.mp4")]
    mixed = [part for trio in zip(*(reversed(v) for v in videos), strict=True) for part in trio]
    got = {tracks.video.video_id: tracks for tracks in run_stage(mixed, run_output)}
    assert sorted(got) == ["a.mp4", "b.mp4", "c.mp4"]
    for name, tracks in got.items():
        rows = rows_of(tracks)
        assert set(rows["video_id"].to_pylist()) == {name}
        assert rows.drop_columns(["video_id"]).equals(twin[1].drop_columns(["video_id"]))


@pytest.mark.parametrize("gone", [[0], [2], [4], [3, 4], [0, 1, 2, 3]])
def test_a_segment_that_never_comes_is_a_failure_and_not_a_hang(run_output, gone):
    outcomes = [part for i, part in enumerate(saved(run_output)) if i not in gone]
    expected = stabilize_segments(outcomes, run_output, "one-euro")
    (tracks,) = run_stage(outcomes, run_output)
    assert without_times(tracks) == without_times(expected)
    assert [(f.segment.index, f.reason) for f in tracks.failures] == [
        (index, "segment_lost") for index in gone
    ]
    assert f"segment {gone[0]} of 5" in tracks.failures[0].message
    assert tracks.frames == 4 * (5 - len(gone))
    assert rows_of(tracks).equals(rows_of(expected))


def test_grouped_outcomes_give_the_same(run_output):
    """Late, duplicate, missing and failed segments; three videos in one run."""
    outcomes = saved(run_output, "a.mp4")
    outcomes += [failure(part) for part in saved(run_output, "b.mp4")]
    missing = saved(run_output, "c.mp4")
    outcomes += [outcomes[1], missing[4], failure(missing[1]), missing[2]]
    random.Random(0).shuffle(outcomes)
    results = []
    for grouped in (False, True):
        stage = StabilizeTracks(run_output, "one-euro", grouped=grouped)
        tracks = {one.video.video_id: one for one in outputs_of(outcomes, stage)}
        rows = {name: rows_of(one) for name, one in tracks.items() if one.part_urls}
        results.append(({name: without_times(one) for name, one in tracks.items()}, rows))
    assert results[0] == results[1]
    assert [len(results[1][i]) for i in (0, 1)] == [3, 2]


def test_a_failed_segment_leaves_a_gap(run_output):
    outcomes = saved(run_output)
    outcomes[2] = failure(outcomes[2])
    (tracks,) = run_stage(outcomes[::-1], run_output)
    assert tracks.failures == (outcomes[2],)
    assert sorted(set(rows_of(tracks)["pts"].to_pylist())) == [*range(8), *range(12, 20)]


def test_a_video_of_failures_only_comes_out_too(run_output):
    outcomes = [failure(part) for part in saved(run_output)]
    (tracks,) = run_stage(outcomes, run_output)
    assert (tracks.frames, tracks.rows, tracks.geometry) == (0, 0, None)
    assert len(tracks.failures) == 5
    assert tracks.part_urls == ()


def in_pieces(run_output: RunOutput) -> list[SegmentPart]:
    """The same video as a segment of two pieces, and one of three."""
    numbered = [0, 0, 1, 1, 1]
    parts = split_parts(FRAMES, BOUNDS, video=Video("clip.mp4", "/in/clip.mp4"))
    segments = [
        replace(part.segment, index=index, count=2)
        for part, index in zip(parts, numbered, strict=True)
    ]
    staging = run_output.staging(parts[0].segment.video)
    return [
        save_part(staging, replace(part, segment=segment))
        for part, segment in zip(parts, segments, strict=True)
    ]


@pytest.mark.parametrize("seed", range(2))
def test_a_segment_may_come_in_pieces(run_output, twin, seed):
    outcomes = in_pieces(run_output)
    outcomes += random.Random(seed).sample(outcomes, 2)
    random.Random(seed).shuffle(outcomes)
    (tracks,) = run_stage(outcomes, run_output)
    assert without_times(tracks) == replace(without_times(twin[0]), segments=2)
    assert rows_of(tracks).equals(twin[1])


@pytest.mark.parametrize(
    ("gone", "failed"),
    [([0], [0]), ([1], [0]), ([0, 1], [0]), ([3], [1]), ([4], [1]), ([2, 3, 4], [1])],
)
def test_pieces_that_never_come_are_failures_of_their_segment(run_output, gone, failed):
    outcomes = [part for i, part in enumerate(in_pieces(run_output)) if i not in gone]
    (tracks,) = run_stage(outcomes[::-1], run_output)
    assert [f.segment.index for f in tracks.failures] == failed
    assert tracks.frames == 4 * (5 - len(gone))
    pts = {pts for i in range(5) if i not in gone for pts in range(4 * i, 4 * i + 4)}
    assert set(rows_of(tracks)["pts"].to_pylist()) == pts


def test_a_segment_that_fails_midway_keeps_its_first_pieces(run_output):
    pieces = in_pieces(run_output)
    rest = replace(pieces[3].segment, own_stop_pts=None)
    broke = SegmentFailure(rest, "decoder_crashed", "it crashed")
    (tracks,) = run_stage([broke, *pieces[:3]], run_output)
    assert tracks.failures == (broke,)
    assert sorted(set(rows_of(tracks)["pts"].to_pylist())) == [*range(12)]


def test_a_retry_writes_the_same_files(run_output):
    outcomes = saved(run_output)
    first = stabilize_segments(outcomes, run_output, "one-euro")
    rows = rows_of(first)
    second = stabilize_segments(outcomes[::-1], run_output, "one-euro")
    assert second.part_urls == first.part_urls
    assert rows_of(second).equals(rows)


def test_parts_are_saved_and_stand_in_for_landmarks(run_output):
    landmarks = make_part(make_segment(), {0: {0: box_at(3)}})
    (part,) = outputs_of([landmarks], SaveParts(run_output))
    assert part == SegmentPart(landmarks.segment, part.url)
    assert part == save_part(run_output.staging(landmarks.segment.video), landmarks)
