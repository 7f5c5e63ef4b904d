"""Readers of untrusted files raise only documented errors; a short round.

`python -m tests.fuzz.fuzz_readers` runs for a given time.
"""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.fuzz_readers import TARGETS, Target


# Files with more columns are long, and Hypothesis says so where it notes them.
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_readers_raise_what_they_document(target: Target, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")

    @settings(
        max_examples=100,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(target.contents)
    def check(content: bytes) -> None:
        with contextlib.suppress(target.allowed):
            target.read(content, folder)

    check()
