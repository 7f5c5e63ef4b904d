"""One decoding child per test module: its start costs more than the decoding."""

from collections.abc import Iterator

import pytest

from transforms.decoding.child_pool import kept_children


@pytest.fixture(scope="module", autouse=True)
def shared_children() -> Iterator[None]:
    with kept_children():
        yield
