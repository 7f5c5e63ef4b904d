import io
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from segments import make_part, make_segment

from models.landmarks.face_measures import eye_openings
from models.landmarks.mean_face import MEAN_FACE
from pipeline.outputs.derive_tracks import DerivedVideo, derive_tracks
from schemas.derived import BLINK_SCHEMA, DERIVED_SCHEMA
from schemas.errors import OutputError
from schemas.records import Video
from schemas.tracks import SCHEMA_VERSION_KEY
from transforms.stabilize_tracks import stabilize_segments
from transforms.storage.atomic_files import write_bytes
from transforms.storage.output_tables import OutputFolder, read_tracks
from transforms.storage.parts import save_part
from transforms.storage.run_output import RunOutput
from transforms.storage.table_reading import read_parquet
from transforms.write_tracks import write_video

FRAMES = 60
BLINKS = {"a.mp4": [20, 40], "b/c d.mp4": []}
BOX = (40.0, 20.0, 100.0, 110.0)


def eyes_open(pts: int, blinks: list[int]) -> float:
    return min([1.0, *(0.1 + 0.45 * abs(pts - at) for at in blinks)])


def points(pts: int, blinks: list[int]) -> np.ndarray:
    """The mean face, in pixels half as wide as they are high; it moves by 1 px a frame."""
    face = MEAN_FACE[:, :2].copy()
    for eye in (range(36, 42), range(42, 48)):
        middle = face[eye, 1].mean()
        face[eye, 1] = middle + eyes_open(pts, blinks) * (face[eye, 1] - middle)
    return (face * [60.0, 30.0] + [70.0 + pts, 55.0]).astype(np.float32)


@pytest.fixture(params=["disk", "memory"])
def output(request, tmp_path) -> str:
    """Two videos of 2.4 s with a face; their pixels are half as wide as high."""
    url = f"memory://derive-{tmp_path.name}" if request.param == "memory" else str(tmp_path / "out")
    run_output = RunOutput(url, {"stabilizer": "none"})
    for name, blinks in BLINKS.items():
        segment = make_segment(video=Video(name, f"/in/{name}"))
        part = make_part(segment, {pts: {0: BOX} for pts in range(FRAMES)})
        part = replace(
            part,
            landmarks_px=np.stack([points(pts, blinks) for pts in range(FRAMES)]),
            spread_px=np.ones((FRAMES, 68), np.float32),
            geometry=replace(part.geometry, sample_aspect_ratio=Fraction(1, 2)),
        )
        saved = [save_part(run_output.staging(segment.video), part)]
        write_video(stabilize_segments(saved, run_output, "none"), run_output)
    return url


def derived(output: str, kind: str, name: str) -> pa.Table:
    content = (OutputFolder(output).derived / kind / f"{name}.parquet").read_bytes()
    return read_parquet(pa.BufferReader(content))


def test_rows_and_blinks(output):
    told = []
    got = derive_tracks(output, on_progress=lambda video, videos: told.append((video.name, videos)))
    stem = got[1].name
    assert got == [DerivedVideo("a.mp4", FRAMES, 2), DerivedVideo(stem, FRAMES, 0)]
    assert told == [("a.mp4", 2), (stem, 2)]
    rows, tracks = derived(output, "rows", "a.mp4"), read_tracks(output, ["a.mp4"])
    assert rows.schema.equals(DERIVED_SCHEMA)
    assert rows.schema.metadata[SCHEMA_VERSION_KEY] == b"1"
    keys = ["video_id", "face_id", "frame_index", "pts", "pts_seconds"]
    assert rows.select(keys).equals(tracks.select(keys))
    row = rows.to_pylist()[0]
    assert row["right_eye_opening"] == pytest.approx(
        eye_openings(MEAN_FACE[None, :, :2])[0, 0], 1e-3
    )
    assert (row["mouth_movement"], row["visibility"]) == (pytest.approx(0, abs=1e-4), 1.0)
    assert row["head_turn_deg_s"] == pytest.approx(0, abs=0.1)
    # Half a square pixel a frame, of a face whose eyes are 30 apart and nearly its size.
    assert row["head_shift_s"] == pytest.approx(25 * 0.5 / 30, rel=0.2)
    last = rows.to_pylist()[-1]  # the face leaves the frame, 160 px wide, to the right
    outside = (points(FRAMES - 1, [])[:, 0] > 159.5).mean()
    assert 0 < outside < 1
    assert last["visibility"] == pytest.approx(1 - outside)
    blinks = derived(output, "blinks", "a.mp4")
    assert blinks.schema.equals(BLINK_SCHEMA)
    assert blinks["lowest_seconds"].to_pylist() == pytest.approx([20 / 25, 40 / 25])
    assert blinks["start_pts"].to_pylist() == [19, 39]
    assert blinks["stop_pts"].to_pylist() == [22, 42]
    assert blinks["depth"].to_pylist() == pytest.approx([0.9, 0.9], abs=0.02)
    assert derived(output, "blinks", stem).num_rows == 0


def test_what_is_there_stays_until_its_tracks_change(output):
    derive_tracks(output, ["a.mp4"])
    (a, other) = derive_tracks(output)
    assert a == DerivedVideo("a.mp4", 0, 0, done_before=True)
    assert not other.done_before
    # As after an interrupted run.
    (OutputFolder(output).derived / "rows" / "a.mp4.parquet").remove()
    assert [v.done_before for v in derive_tracks(output)] == [False, True]
    assert [v.done_before for v in derive_tracks(output, overwrite=True)] == [False, False]


def test_other_tracks_are_derived_again(output):
    derive_tracks(output)
    file, content = OutputFolder(output).tracks_of("a.mp4"), io.BytesIO()
    pq.write_table(read_tracks(output, ["a.mp4"]).slice(0, 10), content)
    write_bytes(str(file), content.getvalue())
    assert [v.done_before for v in derive_tracks(output)] == [False, True]
    assert derived(output, "rows", "a.mp4").num_rows == 10


def test_no_tracks(tmp_path, output):
    with pytest.raises(OutputError, match=r"got no tracks/\*.parquet, expected the output of"):
        derive_tracks(tmp_path / "nothing")
    with pytest.raises(OutputError, match=r"z\.mp4\.parquet: no such file"):
        derive_tracks(output, ["z.mp4"])


def test_the_command(output, facetracks):
    ended = facetracks("derive", output)
    assert ended.status == 0
    assert ended.out.startswith(f"2 videos derived now, 0 before; {2 * FRAMES} rows, 2 blinks\n")
    again = facetracks("derive", output, "--videos", "a.mp4")
    assert again.out.startswith("0 videos derived now, 1 before; 0 rows, 0 blinks\n")
