"""One decoding child for the tests of a module: starting it costs more than what they decode."""

from collections.abc import Iterator

import pytest

from transforms.decoding.child_pool import kept_children


@pytest.fixture(scope="module", autouse=True)
def shared_children() -> Iterator[None]:
    with kept_children():
        yield
