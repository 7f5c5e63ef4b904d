"""Full and read-only disks: the run ends with a clear message, and resumes when there is space."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from annotate_process import Ended, annotate
from output_tables import assert_same_output, leftovers

pytestmark = pytest.mark.long

OPTIONS = (
    "--segment-seconds", 1, "--workers", 1, "--batch-windows", 32, "--device", "cpu",
)  # fmt: skip
_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE = 24, 1


@pytest.fixture(scope="module")
def reference(talking_clip, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("roomy") / "out"
    with annotate(talking_clip, "--output", output, *OPTIONS) as run:
        assert run.ended().status == 0, run.ended().err
    return output


@pytest.fixture()
def small_disk(tmp_path) -> Iterator[Path]:
    """A separate disk; `resize` sets its size."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", folder], check=True)


def resize(folder: Path, kilobytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", folder], check=True)


def check_broke_clearly(ended: Ended, output: Path, *words: str) -> None:
    """Exit status 1 or 2, one line with the reason, and no partial file."""
    assert ended.status in (1, 2), ended.err
    last = ended.err.strip().splitlines()[-1]
    assert last.startswith("facetracks: "), ended.err
    assert any(word in last for word in words), last
    assert str(output) in last, last
    assert "Traceback" not in ended.err, ended.err
    assert not list(output.rglob(".facetracks-*"))


def check_completes(clip: Path, reference: Path, output: Path) -> None:
    """With space, the same command gives the output of an undisturbed run."""
    with annotate(clip, "--output", output, *OPTIONS) as run:
        assert run.ended().status == 0, run.ended().err
    assert_same_output(reference, output)
    assert leftovers(output) == []


@pytest.mark.parametrize("kilobytes", [48, 160])
def test_a_disk_that_is_full(talking_clip, reference, small_disk, kilobytes):
    resize(small_disk, kilobytes)
    output = small_disk / "out"
    with annotate(talking_clip, "--output", output, *OPTIONS) as run:
        check_broke_clearly(run.ended(), output, "No space left on device")
    resize(small_disk, 64_000)
    check_completes(talking_clip, reference, output)


def test_files_that_may_not_grow(talking_clip, reference, tmp_path):
    output = tmp_path / "out"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    with annotate(talking_clip, "--output", output, *OPTIONS, prepare=limit) as run:
        check_broke_clearly(run.ended(), output, "File too large")
    check_completes(talking_clip, reference, output)


def test_an_output_that_turns_read_only(talking_clip, reference, tmp_path):
    output = tmp_path / "out"
    with annotate(talking_clip, "--output", output, *OPTIONS, prepare=give_up_override) as run:
        run.wait_for(lambda: list(output.glob(".staging/*/landmarks-*")))
        folders = [output, *(p for p in output.rglob("*") if p.is_dir())]
        for folder in folders:
            folder.chmod(0o555)
        ended = run.ended()
    for folder in folders:
        folder.chmod(0o755)
    check_broke_clearly(ended, output, "Permission denied")
    check_completes(talking_clip, reference, output)


def test_an_output_that_is_read_only_from_the_start(talking_clip, tmp_path):
    output = tmp_path / "out"
    output.mkdir(mode=0o555)
    with annotate(talking_clip, "--output", output, *OPTIONS, prepare=give_up_override) as run:
        ended = run.ended()
        assert run.decoded() == []
    assert ended.status == 2
    assert f"output {output} cannot be written" in ended.err
    assert list(output.iterdir()) == []


def give_up_override() -> None:
    """Drops the capability to override file permissions, so that root is refused too."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0)
