"""A run that is killed repeatedly gives the output of an undisturbed one, and repeats little."""

from __future__ import annotations

import contextlib
import glob
import itertools
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from annotate_process import AnnotateProcess, annotate
from output_tables import assert_same_output, leftovers

from transforms.align_faces import MIN_WEIGHT
from transforms.storage.atomic_files import file_stem

pytestmark = pytest.mark.long

KILLS = int(os.environ.get("FACETRACKS_KILLS", "20"))
SEED = int(os.environ.get("FACETRACKS_SEED", "20261121"))
WORKERS = 2
BATCH_WINDOWS = 32
OPTIONS = (
    "--segment-seconds", 1, "--workers", WORKERS, "--batch-windows", BATCH_WINDOWS,
    "--device", "cpu",
)  # fmt: skip
#: Segments in flight at a kill: one that a worker decodes and those that wait for a full batch,
#: to which segments without faces also count, with a minimum weight.
IN_FLIGHT = WORKERS * (1 + BATCH_WINDOWS // MIN_WEIGHT)

#: The trigger of a kill: a random time, or the n-th file of a kind that the run writes.
SIGNS = {
    "a part of the tracks": (".staging/*/tracks-*",),
    "any time": (),
    "a track file": ("tracks/*.parquet",),
    "a file half written": ("*/.facetracks-*", ".staging/*/.facetracks-*"),
}
MAX_FILES = 4
HALF_WRITTEN = SIGNS["a file half written"]
EVERYTHING = ("run.json", ".staging/*/*", "tracks/*")

Stamp = tuple[int, int]  # inode, modification time


class Unbroken(NamedTuple):
    """An undisturbed run."""

    output: Path
    segments: int
    seconds_to_start: float
    seconds: float


@pytest.fixture(scope="module")
def unbroken(five_inputs, tmp_path_factory) -> Unbroken:
    output = tmp_path_factory.mktemp("unbroken") / "out"
    with annotate(five_inputs, "--output", output, *OPTIONS) as run:
        run.wait_for((output / "run.json").exists)
        started = time.monotonic() - run.started
        ended = run.ended()
        seconds = time.monotonic() - run.started
        assert ended.status == 3, ended.err  # damaged.mp4 is partial, text.mp4 failed
        assert "5 videos: 1 failed, 3 ok, 1 partial" in ended.out
        assert json.loads((output / "run.json").read_text())["config"]["stabilizer"] == "rts"
        return Unbroken(output, len(run.decoded()), started, seconds)


def test_killed_and_started_again(five_inputs, unbroken, tmp_path, capsys):
    output = tmp_path / "out"
    rng = random.Random(SEED)
    signs = itertools.cycle(SIGNS)
    moments: Counter[str] = Counter()
    tally: Counter[str] = Counter()
    command = (five_inputs, "--output", output, *OPTIONS)
    round_decoded: Counter[tuple[str, str]] = Counter()
    round_kills = 0
    while tally["kills"] < KILLS:
        before = finished_files(output)
        with annotate(*command) as run:
            moment = killed_at(run, next(signs), rng, unbroken, output)
            after = finished_files(output)
            if moment is not None:
                tally["kills"] += 1
                round_kills += 1
                moments[moment] += 1
                tally["files left half written"] += len(files(output, *HALF_WRITTEN))
            else:
                assert run.ended().status == 3, run.ended().err
            check_kept(before, after, tally)
            check_not_decoded_again(before, run, tally)
            round_decoded.update(run.decoded())
            tally["segments decoded"] += len(run.decoded())
        tally["runs"] += 1
        assert tally["runs"] < 3 * KILLS + 5, listed(tally)
        if moment is None:  # quicker than its kill: begin anew, so that every kill hits a run
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
    late = {"stabilizing", "writing"}
    assert late <= set(moments) if 2 * len(SIGNS) <= KILLS else late & set(moments)


def listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))


def killed_at(
    run: AnnotateProcess, sign: str, rng: random.Random, unbroken: Unbroken, output: Path
) -> str | None:
    """Kills the run at a trigger; returns its activity, or None if the run ended before."""
    before = files(output, *EVERYTHING)
    kill_now = n_new_files(output, SIGNS[sign], rng.randint(1, MAX_FILES))
    if sign == "any time":
        kill_now = time_has_come(run, rng.uniform(-0.1, 1.0), unbroken, output)
    while not kill_now():
        if not run.running():
            return None
        time.sleep(0.001)
    run.kill()
    now = files(output, *EVERYTHING)
    return phase({name for name, stamp in now.items() if before.get(name) != stamp})


def n_new_files(output: Path, patterns: tuple[str, ...], count: int) -> Callable[[], bool]:
    """Whether `count` files of a kind have been written or rewritten since now."""
    before = files(output, *patterns)
    seen: set[tuple[str, Stamp]] = set()

    def have_come() -> bool:
        seen.update(files(output, *patterns).items() - before.items())
        return len(seen) >= count

    return have_come


def time_has_come(
    run: AnnotateProcess, share: float, unbroken: Unbroken, output: Path
) -> Callable[[], bool]:
    """Whether a run has done this share of its work, or of its start if `share` is negative."""
    begins = n_new_files(output, ("run.json",), 1)
    working = unbroken.seconds - unbroken.seconds_to_start
    started: list[float] = []

    def has_come() -> bool:
        now = time.monotonic()
        if share < 0:
            return now - run.started >= (1 + share) * unbroken.seconds_to_start
        if not started and begins():
            started.append(now)
        return bool(started) and now - started[0] >= share * working

    return has_come


def check_kept(before: dict[str, Stamp], after: dict[str, Stamp], tally: Counter[str]) -> None:
    """Finished files are unchanged; parts may be removed when their video is finished."""
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
    """No segment is decoded whose part existed at the start of the run."""
    parts = {tuple(n.split("/")[1:]) for n in before if n.startswith(".staging/")}
    for video_id, part in run.decoded():
        again = [folder for folder, name in parts if name == part and of(folder, video_id)]
        assert not again, f"{video_id}: {part} was there and is decoded again"
    tally["parts found by a restart"] += len(parts)


def of(folder: str, video_id: str) -> bool:
    """Whether a staging folder belongs to a video."""
    return folder.rpartition(".")[0] == file_stem(video_id)


def check_end(
    unbroken: Unbroken,
    output: Path,
    decoded: Counter[tuple[str, str]],
    kills: int,
    tally: Counter[str],
) -> None:
    """The output equals that of the undisturbed run, without leftovers; little is repeated."""
    assert_same_output(unbroken.output, output)
    assert leftovers(output) == []
    redone = sum(decoded.values()) - unbroken.segments
    assert len(decoded) == unbroken.segments
    assert redone <= kills * IN_FLIGHT
    tally["segments redone"] += redone
    tally["outputs equal to the unbroken one"] += 1


def finished_files(output: Path) -> dict[str, Stamp]:
    """The files that a run never removes, except for the parts of a finished video.

    A track file is finished when the status row is there, which is written after it.
    """
    found = files(output, ".staging/*/landmarks-*", "videos/*.parquet")
    tracks = files(output, "tracks/*.parquet")
    rows = {name.partition("/")[2] for name in found if name.startswith("videos/")}
    return found | {n: stamp for n, stamp in tracks.items() if n.partition("/")[2] in rows}


def files(output: Path, *patterns: str) -> dict[str, Stamp]:
    """The existing files below an output, by name."""
    found = {}
    for pattern in patterns:
        # Path.glob fails if a folder is removed meanwhile.
        for name in glob.iglob(pattern, root_dir=output, include_hidden=True):  # noqa: PTH207
            with contextlib.suppress(FileNotFoundError):
                stat = (output / name).stat()
                found[name] = (stat.st_ino, stat.st_mtime_ns)
    return found


def phase(made: set[str]) -> str:
    """The activity of a run, by the files that it wrote."""
    if "run.json" not in made:
        return "starting"
    for doing, start, middle in (
        ("writing", "tracks/", ""),
        ("stabilizing", ".staging/", "/tracks-"),
        ("decoding", ".staging/", "/landmarks-"),
    ):
        if any(n.startswith(start) and middle in n and "/.facetracks-" not in n for n in made):
            return doing
    return "planning"
