"""Small inputs that failed in practice, with the expected result of each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clips import write_clip

import facetracks
from schemas.landmarks import FLIP_PERMUTATION, OUTER_EYE_CORNERS
from schemas.records import Video
from transforms.decoding.segment_plan import plan_segments
from transforms.decoding.video_source import open_video
from transforms.storage.atomic_files import file_stem

pytestmark = pytest.mark.realdata

ROOT = Path(__file__).parents[2]
WIDTH_PX, HEIGHT_PX = 480, 320


class Run:
    """The output of one run over all cases."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._tables = cache(lambda name: pq.ParquetFile(self._path("tracks", name)).read())

    def row(self, name: str) -> dict[str, Any]:
        return pq.ParquetFile(self._path("videos", name)).read().to_pylist()[0]

    def tracks(self, name: str) -> pa.Table:
        return self._tables(name)

    def points(self, name: str, columns: str = "xy", suffix: str = "_raw") -> np.ndarray:
        """(rows, 68, 2) px, sorted by face and frame."""
        table = self.tracks(name)
        return np.stack([np.stack(table[c + suffix].to_numpy()) for c in columns], axis=-1)

    def _path(self, kind: str, name: str) -> Path:
        return self._output / kind / f"{file_stem(name)}.parquet"


@pytest.fixture(scope="module")
def run(shared_data, tmp_path_factory) -> Run:
    output = tmp_path_factory.mktemp("cases") / "out"
    ranges = output.parent / "ranges.jsonl"
    late = {"uri": str(shared_data / "cases" / "late_start.ts"), "start_seconds": 0}
    ranges.write_text(
        json.dumps(late | {"video_id": "first second.ts", "stop_seconds": 1})
        + "\n"
        + json.dumps(late | {"video_id": "past.ts", "start_seconds": 60})
        + "\n"
        + json.dumps({"uri": "chained.ogv"})
    )
    part = (shared_data / "cases" / "theora_repeats.ogv").read_bytes()
    (output.parent / "chained.ogv").write_bytes(part * 2)
    command = [sys.executable, "-m", "pipeline.commands.cli", "annotate"]
    command += [str(shared_data / "cases"), str(ranges)]
    command += ["--output", str(output), "--workers", "1", "--device", "cpu"]
    environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT))
    subprocess.run(
        command, cwd=ROOT, env=environment, check=False, timeout=600, stdout=subprocess.DEVNULL
    )
    return Run(output)


def eye_distance(points: np.ndarray) -> float:
    right, left = OUTER_EYE_CORNERS
    return float(np.linalg.norm(points[:, right] - points[:, left], axis=-1).mean())


def test_mirrored_frames_have_the_landmarks_of_what_a_player_shows(run):
    """The same pixels, shown mirrored: the same face, mirrored, within the network's accuracy."""
    plain, mirrored = run.points("face.mp4"), run.points("m_hflip.mp4")
    assert len(plain) == len(mirrored) == 50
    expected = plain[:, FLIP_PERMUTATION] * [-1, 1] + [WIDTH_PX - 1, 0]
    apart = np.linalg.norm(mirrored - expected, axis=-1).mean()
    assert apart < 0.04 * eye_distance(plain)
    row = run.row("m_hflip.mp4")
    assert (row["rotation_deg"], row["mirrored"]) == (0, True)
    assert (run.row("face.mp4")["rotation_deg"], run.row("face.mp4")["mirrored"]) == (0, False)


def test_frames_turned_upside_down_by_a_mirroring(run):
    """A face upside down: rows on the face that a player shows, or no row."""
    row = run.row("m_vflip.mp4")
    assert (row["rotation_deg"], row["mirrored"]) == (180, True)
    if row["face_frames"]:
        plain, turned = run.points("face.mp4"), run.points("m_vflip.mp4")
        centre = plain.mean((0, 1)) * [1, -1] + [0, HEIGHT_PX - 1]
        assert np.abs(turned.mean((0, 1)) - centre).max() < 0.5 * eye_distance(plain)


def test_a_face_upside_down_is_annotated_the_right_way_round(run):
    """Its eyes are below its mouth in the frame, in every row."""
    points = run.points("upside.mp4")
    assert len(points) == 50
    assert (points[:, 36:48, 1].mean(1) > points[:, 48:68, 1].mean(1)).all()


def test_a_face_on_its_side_is_annotated_the_right_way_round(shared_data, tmp_path):
    """Like a phone's video without its rotation flag: forehead to the right, chin to the left."""
    with av.open(str(shared_data / "cases" / "face.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    turned = write_clip(tmp_path / "turned.mp4", [np.rot90(frame, 3) for frame in frames])
    tracks = facetracks.annotate_clip(turned)
    assert tracks.num_rows == len(frames)
    x = np.array(tracks["x"].to_pylist())
    assert (x[:, 36:48].mean(1) > x[:, 48:68].mean(1)).all()


#: Expected number of frames, and whether every frame has the face.
SOUND = {
    "face.mp4": 50,
    "still_first.mkv": 50,
    "first_stream_silent.ts": 50,
    "epoch.mkv": 50,
    "packed.mkv": 50,
    "cat.mkv": 100,
    "piped.avi": 50,
    "ipcam.mjpg": 50,
    "freezes.mp4": 174,
    "repeated_frames.mp4": 150,
    "repeated_frames_source.mp4": 75,
}


@pytest.mark.parametrize("name", SOUND)
def test_every_frame_is_there_with_its_face(run, name):
    row = run.row(name)
    assert (row["status"], row["reason"]) == ("ok", None)
    assert (row["packets_bad"], row["lost_pts"], row["segments_failed"]) == (0, [], 0)
    assert row["frames_decoded"] == row["face_frames"] == SOUND[name]
    table = run.tracks(name)
    assert table["frame_index"].to_pylist() == list(range(SOUND[name]))
    assert set(table["face_id"].to_pylist()) == {0}
    assert (np.diff(table["pts"].to_numpy()) > 0).all()


@pytest.mark.parametrize("name", ["still_first.mkv", "first_stream_silent.ts"])
def test_the_stream_of_the_face_is_chosen(run, name):
    row = run.row(name)
    assert (row["stream_index"], row["streams"]) == (1, 2)
    assert (row["width"], row["height"]) == (WIDTH_PX, HEIGHT_PX)
    assert (run.row("face.mp4")["stream_index"], run.row("face.mp4")["streams"]) == (0, 1)


def test_repeats_by_empty_packets(run):
    row = run.row("theora_repeats.ogv")
    assert (row["status"], row["packets_bad"], row["frames_decoded"]) == ("ok", 0, 7)


def test_the_headers_within_a_chained_ogg_are_no_pictures(run):
    """Two Ogg files in one; the second part's times continue from the first, with its pauses."""
    row = run.row("chained.ogv")
    assert (row["status"], row["packets_bad"], row["frames_decoded"]) == ("ok", 0, 14)
    assert row["lost_pts"] == []
    assert row["duration_seconds"] == pytest.approx(
        2 * run.row("theora_repeats.ogv")["duration_seconds"]
    )


def test_a_chained_ogg_is_not_cut(shared_data, tmp_path):
    """A seek could lead into either part."""
    part = (shared_data / "cases" / "theora_repeats.ogv").read_bytes()
    counts = []
    for name, content in (("one.ogv", part), ("two.ogv", part * 2)):
        (tmp_path / name).write_bytes(content)
        with open_video(str(tmp_path / name)) as opened:
            counts.append(len(plan_segments(Video(name, ""), opened, 0.3)))
    assert counts[0] > 1
    assert counts[1] == 1


def test_packed_b_frames_have_the_times_of_their_pictures(run):
    """Frame i of face.mp4, shown 40 ms later."""
    assert run.tracks("packed.mkv")["pts"].to_pylist() == [40 * (i + 1) for i in range(50)]
    assert run.row("packed.mkv")["duration_seconds"] == pytest.approx(2.0)
    apart = np.abs(run.points("packed.mkv") - run.points("face.mp4"))
    assert apart.mean() < 0.04 * eye_distance(run.points("face.mp4"))


def test_times_since_the_epoch(run):
    row, pts = run.row("epoch.mkv"), run.tracks("epoch.mkv")["pts"].to_pylist()
    assert pts == [1_700_000_000_000 + 40 * i for i in range(50)]
    assert row["duration_seconds"] == pytest.approx(2.0)
    assert row["average_fps"] == pytest.approx(25)


def test_a_range_of_a_video_that_starts_late(run):
    row, table = run.row("first second.ts"), run.tracks("first second.ts")
    assert (row["status"], row["frames_decoded"]) == ("ok", 25)
    assert table["pts"].to_pylist() == list(range(133_200, 133_200 + 25 * 3600, 3600))
    assert run.row("past.ts")["reason"] == "empty_range"


def test_pictures_shown_twice_have_the_tracks_of_those_shown_once(shared_data, tmp_path):
    """The source of the case in a lossless codec, which does not change the pictures."""
    with av.open(str(shared_data / "cases" / "repeated_frames_source.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][:16]
    lossless = {"codec": "ffv1", "pixel_format": "bgr0"}
    once = write_clip(tmp_path / "once.mkv", frames, pts=range(0, 32, 2), **lossless)
    twice = write_clip(tmp_path / "twice.mkv", [f for f in frames for _ in range(2)], **lossless)
    one, two = facetracks.annotate_clip(once), facetracks.annotate_clip(twice)
    assert two.num_rows == 2 * one.num_rows == 32
    for name in ("face_id", "box_xyxy_px", "x", "y", "x_raw", "y_raw"):
        expected, got = (np.array(table[name].to_pylist(), float) for table in (one, two))
        assert np.abs(got[::2] - expected).max() < 0.05, name
        assert np.array_equal(got[::2], got[1::2]), name


def test_repeated_frames_are_one_sample(run):
    """Re-encoded pictures differ slightly from the source's, and so do their results."""
    doubled, source = run.tracks("repeated_frames.mp4"), run.tracks("repeated_frames_source.mp4")
    assert run.row("repeated_frames.mp4")["repeats"] == 75
    assert run.row("repeated_frames_source.mp4")["repeats"] == run.row("face.mp4")["repeats"] == 0
    for name in doubled.schema.names:
        values = doubled[name].to_pylist()
        if name not in ("frame_index", "pts", "pts_seconds"):
            assert repr(values[0::2]) == repr(values[1::2]), name  # spreads may be nan
        if name in ("face_id", "box_source", "pts_seconds"):
            assert values[0::2] == source[name].to_pylist(), name
    for suffix, most_px in (("", 0.05), ("_raw", 0.08)):
        ours = run.points("repeated_frames.mp4", suffix=suffix)
        apart = np.abs(ours[::2] - run.points("repeated_frames_source.mp4", suffix=suffix))
        assert apart.mean() < most_px
    boxes = [np.stack(t["box_xyxy_px"].to_numpy()) for t in (doubled, source)]
    assert np.abs(boxes[0][::2] - boxes[1]).max() < 2.0  # px, of sides of 115 and 165
