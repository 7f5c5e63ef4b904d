"""The table of codecs: the errors show the strength of each codec."""

import pytest
import torch

from models.landmarks.evaluation.codec_errors import (
    DISTURBANCES,
    Disturbance,
    codec_errors_px,
    disturbed_heatmaps,
)


def test_heatmaps_are_gaussians_about_their_landmarks() -> None:
    heatmaps, landmarks = disturbed_heatmaps(Disturbance("none"), count=3, size_px=16, seed=1)
    assert heatmaps.shape == (3, 16, 16)
    x, y = landmarks[1].tolist()
    expected = torch.exp(torch.tensor(-((5 - x) ** 2 + (7 - y) ** 2) / 18))
    assert heatmaps[1, 7, 5].item() == pytest.approx(expected.item(), rel=1e-4)


def test_noise_has_the_deviation_that_the_blur_leaves() -> None:
    disturbance = Disturbance("noise", noise=0.1)
    noisy, landmarks = disturbed_heatmaps(disturbance, count=40, size_px=32, seed=1)
    clean, same = disturbed_heatmaps(Disturbance("none"), count=40, size_px=32, seed=1)
    assert torch.equal(landmarks, same)
    # A Gaussian of 0.7 px, sampled: the root of the sum of its squares is 0.407 along an axis.
    assert (noisy - clean).std().item() == pytest.approx(0.1 * 0.41, rel=0.05)


def test_errors_without_disturbance_are_those_of_whole_pixels_or_none() -> None:
    errors = codec_errors_px(DISTURBANCES[0], count=2000)
    assert errors["argmax"] == pytest.approx(0.3826, abs=0.01)  # mean distance in a unit square
    for codec in ("fractional", "log_difference", "taylor"):
        assert errors[codec] < 1e-3


@pytest.mark.parametrize("disturbance", DISTURBANCES[1:], ids=lambda d: d.name)
def test_the_second_order_wins_under_every_disturbance(disturbance: Disturbance) -> None:
    errors = codec_errors_px(disturbance, count=400)
    assert min(errors, key=errors.__getitem__) == "taylor"
    assert errors["taylor"] < 0.1
