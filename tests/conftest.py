"""Shared fixtures: the real data where it is there, and small clips made on the spot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real videos and labelled faces; only for tests marked `realdata`."""
    return _SHARED_DATA


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without the real data its tests are skipped, except in CI, where it must be there."""
    if _SHARED_DATA.is_dir():
        return
    wanting = [item for item in items if item.get_closest_marker("realdata")]
    if wanting and os.environ.get("CI"):
        raise pytest.UsageError(f"{_SHARED_DATA} is missing, and CI must run the realdata tests")
    for item in wanting:
        item.add_marker(pytest.mark.skip(reason=f"needs real data in {_SHARED_DATA}"))
