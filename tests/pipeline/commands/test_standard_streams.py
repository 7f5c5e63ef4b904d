"""Closed or full streams, and names that are not UTF-8, do not break a run."""

from __future__ import annotations

import errno
import json
import os
import subprocess

import pyarrow.parquet as pq
import pytest

from pipeline.commands.cli import _fault_of_machine
from transforms.decoding.safe_python import python_command, python_environment


def annotated_with_streams(faceless_clip, output, *, shell: str) -> subprocess.CompletedProcess:
    """Runs `annotate` in a shell that closes or cuts its streams, and prints the exit status."""
    command = python_command("pipeline.commands.cli", "annotate", str(faceless_clip))
    script = f'"$@" --output "$0" {shell}; echo "status $?" >&3'
    arguments = ["bash", "-c", f"exec 3>&1; {script}", os.fsencode(output), *command]
    return subprocess.run(arguments, env=python_environment(), capture_output=True, timeout=300)


@pytest.mark.parametrize("shell", ["<&- >&- 2>&-", "2>/dev/full"])
def test_a_run_outlives_its_standard_streams(faceless_clip, tmp_path, shell):
    ended = annotated_with_streams(faceless_clip, tmp_path / "out", shell=shell)
    assert b"status 0" in ended.stdout, ended
    (row,) = pq.read_table(tmp_path / "out" / "videos").to_pylist()
    assert (row["status"], row["frames_decoded"]) == ("ok", 50)


def test_an_output_may_have_a_name_that_is_no_utf8(facetracks, talking_clip, tmp_path):
    output = tmp_path / "latin-\udce9"
    ended = facetracks("annotate", talking_clip, "--output", output)
    assert ended.status == 0, ended.err
    assert "latin-\\udce9/tracks" in ended.out
    with (output / "tracks" / "talking.mp4.parquet").open("rb") as file:
        assert pq.read_table(file).num_rows > 150
    assert json.loads((output / "run.json").read_bytes())["statuses"] == {"ok": 1}
    assert facetracks("annotate", talking_clip, "--output", output).status == 0


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "memory ran out, or a limit on it"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (RuntimeError("can't start new thread"), "can't start new thread"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "working folder does not exist"),
    ],
)
def test_what_a_disk_or_a_limit_causes_is_told_without_a_traceback(error, message):
    assert message in str(_fault_of_machine(error))


@pytest.mark.parametrize("error", [ValueError("x"), FileNotFoundError(2, "gone", "a.txt")])
def test_other_errors_are_bugs(error):
    assert _fault_of_machine(error) is None


def test_python_without_docstrings_is_refused(tmp_path):
    command = [*python_command("pipeline.commands.cli"), "annotate", "a.mp4", "-o", "out"]
    environment = python_environment() | {"PYTHONOPTIMIZE": "2"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr == "facetracks: Apache Beam needs docstrings: run without -OO\n"
