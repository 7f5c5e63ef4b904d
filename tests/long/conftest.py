"""A quick input of the long runs."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def quick_manifest(faceless_clip, tmp_path_factory) -> Path:
    """A video with given boxes: fast, because it needs no detection."""
    folder = tmp_path_factory.mktemp("quick")
    rows = [f"{frame},20,10,60,50" for frame in range(50)]
    (folder / "boxes.csv").write_text("\n".join(["frame_index,x0,y0,x1,y1", *rows]))
    (folder / "quick.csv").write_text(f"uri,boxes\n{faceless_clip},boxes.csv\n")
    return folder / "quick.csv"
