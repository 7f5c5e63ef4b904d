"""Processes started in a folder full of traps import nothing from it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from transforms.decoding.safe_python import python_command, python_environment

#: Modules of ours, of the standard library and of others, imported early and late.
TRAPS = (
    "models",
    "schemas",
    "transforms",
    "pipeline",
    "calendar",
    "typing",
    "av",
    "numpy",
    "torch",
)


@pytest.fixture()
def traps(tmp_path, monkeypatch) -> Path:
    """A working folder whose modules leave a mark when they are imported."""
    folder = tmp_path / "traps"
    for name in TRAPS:
        package = folder / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(
            f"open({str(folder / 'sprung')!r}, 'a').write({name!r})"
        )
    (folder / "sitecustomize.py").write_text(f"open({str(folder / 'sprung')!r}, 'a')")
    monkeypatch.chdir(folder)
    return folder


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("path", [None, "", ":", ".", f"relative{os.pathsep}"])
def test_a_module_runs_without_what_lies_in_the_current_folder(traps, monkeypatch, path):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if path is not None:
        monkeypatch.setenv("PYTHONPATH", path)
    ended = run(python_command("transforms.decoding.safe_python"), python_environment())
    assert ended.returncode == 0, ended.stderr
    assert not (traps / "sprung").exists()


def test_absolute_entries_of_pythonpath_stay_in_their_order(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/b", ".", "", "/a"]))
    environment = python_environment(OMP_NUM_THREADS="1")
    assert environment["PYTHONPATH"].split(os.pathsep)[:2] == ["/b", "/a"]
    assert not any(entry in ("", ".") for entry in environment["PYTHONPATH"].split(os.pathsep))
    assert environment["OMP_NUM_THREADS"] == "1"


def test_videos_are_annotated_from_a_folder_full_of_traps(traps, talking_clip, tmp_path):
    output = tmp_path / "out"
    command = python_command(
        "pipeline.commands.cli", "annotate", str(talking_clip), "--output", str(output)
    )
    ended = run(command, python_environment())
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 videos: 1 ok" in ended.stdout
    assert not (traps / "sprung").exists()


def test_workers_of_data_loaders_start_with_the_command_s_safe_path(traps):
    """`multiprocessing` starts Python with `-c`, which searches the working folder first."""
    code = "from pipeline.commands.cli import main; import os, subprocess, sys\n"
    code += "try: main(['--help'])\nexcept SystemExit: pass\n"
    code += "subprocess.run([sys.executable, '-c', 'import calendar'], check=True)\n"
    ended = run([sys.executable, "-P", "-c", code], python_environment() | {"PYTHONSAFEPATH": ""})
    assert ended.returncode == 0, ended.stderr
    assert not (traps / "sprung").exists()
