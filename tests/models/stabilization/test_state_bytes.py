"""The state of a track between two bundles: small, and without effect on the result."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from models.stabilization.stabilizers import stabilizer_factory, stabilizer_parameters
from models.stabilization.state_bytes import state_from_bytes, state_to_bytes
from schemas.choices import STABILIZERS

FRAMES = 150
#: Held frames and speeds are most of it; parameters would be 148 kB more.
MAX_BYTES = {"none": 100, "one-euro": 3_000, "sta": 8_000, "rts": 185_000, "sta-offline": 232_000}


def frames() -> np.ndarray:
    """(T, 68, 2) landmarks that drift and jitter."""
    random = np.random.default_rng(5)
    middle = np.cumsum(random.normal(0, 0.5, (FRAMES, 1, 2)), axis=0)
    shape = random.uniform(0, 100, (68, 2))
    return shape + middle + random.normal(0, 0.3, (FRAMES, 68, 2))


@pytest.mark.parametrize("name", STABILIZERS)
def test_a_state_has_no_parameters_and_goes_on_as_if_it_had_never_been_bytes(name):
    parameters = stabilizer_parameters(name)
    kept, straight = stabilizer_factory(name)(), stabilizer_factory(name)()
    got, expected = [], []
    for number, frame in enumerate(frames()):
        if number % 40 == 39:
            content = state_to_bytes({"track": kept, "again": kept}, parameters)
            assert len(content) <= MAX_BYTES[name]
            read = state_from_bytes(content, parameters)
            assert read["track"] is read["again"]
            kept = read["track"]
        got += kept.push(number / 25, frame)
        expected += straight.push(number / 25, frame)
    got, expected = [*got, *kept.flush()], [*expected, *straight.flush()]
    assert len(got) == FRAMES
    assert np.array_equal(got, expected)


def test_parameters_that_are_not_shared_travel_along():
    (smoother, _) = stabilizer_parameters("rts")
    track = stabilizer_factory("rts")()
    assert len(state_to_bytes(track, [])) > smoother.eigenvectors.nbytes
    read = state_from_bytes(state_to_bytes(track, []), [])
    assert np.array_equal(read.parameters.eigenvectors, smoother.eigenvectors)


def test_a_state_is_not_read_without_its_parameters():
    content = state_to_bytes(stabilizer_factory("rts")(), stabilizer_parameters("rts"))
    with pytest.raises((IndexError, pickle.UnpicklingError)):
        state_from_bytes(content, [])
