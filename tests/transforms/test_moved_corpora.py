"""The key of a video's work depends on its bytes, not on its location."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from schemas.records import Video, VideoFailure
from transforms.select_videos import inspect_video
from transforms.storage.run_output import RunOutput
from transforms.write_tracks import failure_row


@pytest.fixture()
def corpus(tmp_path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "clip.mp4").write_bytes(b"video")
    (folder / "boxes.csv").write_bytes(b"boxes")
    return folder


def video_in(folder: Path, **changes: object) -> Video:
    fields = {"video_id": "clip.mp4", "uri": f"{folder}/clip.mp4"} | changes
    return inspect_video(Video(**fields))


def finish(
    run_output: RunOutput, video: Video, reason: str = "no_frames", message: str = ""
) -> None:
    """Writes a status row, as a run does at the end of a video."""
    failure = VideoFailure(video, reason, message)
    run_output.write_status(video, failure_row(failure, run_output.config_hash))


def test_what_is_done_stays_done_when_the_corpus_moves(corpus, tmp_path):
    run_output = RunOutput(str(tmp_path / "out"), {})
    boxes = {"boxes_uri": f"{corpus}/boxes.csv", "stop_seconds": 2.0}
    finish(run_output, video_in(corpus, **boxes))
    moved = tmp_path / "elsewhere" / "moved"
    moved.parent.mkdir()
    shutil.move(corpus, moved)
    boxes["boxes_uri"] = f"{moved}/boxes.csv"
    assert run_output.is_done(video_in(moved, **boxes))
    assert not run_output.is_done(video_in(moved, **boxes | {"stop_seconds": 3.0}))
    (moved / "boxes.csv").write_bytes(b"other boxes")
    assert not run_output.is_done(video_in(moved, **boxes))


def test_a_copy_that_keeps_times_is_the_same_and_other_bytes_are_not(corpus, tmp_path):
    run_output = RunOutput(str(tmp_path / "out"), {})
    finish(run_output, video_in(corpus))
    copy = shutil.copytree(corpus, tmp_path / "copy")
    assert run_output.is_done(video_in(copy))
    assert run_output.is_done(video_in(corpus, uri=os.path.relpath(corpus / "clip.mp4")))
    (copy / "clip.mp4").write_bytes(b"another")
    assert not run_output.is_done(video_in(copy))


def test_what_a_failed_start_left_as_a_verdict_is_done_again(corpus, tmp_path):
    run_output = RunOutput(str(tmp_path / "out"), {})
    video = video_in(corpus)
    took_down = f"{video.uri}: the decoder crashed"
    finish(run_output, video, "decoder_crashed", f"{took_down} (exit status 1: ImportError: x)")
    assert not run_output.is_done(video)
    finish(run_output, video, "decoder_crashed", f"{took_down} (signal SIGSEGV)")
    assert run_output.is_done(video)
