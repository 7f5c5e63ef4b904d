"""Where cores idle in a run: how many threads of `annotate` ran or waited for a core, over time.

    python -m tests.benchmarks.idle_cores INPUT ... [--workers 2] [--seconds 2]

Looks at the states of all threads of the driver and its children 30 times a second
(`/proc/PID/task/*/stat`: R is running or ready). Prints for each interval the mean number of such
threads and the share of looks with none, one, and two or more; then the same of the whole run.
Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.engines import used_by_tree

_LOOK_SECONDS = 1 / 30


def main() -> None:
    """Runs `annotate` and prints the table."""
    parser = argparse.ArgumentParser(prog="idle_cores", description=__doc__)
    parser.add_argument("inputs", nargs="+")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=2.0, help="the length of an interval")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pipeline.commands.cli", "annotate", *args.inputs]
        command += ["--output", folder, "--workers", str(args.workers)]
        looks: list[tuple[float, int]] = []
        with (Path(folder) / "printed").open("w") as printed:
            run = subprocess.Popen(command, stdout=printed, stderr=printed)
            began = time.monotonic()
            while run.poll() is None:
                looks.append((time.monotonic() - began, ready_threads()))
                time.sleep(_LOOK_SECONDS)
        sys.stdout.write((Path(folder) / "printed").read_text())
    line = "{:>12} {:>8} {:>7.0%} {:>7.0%} {:>7.0%}\n"
    sys.stdout.write("     seconds  threads    none     one    more\n")
    end, start = looks[-1][0], 0.0
    while start < end:
        within = [count for at, count in looks if start <= at < start + args.seconds]
        sys.stdout.write(line.format(f"{start:.0f}", *shares(within)))
        start += args.seconds
    sys.stdout.write(line.format("all", *shares([count for _, count in looks])))


def shares(counts: list[int]) -> tuple[str, float, float, float]:
    """The mean, and the shares of none, one and more."""
    of = max(len(counts), 1)
    none, one = counts.count(0) / of, counts.count(1) / of
    return f"{sum(counts) / of:.2f}", none, one, 1 - none - one


def ready_threads() -> int:
    """How many threads of the processes below this one run or wait for a core."""
    ready = 0
    for pid, _ in used_by_tree():
        if pid == os.getpid():
            continue
        for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
            with contextlib.suppress(OSError):
                ready += stat.read_text().rpartition(")")[2].split()[0] == "R"
    return ready


if __name__ == "__main__":
    main()
