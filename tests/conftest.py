"""Shared fixtures: the real data, if present, and small generated clips."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from clips import drifting, write_clip
from hypothesis import settings

# A test's first example includes imports and loading; on a busy machine any example is slow.
settings.register_profile("facetracks", deadline=None)
settings.load_profile("facetracks")

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Temporary files of the tests and of the processes that they start, below pytest's folder."""
    folder = tmp_path_factory.mktemp("tmp", numbered=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", None)  # read the variable again
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real videos and labelled faces; only for tests marked `realdata`."""
    return _SHARED_DATA


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips tests of the real data if it is missing, except in CI, which requires it."""
    if _SHARED_DATA.is_dir():
        return
    wanting = [item for item in items if item.get_closest_marker("realdata")]
    if wanting and os.environ.get("CI"):
        raise pytest.UsageError(f"{_SHARED_DATA} is missing, and CI must run the realdata tests")
    for item in wanting:
        item.add_marker(pytest.mark.skip(reason=f"needs real data in {_SHARED_DATA}"))


class Ended(NamedTuple):
    """The result of a command: exit status and output."""

    status: int
    out: str
    err: str


@pytest.fixture()
def facetracks(capsys, monkeypatch) -> Callable[..., Ended]:
    """Runs the command line in this process."""
    from pipeline.commands.cli import main

    monkeypatch.setenv("PYTHONSAFEPATH", "1")  # as the command does, for this test only
    root = logging.getLogger()
    before = signal.getsignal(signal.SIGTERM), root.level, list(root.handlers), list(root.filters)

    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        return Ended(int(ended.value.code or 0), *capsys.readouterr())

    yield run
    signal.signal(signal.SIGTERM, before[0])
    root.setLevel(before[1])
    root.handlers[:], root.filters[:] = before[2:]


@pytest.fixture(scope="session")
def faceless_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 s without a face, 96 x 64 px."""
    return write_clip(tmp_path_factory.mktemp("faceless") / "faceless.mp4", drifting(50, 96, 64))


@pytest.fixture(scope="session")
def talking_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6 s, 256 x 128 px, a key frame a second: a face, and from 2 s on another."""
    from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX, load_astronaut
    from models.synthesis.face_animation import FaceAnimation
    from models.synthesis.face_motion import pose_at

    animation = FaceAnimation(load_astronaut(), ASTRONAUT_LANDMARKS_PX)
    forth = [animation.render(pose_at(i / 25), 128) for i in range(75)]
    faces = [*forth, *forth[::-1]]
    pictures = []
    for i, face in enumerate(faces):
        other = faces[i - 40][:, ::-1] if i >= 40 else np.full_like(face, 120)
        seen = np.clip((i - 40) / 15, 0, 1)  # faded in: a sudden change would be a shot cut
        pictures.append(np.hstack([face, (seen * other + (1 - seen) * 120).astype(np.uint8)]))
    path = tmp_path_factory.mktemp("talking") / "talking.mp4"
    return write_clip(path, pictures, keyint=25, b_frames=2)


@pytest.fixture(scope="session")
def five_inputs(talking_clip, faceless_clip, tmp_path_factory) -> Path:
    """Two faces, twice; none; a damaged video; no video. 17 segments of 1 s."""
    folder = tmp_path_factory.mktemp("five_inputs")
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
