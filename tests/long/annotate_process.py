"""`facetracks annotate` as a process group that can be watched and killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["AnnotateProcess", "Ended", "annotate"]

_COUNTED = Path(__file__).with_name("counted_annotate.py")
_ENDS_WITHIN_SECONDS = 900
#: The decoding child checks its parent once a second.
_CHILDREN_END_WITHIN_SECONDS = 15


class Ended(NamedTuple):
    """The result of a run."""

    status: int
    out: str
    err: str


@dataclass(slots=True)
class AnnotateProcess:
    """A run in progress."""

    process: subprocess.Popen[bytes]
    log: Path
    out: Any
    err: Any
    started: float = field(default_factory=time.monotonic)

    def running(self) -> bool:
        return self.process.poll() is None

    def wait_for(self, sign: Callable[[], object], seconds: float = 300) -> None:
        """Waits until `sign()` is true; fails if the run ends first or the time is up."""
        end = time.monotonic() + seconds
        while not sign():
            assert self.running(), self.ended().err
            assert time.monotonic() < end, "nothing came"
            time.sleep(0.01)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Suspends the run's own process, not its children, during the block."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL to the whole process group, as a batch system does; waits for the children."""
        children = _descendants(self.process.pid)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        end = time.monotonic() + _CHILDREN_END_WITHIN_SECONDS
        while left := [pid for pid in children if _alive(pid)]:
            assert time.monotonic() < end, f"{len(left)} decoding children outlive their run"
            time.sleep(0.05)

    def ended(self) -> Ended:
        """Waits for the end."""
        status = self.process.wait(timeout=_ENDS_WITHIN_SECONDS)
        texts = []
        for file in (self.out, self.err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        return Ended(status, *texts)

    def decoded(self) -> list[tuple[str, str]]:
        """(video_id, part name) of every segment whose decoding has started."""
        if not self.log.exists():
            return []
        lines = self.log.read_text().splitlines()
        return [(video, part) for video, part in (line.split("\t") for line in lines)]


@contextlib.contextmanager
def annotate(
    *arguments: object, launcher: Path = _COUNTED, prepare: Callable[[], None] | None = None
) -> Iterator[AnnotateProcess]:
    """Starts `annotate` in its own session; all of its processes end with the block.

    `prepare` runs in the new process before the command does (limits, rights).
    """
    with contextlib.ExitStack() as stack:
        log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "decoded"
        out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
        roots = [Path(__file__).parents[2], Path(__file__).parent]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, roots)),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, launcher, log, "annotate", *arguments]
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=out, stderr=err, stdin=subprocess.DEVNULL,
            env=environment, start_new_session=True, preexec_fn=prepare,
        )  # fmt: skip
        run = AnnotateProcess(process, log, out, err)
        try:
            yield run
        finally:
            if run.running():
                run.kill()


def _descendants(pid: int) -> list[int]:
    """The descendants of `pid`, in any session."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
    found = [pid]
    for known in found:
        found += [child for child, parent in parents.items() if parent == known]
    return found[1:]


def _alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in ("Z", "X")
    return False
