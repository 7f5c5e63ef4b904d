"""Closed or full streams, and names that are not UTF-8, do not break a run."""

from __future__ import annotations

import json
import os
import subprocess

import pyarrow.parquet as pq
import pytest

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
