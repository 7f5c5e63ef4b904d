import io
import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from clips import drifting, write_clip, write_sound

from pipeline.annotate import RunSummary
from pipeline.progress import ProgressDisplay, progress_line
from pipeline.provenance import check_same_config, describe_run, write_run_record
from pipeline.reports.timings import raw_decode_seconds, timings_table
from schemas.errors import UsageError
from schemas.landmarks import LANDMARK_LAYOUT
from schemas.records import Video, VideoFailure
from transforms.decoding.child import ChildSettings
from transforms.decoding.piece_builder import CropSpec
from transforms.progress_board import Progress
from transforms.storage.run_output import RunOutput
from transforms.sum_videos import IncompleteVideo
from transforms.write_tracks import failure_row

CHILD = ChildSettings(CropSpec(16, 1.2, 3))

COMMANDS = [
    ["annotate"], ["render"], ["sample"], ["demo"], ["train"], ["evaluate"],
    ["train", "landmarks"], ["train", "detector"],
    ["evaluate", "landmarks"], ["evaluate", "detector"],
]  # fmt: skip


@pytest.mark.parametrize("command", [[], *COMMANDS], ids=" ".join)
def test_every_command_explains_itself(facetracks, command):
    ended = facetracks(*command, "--help")
    assert ended.status == 0
    assert " ".join(["usage: facetracks", *command]) in ended.out


@pytest.mark.parametrize("arguments", [[], ["anotate"], ["render", "--colour", "red"], ["train"]])
def test_wrong_usage_ends_with_2(facetracks, arguments):
    ended = facetracks(*arguments)
    assert ended.status == 2
    assert ended.err.startswith("facetracks")
    assert ended.err.endswith(" --help\n")
    assert ended.err.count("\n") == 1


def test_progress_lines():
    line = progress_line(Progress(3, 610.0, 40.0, 52), 52, 8.0)
    assert line == "3/52 videos, 40 of 610 s of video, 5.0 s of video/s, 114 s left"
    nothing = progress_line(Progress(0, 0.0, 0.0, 0), 1, 30.0)
    assert nothing == "0/1 videos, no length known yet after 30 s"
    # A wave of 26 videos is planned; the other 26 are assumed to be alike.
    assert "40 of about 1220 s" in progress_line(Progress(3, 610.0, 40.0, 26), 52, 8.0)
    planned = progress_line(Progress(0, 5.0, 0.0, 1), 1, 30.0)
    assert planned == "0/1 videos, 0 of 5 s of video after 30 s"
    for done in (5.0, 4.9):  # the rest is less than half a second
        line = progress_line(Progress(1, 5.0, done, 1), 1, 2.0)
        assert line.endswith(f"{done / 2:.1f} s of video/s")


def test_bars_write_to_a_log_every_half_minute():
    code = (
        "from pipeline.commands.cli import _quiet_libraries as quiet; quiet(); import tqdm; "
        "print(tqdm.tqdm([]).mininterval)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "30.0\n"


def test_a_display_that_never_shows_anything_ends_at_once():
    start = time.monotonic()
    with ProgressDisplay(3):
        pass
    assert time.monotonic() - start < 3


class Terminal(io.StringIO):
    """A text stream that claims to be a terminal."""

    def isatty(self):
        return True


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with ProgressDisplay(7):
        end = time.monotonic() + 10
        while "0/7 videos" not in terminal.getvalue() and time.monotonic() < end:
            time.sleep(0.05)
    assert "0/7 videos" in terminal.getvalue()
    assert "," not in terminal.getvalue()


def test_a_run_is_described_by_versions_and_conventions():
    about = describe_run("FnApiRunner", {"landmarks": "MIT"})
    assert about["runner"] == "FnApiRunner"
    assert about["landmark_layout"] == LANDMARK_LAYOUT
    assert about["versions"]["av"]
    assert about["versions"]["ffmpeg"]
    assert about["licences"] == {"landmarks": "MIT"}
    json.dumps(about)


def test_another_configuration_on_the_same_output_is_refused_with_the_difference(tmp_path):
    output = str(tmp_path)
    check_same_config(output, {"a": 1})  # nothing exists yet
    write_run_record(output, {"config": {"a": 1, "b": "x", "gone": None}})
    check_same_config(output, {"a": 1, "b": "x"})
    with pytest.raises(UsageError) as told:
        check_same_config(output, {"a": 2, "b": "x", "new": True})
    assert "  a: 1 there, 2 now\n  new: None there, True now\n" in str(told.value)
    assert "b:" not in str(told.value)


def test_raw_decoding_counts_frames(tmp_path):
    clip = write_clip(tmp_path / "[a].mp4", drifting(12, 64, 48))
    frames, seconds = raw_decode_seconds(str(clip), CHILD)
    assert frames == 12
    assert seconds > 0
    text = tmp_path / "t.mp4"
    text.write_text("text")
    assert raw_decode_seconds(str(text), CHILD) == (0, 0.0)
    assert raw_decode_seconds(str(tmp_path / "none.mp4"), CHILD) == (0, 0.0)


def test_timings_of_a_file_that_has_lost_its_video_since(tmp_path):
    assert raw_decode_seconds(str(write_sound(tmp_path / "s.mp4")), CHILD) == (0, 0.0)


def test_a_table_of_timings_by_hand(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", drifting(10, 64, 48))
    stages = ("decode", "detect", "crop", "align", "stabilize", "write", "elapsed")
    row = {f"{s}_seconds": 0.5 * (i + 1) for i, s in enumerate(stages)}
    row |= {"frames_decoded": 10, "face_frames": 20, "status": "ok"}
    run_output = RunOutput(str(tmp_path / "out"), {})
    for video, more in ((Video("a.mp4", str(clip)), row), (Video("none.mp4", "/none.mp4"), {})):
        blank = failure_row(VideoFailure(video, "not_found", "no such file"), "0" * 16)
        run_output.write_status(video, blank | more)
    cpu = {"decode": 0.25, "detect": 0.25, "write": 0.5, "run": 2.0}
    none = IncompleteVideo("none.mp4", "failed", "not_found", "no such file")
    summary = RunSummary(
        run_output.output, {"ok": 1}, {}, 0, 10, 20, [none], 4.0, 0, {}, cpu_seconds=cpu
    )
    lines = timings_table(summary, 1, CHILD).splitlines()
    words = {" ".join(line.split()[:-3]): line.split()[-3:] for line in lines[1:-3]}
    assert words["decode"] == ["0.50", "0.25", "40"]
    assert words["write"] == ["3.00", "0.50", "20"]
    assert words["crop"] == ["1.50", "0.00", "-"]
    assert words["all stages"] == ["10.50", "1.00", "10"]
    assert words["whole run"] == ["4.00", "2.00", "5"]
    assert float(words["raw PyAV decode"][2]) > 0
    assert lines[-3:] == [
        "upper bound of the stages on 1 cores: 10 frames/s; the run reached 2, 25% of it",
        "mean idle time of the 1 workers: 75%",
        "10 frames, 20 rows of tracks",
    ]
    went_on = timings_table(replace(summary, done_before=1), 1, CHILD).splitlines()
    assert went_on[2].split() == ["decode", "0.50", "0.25", "-"]  # CPU of fewer frames
    assert len(went_on) == len(lines) - 2
