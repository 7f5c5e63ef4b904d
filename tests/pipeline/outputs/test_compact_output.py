"""Compaction: the output reads the same before, after, and after any interruption."""

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from segments import box_at, split_parts

from pipeline.exports.exported_video import exported_videos
from pipeline.outputs.compact_output import compact
from pipeline.outputs.derive_tracks import derive_tracks
from pipeline.outputs.forget_videos import forget
from pipeline.videos.track_file import find_track_file, read_track_file
from schemas.errors import OutputError
from schemas.records import Video, VideoFailure
from tests.pipeline.outputs.changing_store import ChangingStore
from transforms.stabilize_tracks import stabilize_segments
from transforms.storage.atomic_files import Folder
from transforms.storage.output_tables import OutputFolder, read_tracks, read_videos
from transforms.storage.parts import save_part
from transforms.storage.run_output import RunOutput
from transforms.write_tracks import failure_row, write_video

#: Names that are unordered, a prefix of another, no file name, or not ASCII.
NAMES = ("c.mp4", "a", "a.mp4", "b/with space.mp4", "~größe.mp4")
MISSING = "0-missing.mp4"
CONFIG = {"stabilizer": "none", "full_precision": False}


class StoppingStore(ChangingStore):
    """An object store that stops the process at the n-th change, before it is made."""

    protocol = "stopping"
    store: ClassVar[dict] = {}
    left = 10**9

    def before_change(self):
        type(self).left -= 1
        if type(self).left < 0:
            raise KeyboardInterrupt


fsspec.register_implementation("stopping", StoppingStore, clobber=True)


def annotate(url: str, names=NAMES, frames: int = 3) -> RunOutput:
    """Writes the files of a run."""
    run_output = RunOutput(url, CONFIG)
    for name in names:
        video = Video(name, f"/in/{name}", fingerprint=f"size={frames}")
        parts = split_parts({pts: {0: box_at(pts)} for pts in range(frames)}, [], video=video)
        saved = [save_part(run_output.staging(video), part) for part in parts]
        write_video(stabilize_segments(saved, run_output, "none"), run_output)
        run_output.staging(video).remove()
    failure = VideoFailure(Video(MISSING, f"/in/{MISSING}"), "empty", "no bytes")
    run_output.write_status(failure.video, failure_row(failure, run_output.config_hash))
    return run_output


def tables(url: str) -> list[pa.Table]:
    """All rows of an output, in a fixed order."""
    seconds = [name for name in read_videos(url).column_names if name.endswith("_seconds")]
    return [
        read_videos(url).drop_columns(seconds).sort_by("video_id"),
        read_tracks(url).sort_by([("video_id", "ascending"), ("frame_index", "ascending")]),
    ]


def same(one: list[pa.Table], other: list[pa.Table]) -> bool:
    """Whether tables are equal; NaN equals NaN."""
    return [t.to_pandas().to_json() for t in one] == [t.to_pandas().to_json() for t in other]


@pytest.fixture(params=["disk", "memory"])
def output(request, tmp_path) -> Iterator[str]:
    url = str(tmp_path / "out") if request.param == "disk" else "memory://test-compact/out"
    annotate(url)
    yield url
    Folder(url).remove()


def test_all_readers_find_the_same(output):
    before = tables(output)
    files = {name: read_track_file(find_track_file(output, f"/in/{name}")) for name in NAMES[:4]}
    exported = [(v.video_id, len(v)) for v in exported_videos(output)]
    derived = {video.name for video in derive_tracks(output)}
    done = compact(output)
    assert (done.videos, done.files) == (6, 1)
    folder = OutputFolder(output)
    assert folder.videos.names() == folder.tracks.names() == []
    assert same(tables(output), before)
    assert [(v.video_id, len(v)) for v in exported_videos(output)] == sorted(exported)
    for name, rows in files.items():
        now = read_track_file(find_track_file(output, f"/in/{name}"))
        assert (now.pts == rows.pts).all()
        assert (now.landmarks_px == rows.landmarks_px).all()
        assert now.stream_index == rows.stream_index is not None
    some = read_tracks(output, ["c.mp4", "a"], ["video_id"])
    assert some["video_id"].to_pylist() == ["c.mp4"] * 3 + ["a"] * 3
    again = derive_tracks(output)
    assert {video.name for video in again} == derived
    assert all(video.done_before for video in again)
    with pytest.raises(OutputError, match="has no row there"):
        read_tracks(output, [MISSING])
    assert compact(output).files == 0


def test_what_is_done_stays_done(output):
    compact(output)
    run_output = RunOutput(output, CONFIG)
    for name in NAMES:
        video = Video(name, f"/in/{name}", fingerprint="size=3")
        assert run_output.is_done(video)
        assert run_output.has_tracks(video)
        assert not run_output.is_done(replace(video, fingerprint="size=4"))
    assert not RunOutput(output, {"stabilizer": "rts"}).is_done(video)


def test_what_is_done_again_counts_and_is_compacted_the_next_time(output):
    compact(output)
    annotate(output, ["a.mp4", "new.mp4"], frames=5)
    rows = {r["video_id"]: r["face_frames"] for r in read_videos(output).to_pylist()}
    assert (len(rows), rows["a.mp4"], rows["new.mp4"], rows["a"]) == (7, 5, 5, 3)
    assert read_videos(output).num_rows == 7
    assert read_tracks(output).num_rows == sum(rows.values())
    before = tables(output)
    compact(output)
    assert same(tables(output), before)
    assert len(OutputFolder(output).compacted.videos.names()) == 1


def test_small_files_and_row_groups_hold_whole_videos(output):
    before = tables(output)
    assert compact(output, file_bytes=1).files == 5
    assert same(tables(output), before)
    folder = OutputFolder(output).compacted
    for name in folder.names():
        parquet = pq.ParquetFile(io.BytesIO(folder.tracks.table(name).read_bytes()))
        assert parquet.num_row_groups == 1
        ids = parquet.read(["video_id"])["video_id"].to_pylist()
        assert ids == sorted(ids)


def test_forgetting_rewrites_the_file(output):
    compact(output)
    (video,) = forget(output, ["a.mp4"])
    assert all(place.startswith("compacted/") for place in video.removed)
    assert video.bytes > 0
    left = set(read_tracks(output)["video_id"].to_pylist())
    assert left == set(NAMES) - {"a.mp4"}
    assert read_videos(output).num_rows == 5
    fs, path = fsspec.core.url_to_fs(output)
    for file in fs.find(path):
        assert b"a.mp4" not in fs.cat_file(file)
    assert forget(output, ["a.mp4"])[0].removed == ()


@pytest.mark.parametrize("file_bytes", [1, 1 << 30])
def test_a_call_that_is_stopped_anywhere_loses_nothing_and_is_finished_by_the_next(file_bytes):
    url = "stopping://out"
    stops = 0
    while True:
        StoppingStore.store.clear()
        StoppingStore.left = 10**9
        annotate(url)
        before = tables(url)
        compact(url, file_bytes=file_bytes)
        annotate(url, ["a.mp4"])  # one to be compacted again
        StoppingStore.left = stops
        try:
            compact(url, file_bytes=file_bytes)
            break
        except KeyboardInterrupt:
            stops += 1
        StoppingStore.left = 10**9
        assert same(tables(url), before), f"stopped at change {stops}"
        compact(url, file_bytes=file_bytes)
        assert same(tables(url), before)
        assert OutputFolder(url).videos.names() == OutputFolder(url).tracks.names() == []
    assert stops > 5


def test_there_must_be_an_output(tmp_path):
    with pytest.raises(OutputError, match="expected the output of annotate"):
        compact(tmp_path)
