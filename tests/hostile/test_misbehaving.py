"""Decoders that hang, crash, exhaust memory or answer nonsense: one video fails, the next works."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.errors import DecodingError, VideoError
from schemas.records import Video
from tests.hostile.encoding import encode, moving
from tests.hostile.misbehaving_child import GARBAGE
from transforms.decoding.child import ChildSettings, DecodingChild
from transforms.decoding.piece_builder import CropSpec

#: More than a child's start takes, also on a busy machine.
STALL_SECONDS = 4.0
SETTINGS = ChildSettings(
    crop=CropSpec(64, 1.3, 3),
    stall_seconds=STALL_SECONDS,
    memory_mb=400,
    module="tests.hostile.misbehaving_child",
)
BAD_ENDS = {
    "hangs deaf": "decoder_hung",
    "spins": "decoder_hung",
    "hangs up": "decoder_crashed",
    "segfaults": "decoder_crashed",
    "aborts": "decoder_crashed",
    "exits": "decoder_crashed",
    "hungry": "memory_limit",
    "greedy": "memory_limit",
    **dict.fromkeys(GARBAGE, "decoder_error"),
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", moving(10)).path


@pytest.fixture(scope="module")
def child() -> Iterator[DecodingChild]:
    """One handle for all tests: each test gets the state that the previous one left."""
    handle = DecodingChild(SETTINGS)
    yield handle
    handle.close()


@pytest.fixture(scope="module")
def patient_child() -> Iterator[DecodingChild]:
    """A handle whose limits also allow the detector to load."""
    handle = DecodingChild(replace(SETTINGS, stall_seconds=60.0, memory_mb=1500))
    yield handle
    handle.close()


@pytest.fixture(autouse=True)
def within_the_checkout(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])


@pytest.mark.parametrize("how", BAD_ENDS)
def test_a_plan_that_goes_wrong_fails_that_video_only(child, clip, how):
    before = time.monotonic()
    with pytest.raises(VideoError) as told:
        child.plan(Video(how, str(clip)))
    assert told.value.reason == BAD_ENDS[how]
    assert str(clip) in str(told.value)
    assert time.monotonic() - before < STALL_SECONDS + 10
    assert len(child.plan(Video("good", str(clip)))) == 1
    assert not Path("pwned").exists()


@pytest.mark.parametrize(
    "how", ["segfaults", "hungry", "garbage: windows with noise", "garbage: windows with nothing"]
)
def test_a_segment_that_goes_wrong_fails_that_video_only(patient_child, clip, how):
    (segment,) = patient_child.plan(Video("decode-" + how, str(clip)))
    with pytest.raises(VideoError) as told:
        list(patient_child.decode(segment))
    assert told.value.reason == BAD_ENDS[how]
    good = replace(segment, video=Video("good", str(clip)))
    assert [len(piece.rows.frame_pts) for piece in patient_child.decode(good)] == [10]


def test_an_exception_nobody_expected_fails_that_video(child, clip):
    with pytest.raises(DecodingError, match="RecursionError"):
        child.plan(Video("recurses", str(clip)))
    assert len(child.plan(Video("good", str(clip)))) == 1


def test_work_that_never_ends_though_it_reports_progress_runs_into_the_time_limit(
    child, clip, monkeypatch
):
    monkeypatch.setattr("transforms.decoding.child._GRACE_SECONDS", 2.0)
    with pytest.raises(VideoError) as told:
        child.plan(Video("chatters", str(clip)))
    assert told.value.reason == "time_limit"


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_child_that_died_leaves_no_file_open(clip):
    handle = DecodingChild(SETTINGS)
    open_before = open_files()
    for _ in range(3):
        with pytest.raises(VideoError):
            handle.plan(Video("segfaults", str(clip)))
    assert open_files() == open_before
    handle.close()


def test_a_child_ends_with_its_worker_even_while_it_spins(clip):
    """The worker is a separate process, killed while its child is busy."""
    code = (
        "import sys; from tests.hostile.test_misbehaving import SETTINGS;"
        "from dataclasses import replace; from schemas.records import Video;"
        "from transforms.decoding.child import DecodingChild;"
        "child = DecodingChild(replace(SETTINGS, stall_seconds=300.0));"
        "child.plan(Video('good', sys.argv[1])); print('ready', flush=True);"
        "child.plan(Video('spins', sys.argv[1]))"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, str(clip)], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"ready\n"
    listed = Path(f"/proc/{worker.pid}/task").glob("*/children")
    (child_pid,) = (int(pid) for file in listed for pid in file.read_text().split())
    time.sleep(2.0)
    assert Path(f"/proc/{child_pid}").exists()
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    until = time.monotonic() + 10
    while Path(f"/proc/{child_pid}").exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not Path(f"/proc/{child_pid}").exists()
