"""A run that is killed again and again ends like one that never was, and redoes little."""

from __future__ import annotations

import os
import random
import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from annotate_process import AnnotateProcess, annotate
from output_tables import assert_same_output, leftovers

from transforms.storage import file_stem

pytestmark = pytest.mark.long

KILLS = int(os.environ.get("FACETRACKS_KILLS", "20"))
SEED = int(os.environ.get("FACETRACKS_SEED", "20261121"))
WORKERS = 2
OPTIONS = (
    "--segment-seconds", 1, "--workers", WORKERS, "--batch-windows", 32, "--device", "cpu",
)  # fmt: skip
#: Segments in flight at a kill: a worker decodes one while another waits for its batch.
IN_FLIGHT = 2 * WORKERS

Stamp = tuple[int, int]  # inode, time of change


class Unbroken(NamedTuple):
    """A run that nothing disturbed."""

    output: Path
    segments: int
    seconds_to_start: float
    seconds: float


@pytest.fixture(scope="module")
def unbroken(corpus, tmp_path_factory) -> Unbroken:
    output = tmp_path_factory.mktemp("unbroken") / "out"
    with annotate(corpus, "--output", output, *OPTIONS) as run:
        run.wait_for((output / "run.json").exists)
        started = time.monotonic() - run.started
        ended = run.ended()
        seconds = time.monotonic() - run.started
        assert ended.status == 3, ended.err  # damaged.mp4 is partial, text.mp4 failed
        assert "5 videos: 1 failed, 3 ok, 1 partial" in ended.out
        return Unbroken(output, len(run.decoded()), started, seconds)


def test_killed_and_started_again(corpus, unbroken, tmp_path, capsys):
    output = tmp_path / "out"
    rng = random.Random(SEED)
    moments: Counter[str] = Counter()
    tally: Counter[str] = Counter()
    command = (corpus, "--output", output, *OPTIONS)
    round_decoded: Counter[tuple[str, str]] = Counter()
    round_kills = 0
    while tally["kills"] < KILLS:
        before = finished_files(output)
        with annotate(*command) as run:
            killed = killed_at(run, rng.uniform(-0.1, 1.0), unbroken, output)
            after = finished_files(output)
            if killed:
                tally["kills"] += 1
                round_kills += 1
                moments[phase(output)] += 1
            else:
                assert run.ended().status == 3, run.ended().err
            check_kept(before, after, tally)
            check_not_decoded_again(before, run, tally)
            round_decoded.update(run.decoded())
            tally["segments decoded"] += len(run.decoded())
        if not killed:  # quicker than its kill: begin anew, so that every kill hits a run
            check_end(unbroken, output, round_decoded, round_kills, tally)
            shutil.rmtree(output)
            round_decoded, round_kills = Counter(), 0
    with annotate(*command) as run:
        assert run.ended().status == 3, run.ended().err
        round_decoded.update(run.decoded())
        tally["segments decoded"] += len(run.decoded())
    check_end(unbroken, output, round_decoded, round_kills, tally)
    with capsys.disabled():
        sys.stdout.write(
            f"\nunbroken: {unbroken.segments} segments, {unbroken.seconds:.1f} s\n"
            f"killed while: {listed(moments)}\nin all: {listed(tally)}\n"
        )
    assert tally["files lost"] == tally["files written again"] == 0


def listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))


def killed_at(run: AnnotateProcess, share: float, unbroken: Unbroken, output: Path) -> bool:
    """Kills the run so far into its work, or before it where `share` is negative.

    False where the run ended before.
    """
    record = output / "run.json"
    before = inode(record)
    working = unbroken.seconds - unbroken.seconds_to_start
    if share < 0:
        seconds = (1 + share) * unbroken.seconds_to_start
    else:
        while run.running() and inode(record) == before:
            time.sleep(0.005)
        seconds = time.monotonic() - run.started + share * working
    while run.running() and time.monotonic() - run.started < seconds:
        time.sleep(0.005)
    if not run.running():
        return False
    run.kill()
    return True


def inode(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def check_kept(before: dict[str, Stamp], after: dict[str, Stamp], tally: Counter[str]) -> None:
    """What was finished is there still and untouched; parts may go when their video is done."""
    for name, stamp in before.items():
        if name in after:
            tally["files kept"] += 1
            tally["files written again"] += after[name] != stamp
        else:
            stem = name.split("/")[1].rpartition(".")[0]
            done = name.startswith(".staging/") and f"videos/{stem}.parquet" in after
            tally["files lost"] += not done


def check_not_decoded_again(
    before: dict[str, Stamp], run: AnnotateProcess, tally: Counter[str]
) -> None:
    """No segment is decoded whose part was there when the run began."""
    parts = {tuple(n.split("/")[1:]) for n in before if n.startswith(".staging/")}
    for video_id, part in run.decoded():
        again = [folder for folder, name in parts if name == part and of(folder, video_id)]
        assert not again, f"{video_id}: {part} was there and is decoded again"
    tally["parts found by a restart"] += len(parts)


def of(folder: str, video_id: str) -> bool:
    """Whether a staging folder is that of a video."""
    return folder.rpartition(".")[0] == file_stem(video_id)


def check_end(
    unbroken: Unbroken,
    output: Path,
    decoded: Counter[tuple[str, str]],
    kills: int,
    tally: Counter[str],
) -> None:
    """The output is that of the unbroken run, nothing is left, and little was done twice."""
    assert_same_output(unbroken.output, output)
    assert leftovers(output) == []
    redone = sum(decoded.values()) - unbroken.segments
    assert len(decoded) == unbroken.segments
    assert redone <= kills * IN_FLIGHT
    tally["segments redone"] += redone
    tally["outputs equal to the unbroken one"] += 1


def finished_files(output: Path) -> dict[str, Stamp]:
    """Landmark parts, tracks and status rows by name."""
    found = {}
    for pattern in (".staging/*/landmarks-*.safetensors", "tracks/*.parquet", "videos/*.parquet"):
        for path in output.glob(pattern):
            if not path.name.startswith("."):
                stat = path.stat()
                found[str(path.relative_to(output))] = (stat.st_ino, stat.st_mtime_ns)
    return found


def phase(output: Path) -> str:
    """What a run was at when it was killed, by the files it left."""
    if not (output / "run.json").exists():
        return "starting"
    if list(output.glob("tracks/*.parquet")):
        return "writing"
    if list(output.glob(".staging/*/tracks-*")):
        return "stabilizing"
    return "decoding" if list(output.glob(".staging/*/landmarks-*")) else "planning"
