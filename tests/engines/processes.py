"""Concurrent processes, each with its own log, ended by process id."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

_TERMINATE_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.2
_LOG_LINES: Final = 20
#: A process ends with its owner even if that is killed. Nothing where util-linux is missing.
_ENDED_WITH_OWNER: Final = (
    ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()
)


class ProcessGroup:
    """Named processes; leaving the `with` block ends them all, last started first.

    Their temporary files are in `temporary`, which is removed with them.

    Args:
        logs: folder of NAME.log, the output of each.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.temporary = logs / "tmp"
        self.temporary.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._processes.values():
            process.terminate()
        for name in reversed(list(self._processes)):
            self.end(name)
        shutil.rmtree(self.temporary, ignore_errors=True)

    def start(
        self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None
    ) -> int:
        """Starts a process, or restarts one that has ended; returns its id."""
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                [*_ENDED_WITH_OWNER, *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {}), "TMPDIR": str(self.temporary)},
                start_new_session=True,  # Ctrl-C in the terminal reaches only the owner
            )
        self._processes[name] = process
        return process.pid

    def pid(self, name: str) -> int:
        """The id of a process."""
        return self._processes[name].pid

    def end(self, name: str) -> None:
        """Ends a process and waits for its end."""
        process = self._processes.pop(name)
        process.terminate()
        try:
            process.wait(_TERMINATE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self, name: str) -> None:
        """Kills a process at once, as a fault would."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def log(self, name: str) -> Path:
        """The file that holds a process's output."""
        return self._logs / f"{name}.log"

    def wait_for(self, name: str, sign: Callable[[], object], seconds: float) -> None:
        """Waits until `sign()` is true: the process is ready.

        Raises RuntimeError, with the end of its log, if the process ends or takes too long.
        """
        end = time.monotonic() + seconds
        while not sign():
            ended = self._processes[name].poll() is not None
            if ended or time.monotonic() > end:
                lines = self.log(name).read_text(errors="replace").splitlines()[-_LOG_LINES:]
                what = "ended" if ended else f"was not ready after {seconds:.0f} s"
                raise RuntimeError("\n".join([f"{name} {what}; its log ends with", *lines]))
            time.sleep(_POLL_SECONDS)


def free_port() -> int:
    """A TCP port without a listener."""
    with socket.socket() as port_finder:
        port_finder.bind(("localhost", 0))
        return int(port_finder.getsockname()[1])


def answers(address: str) -> bool:
    """Whether something listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False
