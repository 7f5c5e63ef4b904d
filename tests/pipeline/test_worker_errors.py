import pytest

from pipeline.worker_errors import raised_by_worker
from schemas.errors import DecodingError, HostError, WeightsError

TRACE = """Traceback (most recent call last):
  File "apache_beam/runners/common.py", line 1512, in process
  File "transforms/decode_windows.py", line 50, in process
    raise HostError("...")
schemas.errors.HostError: a decoding process cannot be started: exit status 1: HostError: x
and more [while running 'DecodeWindows/Decode']
"""


def test_the_last_error_of_ours_in_a_trace_is_found():
    error = raised_by_worker(RuntimeError(TRACE))
    assert type(error) is HostError
    told = "a decoding process cannot be started: exit status 1: HostError: x\nand more"
    assert str(error) == told


@pytest.mark.parametrize("kind", [HostError, WeightsError])
def test_an_error_that_was_kept_loses_the_step(kind):
    error = raised_by_worker(kind("no room [while running 'Decode']"))
    assert type(error) is kind
    assert str(error) == "no room"


def test_the_errors_of_others_are_none_of_ours():
    assert raised_by_worker(RuntimeError("KeyError: 'HostError: '")) is None
    assert raised_by_worker(RuntimeError("schemas.errors.DecodingError: x")) is None
    assert raised_by_worker(KeyError("x")) is None


def test_a_video_s_failure_is_no_error_of_the_run():
    """It belongs in a row; one that reaches this point is a bug and is raised unchanged."""
    assert raised_by_worker(DecodingError("no_frames", "x")) is None
