"""`compact` and `annotate --compact` as killed processes, and two concurrent calls."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from test_compact_output import annotate, same, tables

from pipeline.outputs.compact_output import compact
from schemas.errors import OutputError
from tests.pipeline.outputs.changing_store import ChangingStore
from transforms.storage.output_tables import OutputFolder, read_tracks, read_videos

KILLED = Path(__file__).parents[1] / "killed_command.py"
ROOT = Path(__file__).parents[3]


def killed(word: str, number: int, *arguments: object) -> bool:
    """Whether the command was killed at its n-th change of a file whose path contains the word."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(KILLED), word, str(number), *map(str, arguments)]
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=600, check=False)
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr.decode()
    return ended.returncode != 0


def small_files(output: Path) -> list[str]:
    return [*OutputFolder(str(output)).videos.names(), *OutputFolder(str(output)).tracks.names()]


def test_kill_9_and_again(tmp_path):
    """At the first and second new file, and at removals of status rows and of tracks."""
    output = tmp_path / "out"
    annotate(str(output))
    before = tables(str(output))
    compact(output)
    annotate(str(output), ["a.mp4", "new.mp4"], frames=4)
    expected = tables(str(output))
    assert not same(before, expected)
    for word, number in (("/compacted/", 1), ("/compacted/", 2), ("/videos/", 3), ("/tracks/", 3)):
        assert killed(word, number, "compact", output)
        assert same(tables(str(output)), expected), f"killed at {word} {number}"
    assert not killed("/compacted/", 10**6, "compact", output)
    assert same(tables(str(output)), expected)
    assert small_files(output) == []
    assert not [str(path) for path in output.rglob(".facetracks-*")]


def test_a_second_call_on_a_disk_is_refused_and_harms_nothing(tmp_path):
    output = str(tmp_path / "out")
    annotate(output)
    before, refused = tables(output), []

    def another(videos: int) -> None:
        with pytest.raises(OutputError, match="another run is writing there"):
            compact(output)
        refused.append(videos)

    compact(output, file_bytes=1, on_progress=another)
    assert sum(refused) == 6
    assert same(tables(output), before)


class MeetingStore(ChangingStore):
    """An object store that calls `meet` before its n-th change."""

    protocol = "meeting"
    store: ClassVar[dict] = {}
    left = 10**9
    lock = threading.Lock()

    def before_change(self):
        with self.lock:
            type(self).left -= 1
            here = type(self).left == -1
        if here:
            self.meet()


fsspec.register_implementation("meeting", MeetingStore, clobber=True)


def test_two_calls_on_an_object_store_lose_nothing():
    """The second call runs completely before each change of the first one, one change per case."""
    url, meetings, failed = "meeting://out", 0, 0
    while True:
        MeetingStore.store.clear()
        MeetingStore.left = 10**9
        annotate(url, ["c.mp4", "a.mp4"])
        compact(url, file_bytes=1)
        annotate(url, ["a.mp4"])
        before = tables(url)
        MeetingStore.left, MeetingStore.meet = meetings, staticmethod(lambda: compact(url))
        try:
            compact(url)
        except OutputError:
            failed += 1
        if MeetingStore.left >= 0:
            break
        meetings += 1
        MeetingStore.left = 10**9
        ids = set(before[0]["video_id"].to_pylist())
        assert set(read_videos(url)["video_id"].to_pylist()) == ids, f"met at change {meetings}"
        found = set(before[1]["video_id"].to_pylist())
        assert set(read_tracks(url)["video_id"].to_pylist()) == found
        compact(url)
        assert same(tables(url), before), f"met at change {meetings}"
    assert meetings > 5
    assert failed < meetings


class FadingStore(ChangingStore):
    """An object store whose own files of videos vanish before the n-th time that one is looked at.

    `stopped`: nothing can be removed.
    """

    protocol = "fading"
    store: ClassVar[dict] = {}
    lock = threading.Lock()
    left = 10**9
    vanishing: ClassVar[tuple[str, ...]] = ()
    stopped = False

    def before_change(self):
        pass

    def rm(self, *args, **kwargs):
        if self.stopped:
            raise KeyboardInterrupt
        return super().rm(*args, **kwargs)

    def before_look(self, path):
        if not path.startswith(("fading://out/videos", "fading://out/tracks")):
            return
        with self.lock:
            type(self).left -= 1
            if type(self).left == -1:
                for key in [k for k in self.store if k.startswith(self.vanishing)]:
                    del self.store[key]

    def ls(self, path, **kwargs):
        self.before_look(path)
        return super().ls(path, **kwargs)

    def cat_file(self, path, **kwargs):
        self.before_look(path)
        return super().cat_file(path, **kwargs)

    def open(self, path, *args, **kwargs):
        self.before_look(path)
        return super().open(path, *args, **kwargs)


fsspec.register_implementation("fading", FadingStore, clobber=True)


@pytest.mark.parametrize("vanishing", [["videos"], ["videos", "tracks"]])
def test_a_call_loses_nothing_while_another_removes_what_it_has_compacted(vanishing):
    url, looks = "fading://out", 0
    FadingStore.vanishing = tuple(f"{url}/{folder}/" for folder in vanishing)
    while True:
        FadingStore.store.clear()
        FadingStore.left, FadingStore.stopped = 10**9, False
        annotate(url, ["c.mp4", "a.mp4"])
        compact(url, file_bytes=1)
        annotate(url, ["a.mp4"])
        before = tables(url)
        FadingStore.stopped = True
        with pytest.raises(KeyboardInterrupt):  # the other call has written its files
            compact(url)
        FadingStore.left, FadingStore.stopped = looks, False
        with contextlib.suppress(OutputError):
            compact(url)
        if FadingStore.left >= 0:
            break
        looks, FadingStore.left = looks + 1, 10**9
        compact(url)
        assert same(tables(url), before), f"vanished at look {looks}"
    assert looks > 5


@pytest.fixture(scope="module")
def rows(faceless_clip, tmp_path_factory) -> list[dict]:
    """Short inputs with given boxes: fast, because they need no detection."""
    boxes = tmp_path_factory.mktemp("boxes") / "boxes.csv"
    lines = ["pts_seconds,x0,y0,x1,y1", *(f"{i / 25},20,10,60,50" for i in range(5))]
    boxes.write_text("\n".join(lines))
    one = {"uri": faceless_clip, "boxes": boxes, "stop_seconds": 0.19}
    return [{"video_id": f"v{i}", **one} for i in range(4)]


def listed_in(path: Path, rows: list[dict]) -> Path:
    """A manifest of these rows."""
    path.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))
    return path


def test_annotate_and_compact_and_go_on(facetracks, rows, tmp_path):
    """A second run repeats nothing; later inputs are compacted with the rest."""
    output, listed = tmp_path / "out", listed_in(tmp_path / "two.jsonl", rows[:2])
    assert facetracks("annotate", listed, "-o", output, "--compact").status == 0
    assert small_files(output) == []
    files = {path: path.stat().st_ino for path in (output / "compacted").rglob("*.parquet")}
    assert len(files) == 2
    assert facetracks("annotate", listed, "-o", output, "--compact").status == 0
    assert counters(output) == {"videos_done_before": 2}
    assert {p: p.stat().st_ino for p in (output / "compacted").rglob("*.parquet")} == files
    assert facetracks("annotate", listed_in(tmp_path / "all.jsonl", rows), "-o", output).status == 0
    assert counters(output)["videos_done_before"] == 2
    assert len(small_files(output)) == 4
    assert facetracks("compact", output).status == 0
    assert small_files(output) == []
    assert read_tracks(output)["video_id"].to_pylist() == [
        f"v{i}" for i in range(4) for _ in "12345"
    ]
    assert read_videos(output)["status"].to_pylist() == ["ok"] * 4


def counters(output: Path) -> dict:
    return json.loads((output / "run.json").read_text())["counters"]


@pytest.mark.long
def test_annotate_and_compact_killed(facetracks, rows, tmp_path):
    output, listed = tmp_path / "out", listed_in(tmp_path / "all.jsonl", rows)
    command = ("annotate", listed, "-o", output, "--compact")
    for word, number in (("/compacted/", 1), ("/compacted/", 2), ("/videos/", 6), ("/tracks/", 3)):
        assert killed(word, number, *command)
        assert read_videos(output).num_rows == 4
        assert read_tracks(output).num_rows == 20
    assert facetracks(*command).status == 0
    assert counters(output) == {"videos_done_before": 4}
    assert small_files(output) == []
    assert read_tracks(output).num_rows == 20
