from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.engines.processes import ProcessGroup, answers, free_port

ROOT = Path(__file__).parents[2]
SLEEPS = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)")


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_all_end_with_the_block(tmp_path):
    with ProcessGroup(tmp_path) as group:
        pids = [group.start(name, SLEEPS) for name in ("one", "other")]
        assert all(map(alive, pids))
        assert group.pid("other") == pids[1]
    assert not any(map(alive, pids))


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv (util-linux)")
def test_processes_end_with_an_owner_that_is_killed(tmp_path):
    owner = """
import os, signal, sys
from pathlib import Path
from tests.engines.processes import ProcessGroup
print(ProcessGroup(Path(sys.argv[1])).start("one", sys.argv[2:]), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    command = [sys.executable, "-c", owner, str(tmp_path), *SLEEPS]
    told = subprocess.run(command, stdout=subprocess.PIPE, cwd=ROOT, check=False)
    assert told.returncode == -signal.SIGKILL
    end = time.monotonic() + 30
    while alive(int(told.stdout)):
        assert time.monotonic() < end, "still alive"
        time.sleep(0.05)


def test_killed_and_started_again(tmp_path):
    with ProcessGroup(tmp_path) as group:
        first = group.start("one", SLEEPS)
        group.kill("one")
        assert not alive(first)
        second = group.start("one", SLEEPS)
        assert alive(second)
        assert second != first


def test_waits_for_a_sign(tmp_path):
    with ProcessGroup(tmp_path) as group:
        group.start("one", SLEEPS)
        group.wait_for("one", lambda: "up" in group.log("one").read_text(), 30)


def test_end_before_the_sign_is_told_with_the_log(tmp_path):
    with ProcessGroup(tmp_path) as group:
        group.start("one", [sys.executable, "-c", "raise SystemExit('no port left')"])
        with pytest.raises(RuntimeError, match=r"(?s)one ended.*no port left"):
            group.wait_for("one", lambda: False, 30)


def test_answers_where_somebody_listens():
    with socket.create_server(("localhost", 0)) as server:
        assert answers(f"localhost:{server.getsockname()[1]}")
    assert not answers(f"localhost:{free_port()}")
