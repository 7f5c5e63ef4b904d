"""Peak memory does not grow with a video's length."""

import os

import pytest

from tests.benchmarks import memory

pytestmark = pytest.mark.long

MINUTES = os.environ.get("FACETRACKS_MEMORY_MINUTES", "3 10 60").split()


def test_the_same_clip_looped_needs_no_more_memory(capsys):
    with capsys.disabled():
        assert memory.main(["--minutes", *MINUTES, "--device", "cpu"]) == 0
