"""SelectVideos, PlanSegments, DecodeWindows and WriteTracks, each on its own, on a small clip."""

import json
from dataclasses import replace
from pathlib import Path

import apache_beam as beam
import pyarrow.parquet as pq
import pytest
from clips import drifting, write_clip
from segments import box_at, make_segment, split_parts
from stages import outputs_of

from schemas.errors import SourceError
from schemas.reasons import REASONS
from schemas.records import SegmentFailure, SegmentPart, SegmentStats, Video, VideoFailure
from schemas.tracks import TRACK_SCHEMA
from schemas.videos import VIDEO_SCHEMA
from transforms.account_videos import AccountVideos
from transforms.decode_windows import DecodeWindows
from transforms.decoding.child import ChildSettings
from transforms.decoding.piece_builder import CropSpec
from transforms.plan_segments import PlanSegments
from transforms.progress_board import BOARD
from transforms.select_videos import SelectVideos, inspect_video
from transforms.stabilize_tracks import stabilize_segments
from transforms.storage.atomic_files import write_bytes
from transforms.storage.parts import part_url, save_part
from transforms.storage.run_output import RunOutput
from transforms.storage.track_files import METADATA_KEY
from transforms.sum_videos import IncompleteVideo, SumVideos, VideoTotals, read_totals
from transforms.write_tracks import WriteTracks, failure_row, status_row, write_video

CHILD = ChildSettings(CropSpec(16, 1.2, 3), segment_seconds=1.0)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("stages") / "clip.mp4", drifting(60, 96, 64))


@pytest.fixture()
def run_output(tmp_path) -> RunOutput:
    return RunOutput(str(tmp_path / "out"), {"stabilizer": "none"}, {"runner": "FnApiRunner"})


@pytest.fixture()
def boxed(clip, tmp_path) -> Video:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("frame_index,x0,y0,x1,y1\n" + "\n".join(f"{i},9,9,50,50" for i in range(60)))
    return Video("clip.mp4", str(clip), boxes_uri=str(boxes))


def stabilized(run_output, video=None, frames=None):
    """A stabilized video of two segments."""
    video = video or Video("clip.mp4", "/in/clip.mp4")
    frames = frames or {pts: {0: box_at(10), 1: box_at(60)} for pts in range(8)}
    parts = split_parts(frames, [4], video=video)
    outcomes = [save_part(run_output.staging(video), part) for part in parts]
    return stabilize_segments(outcomes, run_output, "none")


def files_of(run_output: RunOutput) -> list[str]:
    root = Path(run_output.output)
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def test_a_fingerprint_tells_one_version_of_the_bytes_from_another(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"one")
    video = Video("a", str(path))
    first = inspect_video(video).fingerprint
    assert first == inspect_video(video).fingerprint
    assert "size=3" in first
    path.write_bytes(b"other")
    assert inspect_video(video).fingerprint != first


@pytest.mark.parametrize(
    ("uri", "reason"),
    [("none.mp4", "not_found"), (".", "unreadable"), ("nosuchscheme://x/y.mp4", "unreadable")],
)
def test_what_cannot_be_reached_is_told(tmp_path, uri, reason):
    uri = uri if "://" in uri else str(tmp_path / uri)
    with pytest.raises(SourceError) as told:
        inspect_video(Video("v", uri))
    assert told.value.reason == reason


def test_select_videos_tells_the_reachable_from_the_failed(run_output, clip, tmp_path):
    videos = [Video("a", str(clip)), Video("b", str(tmp_path / "none.mp4")), Video("c", str(clip))]
    got = outputs_of(videos, SelectVideos(run_output), "videos", "failed")
    assert sorted(v.video_id for v in got["videos"]) == ["a", "c"]
    assert all(v.fingerprint for v in got["videos"])
    (failure,) = got["failed"]
    assert (failure.video, failure.reason) == (videos[1], "not_found")


def test_select_videos_leaves_out_what_is_done_unless_told_to_overwrite(run_output, clip):
    video = Video("clip.mp4", str(clip))
    done = stabilized(run_output, inspect_video(video))
    write_video(done, run_output)
    got = outputs_of([video], SelectVideos(run_output), "videos", "done")
    assert got == {"videos": [], "done": ["clip.mp4"]}
    got = outputs_of([video], SelectVideos(run_output, overwrite=True), "videos", "done")
    assert got == {"videos": [inspect_video(video)], "done": []}
    assert not run_output.is_done(inspect_video(video))


def test_plan_segments_gives_segments_and_failures(clip, tmp_path):
    empty = tmp_path / "empty.mp4"
    empty.touch()
    videos = [Video("a", str(clip)), Video("b", str(empty))]
    got = outputs_of(videos, PlanSegments(CHILD), "segments", "failed")
    assert sorted(s.index for s in got["segments"]) == [0, 1, 2]
    assert {s.video for s in got["segments"]} == {videos[0]}
    (failure,) = got["failed"]
    assert (failure.video, failure.reason) == (videos[1], "empty")


def test_decode_windows_gives_windows_failures_and_what_was_saved_before(run_output, boxed, clip):
    (segment,) = outputs_of([boxed], PlanSegments(CHILD), "segments")["segments"]
    broken = make_segment(video=Video("b.mp4", str(clip.with_name("none.mp4")), boxes_uri="x.csv"))
    saved = make_segment(video=Video("c.mp4", "/nowhere"))
    url = part_url(run_output.staging(saved.video), saved)
    write_bytes(url, b"from a run before")
    stage = DecodeWindows(CHILD, run_output)
    got = outputs_of([segment, broken, saved], stage, "windows", "failed", "saved")
    (windows,) = got["windows"]
    assert windows.segment == segment
    assert windows.windows.shape == (60, 3)
    (failure,) = got["failed"]
    assert failure.segment == broken
    assert failure.reason in REASONS
    assert got["saved"] == [SegmentPart(saved, url)]


def test_a_video_becomes_a_track_file_and_a_row(run_output):
    tracks = stabilized(run_output)
    row = write_video(tracks, run_output)
    table = pq.read_table(str(run_output.folder.tracks_of(tracks.video.video_id)))
    assert table.num_rows == row["face_frames"] == 16
    about = json.loads(table.schema.metadata[METADATA_KEY])
    same_config = RunOutput("elsewhere", {"stabilizer": "none"})
    assert about["config_hash"] == run_output.config_hash == same_config.config_hash
    assert about["config"] == {"stabilizer": "none"}
    assert about["runner"] == "FnApiRunner"
    assert about["time_base"] == "1/25"
    status = pq.read_table(str(run_output.folder.status_of(tracks.video.video_id)))
    assert status.schema.equals(VIDEO_SCHEMA)
    (stored,) = status.to_pylist()
    assert (stored["status"], stored["reason"]) == ("ok", None)
    assert (stored["frames_decoded"], stored["faces"], stored["segments"]) == (8, 2, 2)
    assert stored["duration_seconds"] == pytest.approx(8 / 25)
    assert stored["time_base"] == "1/25"
    assert (stored["width"], stored["height"], stored["sample_aspect_ratio"]) == (160, 120, "1:1")
    assert run_output.is_done(tracks.video)


def test_a_video_without_a_face_is_ok_and_has_an_empty_track_file(run_output):
    tracks = stabilized(run_output, frames={pts: {} for pts in range(5)})
    row = write_video(tracks, run_output)
    assert (row["status"], row["reason"], row["frames_decoded"]) == ("ok", "no_face", 5)
    table = pq.read_table(str(run_output.folder.tracks_of(tracks.video.video_id)))
    assert table.num_rows == 0
    assert table.schema.equals(TRACK_SCHEMA)


def test_a_video_that_fails_now_does_not_keep_its_tracks_of_before(run_output):
    """failed: there are no tracks."""
    write_video(stabilized(run_output), run_output)
    tracks = replace(stabilized(run_output), frames=0, rows=0, part_urls=())
    assert write_video(tracks, run_output)["status"] == "failed"
    assert not any(f.startswith("tracks/") for f in files_of(run_output))


@pytest.mark.parametrize("scenario", ["failed segment", "all failed", "bad packets"])
def test_verdicts(run_output, scenario):
    tracks = stabilized(run_output)
    failure = SegmentFailure(make_segment(1, 2), "decoder_hung", "it hung")
    changed, expected = {
        "failed segment": (replace(tracks, failures=(failure,)), ("partial", "decoder_hung")),
        "all failed": (
            replace(tracks, failures=(failure, failure), frames=0, rows=0),
            ("failed", "decoder_hung"),
        ),
        "bad packets": (
            replace(tracks, stats=SegmentStats(packets_bad=3)),
            ("partial", "bad_packets"),
        ),
    }[scenario]
    row = status_row(changed, "0" * 16)
    assert (row["status"], row["reason"]) == expected
    assert row["segments_failed"] == len(changed.failures)
    assert row["reason"] in REASONS
    assert row["message"]


def test_a_failure_row_has_every_column(run_output):
    failure = VideoFailure(Video("v", "/v.mp4"), "not_found", "/v.mp4: no such file")
    row = failure_row(failure, "abc")
    assert set(row) == set(VIDEO_SCHEMA.names)
    assert (row["status"], row["reason"], row["frames_decoded"]) == ("failed", "not_found", 0)
    run_output.write_status(failure.video, row)
    assert run_output.read_status(failure.video)[0] == row
    assert not run_output.is_done(failure.video)  # so that another run repeats it

    # Files of earlier versions have the row in their columns only.
    file = Path(str(run_output.folder.status_of(failure.video.video_id)))
    table = pq.ParquetFile(file).read()
    note = json.loads(table.schema.metadata[METADATA_KEY])
    assert note.pop("row") == table.to_pylist()[0]
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(note)}), file)
    assert run_output.read_status(failure.video) == (row, note["work_key"])


def test_write_tracks_writes_all_and_leaves_no_parts(run_output):
    tracks = stabilized(run_output)
    failure = VideoFailure(Video("b.mp4", "/b.mp4"), "empty", "no bytes")
    assert any(f.startswith(".staging") for f in files_of(run_output))
    got = outputs_of([tracks, failure], _Both(run_output))
    assert sorted(got) == ["b.mp4", "clip.mp4"]
    assert files_of(run_output) == [
        "tracks/clip.mp4.parquet", "videos/b.mp4.parquet", "videos/clip.mp4.parquet",
    ]  # fmt: skip


def test_writing_again_after_the_parts_are_gone_is_harmless(run_output):
    tracks = stabilized(run_output)
    assert outputs_of([tracks], _Both(run_output)) == ["clip.mp4"]
    before = run_output.folder.tracks_of(tracks.video.video_id).read_bytes()
    assert outputs_of([tracks], _Both(run_output)) == ["clip.mp4"]
    assert run_output.folder.tracks_of(tracks.video.video_id).read_bytes() == before


class _Both(WriteTracks):
    """WriteTracks on one collection of tracks and failures."""

    def expand(self, inputs):
        tracks = inputs | "Tracks" >> beam.Filter(lambda x: not isinstance(x, VideoFailure))
        failures = inputs | "Fails" >> beam.Filter(lambda x: isinstance(x, VideoFailure))
        return super().expand((tracks, failures))


def test_done_is_this_video_with_these_bytes_and_this_configuration(run_output):
    tracks = stabilized(run_output)
    write_video(tracks, run_output)
    video = tracks.video
    others = [
        Video(video.video_id, video.uri, fingerprint="size=1"),
        Video(video.video_id, video.uri, start_seconds=1.0),
        Video(video.video_id, video.uri, boxes_uri="b.csv"),
        Video(video.video_id, "/elsewhere.mp4"),
    ]
    assert run_output.is_done(video)
    assert not any(run_output.is_done(other) for other in others)
    assert len({str(run_output.staging(v)) for v in [video, *others]}) == 5
    other_config = RunOutput(run_output.output, {"stabilizer": "one-euro"})
    assert not other_config.is_done(video)
    assert RunOutput(run_output.output, {"stabilizer": "none"}, {"x": 1}).is_done(video)


def test_the_board_adds_up():
    BOARD.clear()
    segments = [make_segment(i, 4) for i in range(4)]
    BOARD.video_planned(segments)
    assert BOARD.read().seconds_planned == 4.0
    for segment in segments[:3]:
        BOARD.segment_ended(segment)
    assert (BOARD.read().videos_done, BOARD.read().seconds_done) == (0, 3.0)
    BOARD.segment_ended(segments[3])
    BOARD.video_ended()
    assert (BOARD.read().videos_done, BOARD.read().seconds_done) == (2, 4.0)
    BOARD.clear()
    assert BOARD.read().videos_done == 0


def account(inputs, failures, ended, run_output, selected=()):
    """The output of AccountVideos for these inputs, selected videos, and results."""
    rows = []
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        parts = [
            pipeline | name >> beam.Create(elements, reshuffle=False)
            for name, elements in (("a", inputs), ("b", failures), ("s", selected), ("c", ended))
        ]
        found = ((parts[0], parts[1]), parts[2], parts[3]) | AccountVideos(run_output)
        _ = found | "Collect" >> beam.Map(collect_into(rows))
    return rows


_ROWS = {}


def collect_into(rows):
    _ROWS[id(rows)] = rows
    return _Collect(id(rows))


class _Collect:
    """Pickles as a number, so that elements come back to the list of this process."""

    def __init__(self, number):
        self.number = number

    def __call__(self, element):
        _ROWS[self.number].append(element)


def test_every_input_has_its_row_read_back(run_output, clip):
    write_video(stabilized(run_output), run_output)
    lost = VideoFailure(Video("gone.mp4", "/gone.mp4"), "not_found", "no such file")
    outputs_of([lost], _WriteFailures(run_output))
    rows = account(
        [Video("clip.mp4", str(clip))], [lost], ["clip.mp4", "gone.mp4", "clip.mp4"], run_output
    )
    assert {row["video_id"]: row["status"] for row in rows} == {
        "clip.mp4": "ok",
        "gone.mp4": "failed",
    }


def test_what_another_run_finished_has_ended(run_output, clip):
    """Its parts were removed, so this run has no result for it; the row has the same work key."""
    tracks = stabilized(run_output)
    write_video(tracks, run_output)
    (row,) = account([tracks.video], [], [], run_output, selected=[tracks.video])
    assert (row["video_id"], row["status"]) == (tracks.video.video_id, "ok")
    other = replace(tracks.video, fingerprint="other bytes")
    with pytest.raises(Exception, match="never finished; expected a status row"):
        account([other], [], [], run_output, selected=[other])


class _WriteFailures(beam.PTransform):
    def __init__(self, run_output):
        self.run_output = run_output

    def expand(self, failures):
        none = failures.pipeline | "None" >> beam.Create([])
        return (none, failures) | WriteTracks(self.run_output)


@pytest.mark.parametrize(
    ("ended", "message"),
    [
        ([], "clip.mp4: never finished; expected a status row"),
        (["clip.mp4"], "clip.mp4: got no status row, expected one for every input"),
        (
            ["clip.mp4", "other.mp4"],
            "other.mp4: got a finished video that is not among the inputs|got no status row",
        ),
    ],
)
def test_an_input_without_a_row_fails_the_run(run_output, ended, message):
    with pytest.raises(Exception, match=message):
        account([Video("clip.mp4", "/in/clip.mp4")], [], ended, run_output)


def test_sums_of_rows_name_a_few_of_the_incomplete(tmp_path):
    def row(number):
        status = ("ok", "partial", "failed")[number % 3]
        return {
            "video_id": f"{number:03}", "status": status, "message": "why" if number % 3 else None,
            "reason": None if status == "ok" else f"because {status}", "frames_decoded": number,
            "face_frames": 2 * number,
        }  # fmt: skip

    url = str(tmp_path / "totals.json")
    (totals,) = outputs_of([row(i) for i in reversed(range(90))], SumVideos(url))
    assert totals == read_totals(url)
    assert totals.statuses == {"ok": 30, "partial": 30, "failed": 30}
    assert totals.reasons == {"because partial": 30, "because failed": 30}
    assert (totals.videos, totals.frames, totals.face_frames) == (90, 4005, 8010)
    assert [v.video_id for v in totals.incomplete] == [f"{i:03}" for i in range(30) if i % 3][:20]
    assert totals.incomplete[1] == IncompleteVideo("002", "failed", "because failed", "why")
    assert outputs_of([], SumVideos(url)) == [VideoTotals()] == [read_totals(url)]
