"""The corpus of the long runs: several segments each, faces and none, damage and no video."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from clips import drifting, write_clip


@pytest.fixture(scope="session")
def corpus(talking_clip, faceless_clip, tmp_path_factory) -> Path:
    """A folder of five inputs: 17 s of video, cut in 17 segments where they last 1 s."""
    folder = tmp_path_factory.mktemp("corpus")
    shutil.copy(talking_clip, folder / "talking.mp4")
    shutil.copy(talking_clip, folder / "same again.mp4")
    shutil.copy(faceless_clip, folder / "faceless.mp4")
    whole = write_clip(folder / "damaged.mp4", drifting(75, 96, 64, seed=1))
    content = bytearray(whole.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 6000] = b"\xff" * 6000
    whole.write_bytes(content)
    (folder / "text.mp4").write_text("not a video at all\n" * 50)
    return folder


@pytest.fixture(scope="session")
def quick_manifest(faceless_clip, tmp_path_factory) -> Path:
    """A video whose boxes are given: nothing to detect, so it is quick."""
    folder = tmp_path_factory.mktemp("quick")
    rows = [f"{frame},20,10,60,50" for frame in range(50)]
    (folder / "boxes.csv").write_text("\n".join(["frame_index,x0,y0,x1,y1", *rows]))
    (folder / "quick.csv").write_text(f"uri,boxes\n{faceless_clip},boxes.csv\n")
    return folder / "quick.csv"
