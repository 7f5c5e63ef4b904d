import dataclasses

import numpy as np
import pytest
import safetensors.numpy
from stabilizer_cases import make_filter, make_smoother

from models.stabilization.weights import (
    DEFAULT_STABILIZER_WEIGHTS,
    StabilizerWeights,
    load_stabilizer_weights,
    save_stabilizer_weights,
)
from schemas.errors import WeightsError


def fitted():
    theta = make_filter()
    smoother = dataclasses.replace(make_smoother(), eigenvectors=theta.eigenvectors)
    return StabilizerWeights(theta, smoother, {"One-Euro": {"min_cutoff_hz": 2.0}}, "full", "sta")


def test_what_was_written_is_read(tmp_path):
    path, wrote = tmp_path / "s.safetensors", fitted()
    save_stabilizer_weights(path, wrote)
    got = load_stabilizer_weights(path)
    assert (got.baselines, got.covariance, got.stabilizer) == (wrote.baselines, "full", "sta")
    assert len(got.sha256) == 64
    assert np.array_equal(got.filter.prior, wrote.filter.prior)
    assert np.array_equal(got.filter.jitter, wrote.filter.jitter)
    assert np.array_equal(got.smoother.jitter, wrote.smoother.jitter)
    basis = got.filter.eigenvectors
    assert basis == pytest.approx(wrote.filter.eigenvectors, abs=1e-6)
    assert basis.T @ basis == pytest.approx(np.eye(136), abs=1e-12)


def test_a_file_of_the_format_before_has_one_noise_for_all_tracks(tmp_path):
    path = tmp_path / "s.safetensors"
    save_stabilizer_weights(path, fitted())
    tensors = safetensors.numpy.load_file(path)
    with safetensors.safe_open(str(path), framework="numpy") as file:
        card = file.metadata()["card"].replace("stabilizer weights 2", "stabilizer weights 1")
    del tensors["filter.jitter"]
    safetensors.numpy.save_file(tensors, path, {"card": card})
    got = load_stabilizer_weights(path).filter
    assert len(got.jitter) == 0
    assert np.array_equal(got.noise, fitted().filter.noise)


def test_the_file_that_ships_says_where_it_comes_from():
    got = load_stabilizer_weights(DEFAULT_STABILIZER_WEIGHTS)
    assert "stabilizer" in got.training
    assert "research" in got.licence
    card = DEFAULT_STABILIZER_WEIGHTS.with_suffix(".md").read_text()
    assert got.sha256 in card
    assert DEFAULT_STABILIZER_WEIGHTS.stat().st_size < 200_000


@pytest.mark.parametrize("damage", ["missing", "cut", "of a network"])
def test_a_file_that_is_something_else_is_told(tmp_path, damage):
    path = tmp_path / f"{damage}.safetensors"
    if damage == "cut":
        save_stabilizer_weights(path, fitted())
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "of a network":
        path.write_bytes((DEFAULT_STABILIZER_WEIGHTS.parent / "face_detector.safetensors")
                         .read_bytes())  # fmt: skip
    with pytest.raises(WeightsError, match=damage):
        load_stabilizer_weights(path)
