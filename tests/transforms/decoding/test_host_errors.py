"""Faults independent of the video end the run and give no video a status."""

from __future__ import annotations

import resource
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from segments import make_segment

from schemas.errors import HostError
from schemas.records import Video
from transforms.decoding.child import ChildSettings, DecodingChild
from transforms.decoding.piece_builder import CropSpec
from transforms.decoding.safe_python import python_command, python_environment

SPEC = CropSpec(size_px=16, scale=1.2, window_frames=3)


def plan(settings: ChildSettings, uri: str = "clip.mp4"):
    child = DecodingChild(settings)
    try:
        return child.plan(Video("clip.mp4", uri))
    finally:
        child.close()


def decode(settings: ChildSettings, video: Video) -> None:
    child = DecodingChild(settings)
    try:
        list(child.decode(make_segment(video=video)))
    finally:
        child.close()


def test_a_child_that_cannot_import_its_libraries():
    with pytest.raises(HostError, match=r"cannot be started: exit status 1: .*no_such_module"):
        plan(ChildSettings(SPEC, module="no_such_module"))


def test_a_child_that_cannot_be_started_at_all(monkeypatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(HostError, match=r"cannot be started: FileNotFoundError: .*/nowhere/python"):
        plan(ChildSettings(SPEC))


def test_memory_that_does_not_hold_the_libraries():
    with pytest.raises(HostError, match=r"cannot be started: .*needed more than 20 MB"):
        plan(ChildSettings(SPEC, memory_mb=20))


def test_a_detector_that_cannot_be_loaded(faceless_clip):
    video = Video("clip.mp4", str(faceless_clip))
    with pytest.raises(HostError, match=r"cannot load what it needs: .*none\.onnx"):
        decode(ChildSettings(SPEC, detector="yunet:/nowhere/none.onnx"), video)


def test_a_limit_below_ours_is_kept_and_videos_are_decoded(faceless_clip, tmp_path):
    """`ulimit -d` with a hard limit below twice --max-memory-mb; the driver has it too."""
    limit = 6 << 30

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    command = python_command("pipeline.commands.cli", "annotate", str(faceless_clip))
    command += ["--output", str(tmp_path / "out")]
    ended = subprocess.run(
        command, env=python_environment(), preexec_fn=limited, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 videos: 1 ok" in ended.stdout


def test_the_run_ends_with_one_message_and_goes_on_when_all_is_well(
    facetracks, faceless_clip, tmp_path, monkeypatch
):
    output = tmp_path / "out"
    monkeypatch.setenv("PYTHONHOME", "/nowhere")  # no new Python can start
    ended = facetracks("annotate", faceless_clip, "--output", output)
    assert ended.status == 1
    assert "HostError: a decoding process cannot be started: exit status 1" in ended.err
    assert "0 of 1 inputs were done before the run failed" in ended.err
    assert not list(output.glob("videos/*"))
    monkeypatch.delenv("PYTHONHOME")
    assert facetracks("annotate", faceless_clip, "--output", output).status == 0
    (row,) = pq.read_table(output / "videos").to_pylist()
    assert (row["status"], row["frames_decoded"]) == ("ok", 50)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_printed_is_the_message(faceless_clip, tmp_path, workers):
    """Without a worker's traceback."""
    script = (
        "import sys; sys.executable = '/nowhere/python'\n"
        "from pipeline.commands.cli import main\n"
        f"main(['annotate', *sys.argv[1:], '--workers', '{workers}'])"
    )
    two = tmp_path / "two"
    two.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (two / name).symlink_to(faceless_clip)
    command = [sys.executable, "-P", "-c", script, str(two), "-o", str(tmp_path / "out")]
    ended = subprocess.run(command, env=python_environment(), capture_output=True, text=True)
    assert ended.returncode == 1
    done, why = ended.stderr.splitlines()
    assert done.startswith("facetracks: 0 of 2 inputs were done before the run failed")
    assert why.startswith("facetracks: HostError: a decoding process cannot be started: FileNot")
    assert not list((tmp_path / "out").glob("videos/*"))
