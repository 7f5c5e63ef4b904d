"""Two concurrent runs on one output: one refuses, or both give the right output, unmixed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from annotate_process import AnnotateProcess, annotate
from output_tables import assert_same_output, leftovers

pytestmark = pytest.mark.long

OPTIONS = (
    "--segment-seconds", 1, "--workers", 1, "--batch-windows", 32, "--device", "cpu",
)  # fmt: skip
BUCKET = Path(__file__).with_name("bucket_annotate.py")


@pytest.fixture(scope="module")
def reference(talking_clip, tmp_path_factory) -> Path:
    """The output of a single run on the clip."""
    output = tmp_path_factory.mktemp("alone") / "out"
    with annotate(talking_clip, "--output", output, *OPTIONS) as run:
        assert run.ended().status == 0, run.ended().err
    return output


def decodes(run: AnnotateProcess):
    """Whether the run has begun to decode."""
    return lambda: run.decoded()


def test_the_second_run_refuses_and_the_first_is_not_disturbed(talking_clip, reference, tmp_path):
    output = tmp_path / "out"
    with annotate(talking_clip, "--output", output, *OPTIONS) as first:
        first.wait_for(decodes(first))
        with first.paused(), annotate(talking_clip, "--output", output, *OPTIONS) as second:
            refused = second.ended()
            assert second.decoded() == []
        ended = first.ended()
    assert refused.status == 2
    assert f"{output}: another run is writing there; wait for it to end" in refused.err
    assert "Traceback" not in refused.err
    assert ended.status == 0, ended.err
    assert_same_output(reference, output)
    assert leftovers(output) == []


def test_two_runs_that_start_together(talking_clip, reference, tmp_path):
    output = tmp_path / "out"
    with (
        annotate(talking_clip, "--output", output, *OPTIONS) as one,
        annotate(talking_clip, "--output", output, *OPTIONS) as other,
    ):
        ended = sorted([one.ended(), other.ended()])
    assert [e.status for e in ended] in ([0, 2], [0, 0]), [e.err for e in ended]
    assert_same_output(reference, output)
    assert leftovers(output) == []


def test_the_lock_of_a_killed_run_does_not_block(talking_clip, reference, tmp_path):
    output = tmp_path / "out"
    with annotate(talking_clip, "--output", output, *OPTIONS) as first:
        first.wait_for(decodes(first))
        first.kill()
    assert (output / ".lock").exists()
    with annotate(talking_clip, "--output", output, *OPTIONS) as second:
        assert second.ended().status == 0, second.ended().err
    assert_same_output(reference, output)
    assert leftovers(output) == []


@pytest.mark.parametrize("later_seconds", [0, 4, 8])
def test_two_runs_on_an_object_store(talking_clip, reference, tmp_path, later_seconds):
    output = tmp_path / "bucket"
    command = (talking_clip, "--output", f"bucket://{output}", *OPTIONS)
    with annotate(*command, launcher=BUCKET) as one:
        time.sleep(later_seconds)
        with annotate(*command, launcher=BUCKET) as other:
            ended = sorted([one.ended(), other.ended()])
    assert [e.status for e in ended] in ([0, 2], [0, 0]), [e.err for e in ended]
    assert_same_output(reference, output)
    assert leftovers(output) == []


def test_a_killed_run_on_an_object_store_is_gone_on_with(talking_clip, reference, tmp_path):
    output = tmp_path / "bucket"
    command = (talking_clip, "--output", f"bucket://{output}", *OPTIONS)
    with annotate(*command, launcher=BUCKET) as first:
        first.wait_for(lambda: list(output.glob(".staging/*/landmarks-*")))
        first.kill()
        saved = list(output.glob(".staging/*/landmarks-*"))
    with annotate(*command, launcher=BUCKET) as second:
        assert second.ended().status == 0, second.ended().err
        assert not {part for _, part in second.decoded()} & {part.name for part in saved}
    assert_same_output(reference, output)
    assert leftovers(output) == []
