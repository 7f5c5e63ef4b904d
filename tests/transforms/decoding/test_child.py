import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest
from clips import drifting, write_clip

from schemas.errors import DecodingError, VideoError
from schemas.records import Video
from tests.transforms.decoding.misbehaving_server import ANSWERS
from transforms.decoding.child import ChildSettings, DecodingChild
from transforms.decoding.child_process import kill_all_children
from transforms.decoding.piece_builder import CropSpec

SPEC = CropSpec(size_px=16, scale=1.2, window_frames=3)
FRAMES = 60


def settings(stall_seconds: float = 60.0) -> ChildSettings:
    return ChildSettings(SPEC, segment_seconds=1.0, stall_seconds=stall_seconds)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("child") / "clip.mp4", drifting(FRAMES, 96, 64))


@pytest.fixture(scope="module")
def boxed(clip) -> Video:
    """The clip with a box on every second frame: no detector to load."""
    rows = [f"{frame},10,10,50,50" for frame in range(0, FRAMES, 2)]
    boxes = clip.with_suffix(".csv")
    boxes.write_text("\n".join(["frame_index,x0,y0,x1,y1", *rows]))
    return Video("clip.mp4", str(clip), boxes_uri=str(boxes))


@pytest.fixture(scope="module")
def steady(boxed):
    """A started child for the tests that do not kill it."""
    child = DecodingChild(settings())
    child.plan(boxed)
    yield child
    child.close()


def children_of(parent: int) -> list[int]:
    """The decoding children of a process, as the system lists them."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = stat.read_text().rpartition(")")[2].split()[:2]
            command = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(ppid) == parent and state != "Z" and b"server" in command:
            found.append(int(stat.parent.name))
    return found


def new_child(before: list[int]) -> int:
    (pid,) = set(children_of(os.getpid())) - set(before)
    return pid


def kill_stopped(pid: int, number: int) -> None:
    """Sends a fatal signal to a stopped process; all but SIGKILL wait until it continues."""
    os.kill(pid, number)
    if number != signal.SIGKILL:  # which ends it at once, so the process id may be reused
        os.kill(pid, signal.SIGCONT)


def wait_until(true, seconds: float = 120.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.05)
    return False


def test_a_video_is_planned_and_decoded(steady, clip, boxed):
    segments = steady.plan(Video("clip.mp4", str(clip)))
    assert [s.index for s in segments] == [0, 1, 2]
    assert segments[0].video == Video("clip.mp4", str(clip))
    (segment,) = steady.plan(boxed)
    (windows,) = steady.decode(segment)
    assert windows.segment == segment
    assert len(windows.rows.frame_pts) == FRAMES
    assert windows.windows.shape == (FRAMES - 1, 3)  # the last frame has no box
    assert windows.crops.shape == (FRAMES - 1, 16, 16, 3)
    assert windows.stats.decode_seconds > 0
    assert windows.stats.packets_bad == 0


def test_frames_are_heard_of_before_the_segment_is_there(boxed):
    child, heard = DecodingChild(settings()), []
    try:
        (segment,) = child.plan(boxed)
        for _ in child.decode(segment, heard.append):
            assert heard
    finally:
        child.close()
    assert all(0 <= frames <= FRAMES for frames in heard)
    assert max(heard) > 0


def test_one_child_serves_many_requests(steady, boxed):
    before = children_of(os.getpid())
    for _ in range(3):
        steady.plan(boxed)
    assert children_of(os.getpid()) == before


def test_errors_come_back_as_they_are_and_the_child_lives_on(steady, clip, boxed, tmp_path):
    before = children_of(os.getpid())
    with pytest.raises(VideoError, match="no such file") as told:
        steady.plan(Video("none", str(tmp_path / "none.mp4")))
    assert told.value.reason == "not_found"
    with pytest.raises(VideoError, match=r"none\.csv") as told:
        steady.plan(Video("clip.mp4", str(clip), boxes_uri=str(tmp_path / "none.csv")))
    assert told.value.reason == "bad_boxes"
    assert children_of(os.getpid()) == before
    assert len(steady.plan(boxed)) == 1


def test_an_exception_in_the_child_fails_its_video_and_is_logged_with_its_trace(
    steady, boxed, caplog
):
    """An invalid segment represents the bugs that hostile bytes trigger."""
    (segment,) = steady.plan(boxed)
    segment = replace(segment, video=replace(segment.video, start_seconds="now"))
    with pytest.raises(DecodingError, match=r"clip\.mp4: the decoding process raised ValueError"):
        list(steady.decode(segment))
    assert "Traceback" in caplog.text


def test_memory_is_within_reach(steady, clip, boxed):
    memory = fsspec.filesystem("memory")
    memory.pipe("/child/clip.mp4", clip.read_bytes())
    memory.pipe("/child/boxes.csv", Path(boxed.boxes_uri).read_bytes())
    video = Video("m", "memory://child/clip.mp4", boxes_uri="memory://child/boxes.csv")
    (segment,) = steady.plan(video)
    assert segment.video == video
    assert [len(piece.windows) for piece in steady.decode(segment)] == [FRAMES - 1]
    with pytest.raises(VideoError):
        steady.plan(Video("m", "memory://child/none.mp4"))


def test_errors_about_memory_name_the_input(steady):
    fsspec.filesystem("memory").pipe("/child/text.mp4", b"no video at all")
    with pytest.raises(Exception, match=r"memory://child/text\.mp4"):
        steady.plan(Video("m", "memory://child/text.mp4"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_child_that_dies_between_requests_costs_none(boxed, number):
    before = children_of(os.getpid())
    child = DecodingChild(settings())
    try:
        (segment,) = child.plan(boxed)
        for _ in range(2):  # before and after it has loaded the modules for decoding
            pid = new_child(before)
            os.kill(pid, number)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # all its threads have ended
            assert [len(piece.windows) for piece in child.decode(segment)] == [FRAMES - 1]
    finally:
        child.close()
    assert children_of(os.getpid()) == before


@contextlib.contextmanager
def signalled_while_it_works(number, boxed):
    """A child and a segment whose next decoding the signal ends."""
    before = children_of(os.getpid())
    child = DecodingChild(settings())
    try:
        (segment,) = child.plan(boxed)
        list(child.decode(segment))
        pid = new_child(before)
        os.kill(pid, signal.SIGSTOP)  # so that it cannot finish before it is killed
        threading.Timer(0.3, kill_stopped, (pid, number)).start()
        yield child, segment
        assert [len(piece.windows) for piece in child.decode(segment)] == [FRAMES - 1]
    finally:
        child.close()


def test_a_child_that_is_killed_while_it_works_costs_nothing(boxed):
    """As the system does when memory runs out: the request is repeated once."""
    with signalled_while_it_works(signal.SIGKILL, boxed) as (child, segment):
        assert [len(piece.windows) for piece in child.decode(segment)] == [FRAMES - 1]


def test_a_child_that_dies_while_it_works_costs_one_request(boxed):
    number = signal.SIGSEGV
    with signalled_while_it_works(number, boxed) as (child, segment):
        with pytest.raises(DecodingError, match=signal.Signals(number).name) as told:
            list(child.decode(segment))
        assert told.value.reason == "decoder_crashed"
        assert boxed.uri in str(told.value)


def misbehaving(**limits) -> DecodingChild:
    return DecodingChild(
        ChildSettings(SPEC, module="tests.transforms.decoding.misbehaving_server", **limits)
    )


@pytest.mark.parametrize(
    ("what", "reason", "message", "limits"),
    [
        (
            "silent",
            "decoder_hung",
            r"made no progress for 1 s and was killed",
            {"stall_seconds": 1},
        ),
        ("half an answer", "decoder_hung", "made no progress for 1 s", {"stall_seconds": 1}),
        ("a trickle", "decoder_hung", "made no progress for 1 s", {"stall_seconds": 1}),
        ("large", "memory_limit", r"needed more than 300 MB and was killed", {"memory_mb": 300}),
        ("exit", "decoder_crashed", r"exit status 7: out of registers", {}),
        ("cut off", "decoder_crashed", r"exit status 8", {}),
        ("killed", "decoder_crashed", r"was killed twice, by the system .* \(signal SIGKILL", {}),
    ],
)
def test_a_child_that_misbehaves_costs_its_video(what, reason, message, limits):
    before = children_of(os.getpid())
    child = misbehaving(**limits)
    try:
        with pytest.raises(DecodingError, match=f"{what}.mp4: .*{message}") as told:
            child.plan(Video(what, f"{what}.mp4"))
        assert told.value.reason == reason
        assert children_of(os.getpid()) == before
    finally:
        child.close()


@pytest.mark.parametrize("answer", sorted(ANSWERS))
def test_garbage_from_a_child_is_refused(answer):
    child = misbehaving()
    try:
        with pytest.raises(DecodingError, match=f"{answer}: the decoder answered with garbage"):
            child.plan(Video("v", answer))
    finally:
        child.close()


def test_the_child_ends_with_its_parent(boxed):
    script = (
        "import os, sys\n"
        "from transforms.decoding.child import ChildSettings, DecodingChild\n"
        "from transforms.decoding.window_builder import CropSpec\n"
        "from schemas.records import Video\n"
        f"child = DecodingChild(ChildSettings(CropSpec(16, 1.2, 3)))\n"
        f"child.plan(Video('v', {boxed.uri!r}))\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    try:
        assert parent.stdout.readline() == b"ready\n"
        (pid,) = children_of(parent.pid)
        parent.kill()
        parent.wait()
        assert wait_until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid))
    finally:
        parent.kill()
        parent.communicate()


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_process_about_to_end_ends_its_children(boxed):
    before = children_of(os.getpid())
    child = DecodingChild(settings())
    child.plan(boxed)
    pid = new_child(before)
    kill_all_children()
    assert wait_until(lambda: pid not in children_of(os.getpid()))
    child.close()


def test_closing_twice_and_before_any_request_is_harmless():
    child = DecodingChild(settings())
    child.close()
    child.close()


def test_two_children_work_at_the_same_time(boxed):
    """Threads get the answers to their own requests: handles share nothing."""
    got: dict[int, np.ndarray] = {}

    def work(number: int) -> None:
        child = DecodingChild(settings())
        (segment,) = child.plan(boxed)
        (windows,) = child.decode(segment)
        got[number] = windows.crops
        child.close()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(got[0], got[1])
