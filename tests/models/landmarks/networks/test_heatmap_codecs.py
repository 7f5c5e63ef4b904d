"""Heatmap codecs: hand-computed offsets, exactness, symmetry, and maps without a landmark."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.landmarks.networks.heatmap_codecs import decode_heatmaps, encode_heatmaps
from schemas.choices import CODECS, GAUSSIAN_CODECS

_EXACT = ("fractional", "log_difference", "taylor")
_GRADIENTS = (*_EXACT, "soft_argmax")
_SIZES = st.tuples(st.integers(12, 40), st.integers(12, 40))
_SHARES = st.tuples(st.floats(0, 1), st.floats(0, 1))
_SIGMAS = st.floats(1.0, 4.0)


def _landmark(share: tuple[float, float], size: tuple[int, int]) -> torch.Tensor:
    """Anywhere from the outer edge of the first pixel to that of the last."""
    return torch.tensor([s * n - 0.5 for s, n in zip(share, size[::-1], strict=True)])


def test_encoding_by_hand() -> None:
    maps = encode_heatmaps(torch.tensor([[1.25, 2.0], [-3.0, 0.0]]), 4, 3, sigma_px=2.0)
    assert maps.shape == (2, 4, 3)
    assert maps[0, 2, 1].item() == pytest.approx(math.exp(-(0.25**2) / 8))
    assert maps[0, 3, 2].item() == pytest.approx(math.exp(-(0.75**2 + 1) / 8))
    assert maps[1, 1, 0].item() == pytest.approx(math.exp(-(9 + 1) / 8))


def test_encoding_has_gradients() -> None:
    landmarks = torch.tensor([[3.2, 4.1]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: encode_heatmaps(x, 8, 7), landmarks)


def test_offsets_by_hand() -> None:
    """Peak 8 at (2, 1); 4 to its left, 2 to its right, 1 above, 4 below; sigma^2 = 2."""
    heatmap = torch.full((4, 5), 0.5)
    heatmap[1, 2], heatmap[1, 1], heatmap[1, 3] = 8.0, 4.0, 2.0
    heatmap[0, 2], heatmap[2, 2] = 1.0, 4.0
    log2 = math.log(2)
    expected = {
        "argmax": (2.0, 1.0),
        "quarter": (1.75, 1.25),
        "fractional": (2 - 4 * log2 + 0.5, 1 - 2 * log2 + 0.5),
        "log_difference": (2 - log2, 1 + 2 * log2),
    }
    expected["fractional"] = (2 - 2.0, expected["fractional"][1])  # an offset is 2 px at most
    for codec, point in expected.items():
        decoded = decode_heatmaps(heatmap, codec, sigma_px=math.sqrt(2))
        assert decoded.tolist() == pytest.approx(point), codec


def test_the_fractional_codec_takes_the_opposite_neighbour_at_the_far_edge() -> None:
    heatmap = torch.full((3, 3), 0.1)
    heatmap[2, 2], heatmap[2, 1], heatmap[1, 2] = 1.0, math.exp(-1 / 4), math.exp(-1 / 2)
    decoded = decode_heatmaps(heatmap, "fractional", sigma_px=1.0)
    # z = 2 - (sigma^2 (ln h1 - ln h) + 1/2), with ln h1 - ln h of -1/4 and of -1/2
    assert decoded.tolist() == pytest.approx([1.75, 2.0])


def test_the_soft_argmax_is_the_mean_of_the_softmax() -> None:
    heatmap = torch.full((3, 4), -math.inf)
    heatmap[1, 0], heatmap[1, 3], heatmap[2, 3] = math.log(1.0), math.log(2.0), math.log(5.0)
    heatmap = heatmap.clamp(min=-1e4) + 7  # a constant changes nothing
    assert decode_heatmaps(heatmap, "soft_argmax").tolist() == pytest.approx([21 / 8, 13 / 8])


@settings(max_examples=80)
@given(size=_SIZES, share=_SHARES, sigma_px=_SIGMAS)
def test_gaussians_are_recovered_anywhere_in_the_map(
    size: tuple[int, int], share: tuple[float, float], sigma_px: float
) -> None:
    landmark = _landmark(share, size)
    heatmap = encode_heatmaps(landmark, *size, sigma_px)
    for codec in _EXACT:
        error = (decode_heatmaps(heatmap, codec, sigma_px) - landmark).abs().max()
        # A narrow peak on the outer edge of a corner has few pixels that a fit could use: 0.0303.
        assert error < (4e-2 if codec == "taylor" else 1e-3), codec
    assert (decode_heatmaps(heatmap, "argmax") - landmark).abs().max() <= 0.5 + 1e-4


@settings(max_examples=80)
@given(size=_SIZES, share=_SHARES, sigma_px=_SIGMAS, codec=st.sampled_from(CODECS))
def test_a_mirrored_map_gives_the_mirrored_landmark(
    size: tuple[int, int], share: tuple[float, float], sigma_px: float, codec: str
) -> None:
    # A centre just between two pixels has no one highest pixel.
    landmark = _landmark(share, size)
    landmark += 0.05 * ((landmark - landmark.floor() - 0.5).abs() < 0.02)
    heatmap = encode_heatmaps(landmark, *size, sigma_px)
    _assert_mirrored(heatmap, codec, sigma_px)


@settings(max_examples=50)
@given(seed=st.integers(0, 2**31), codec=st.sampled_from(sorted({*CODECS} - {"fractional"})))
def test_symmetric_codecs_mirror_noise_too(seed: int, codec: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    heatmap = torch.rand(3, 12, 15, generator=generator)
    _assert_mirrored(heatmap, codec, 2.0)


def _assert_mirrored(heatmap: torch.Tensor, codec: str, sigma_px: float) -> None:
    x, y = decode_heatmaps(heatmap, codec, sigma_px).unbind(-1)
    mirrored_x, same_y = decode_heatmaps(heatmap.flip(-1), codec, sigma_px).unbind(-1)
    torch.testing.assert_close(mirrored_x, heatmap.shape[-1] - 1 - x, rtol=0, atol=2e-3)
    torch.testing.assert_close(same_y, y, rtol=0, atol=2e-3)


@pytest.mark.parametrize("codec", CODECS)
def test_any_maps_give_finite_landmarks_in_reach(codec: str) -> None:
    torch.manual_seed(0)
    saturated = (4 * encode_heatmaps(torch.tensor([5.3, 6.1]), 12, 16)).clamp(max=1)
    one_pixel = torch.zeros(12, 16)
    one_pixel[3, 15] = 1.0
    infinite = torch.zeros(12, 16)
    infinite[2, 2], infinite[2, 3], infinite[5, 5] = math.inf, math.inf, -math.inf
    maps = [
        torch.zeros(12, 16),
        torch.ones(12, 16),
        torch.full((12, 16), -1.0),
        torch.randn(12, 16) - 5,
        torch.full((12, 16), math.nan),
        torch.full((12, 16), 1e38),
        1e-30 * torch.rand(12, 16),
        saturated,
        one_pixel,
        infinite,
    ]
    stacked = torch.stack(maps).requires_grad_()
    decoded = decode_heatmaps(stacked, codec)
    assert decoded.isfinite().all()
    assert (decoded >= -2).all()
    assert (decoded <= torch.tensor([17, 13])).all()
    if decoded.requires_grad and codec in _GRADIENTS:
        decoded.sum().backward()
        assert not stacked.grad.isnan().any()  # type: ignore[union-attr]


@pytest.mark.parametrize("codec", _GRADIENTS)
def test_offsets_have_gradients(codec: str) -> None:
    heatmap = encode_heatmaps(torch.tensor([[6.3, 5.8]], dtype=torch.float64), 12, 13, 2.0)
    heatmap.requires_grad_()
    assert torch.autograd.gradcheck(lambda h: decode_heatmaps(h, codec, 2.0), heatmap)
    assert heatmap.grad is None
    decode_heatmaps(heatmap, codec, 2.0).sum().backward()
    assert heatmap.grad.abs().max() > 0.02  # type: ignore[union-attr]


@pytest.mark.parametrize("codec", CODECS)
def test_batches_and_half_precision(codec: str) -> None:
    landmarks = torch.tensor([[[3.0, 4.5], [10.2, 7.7]], [[0.1, 11.2], [8.8, 0.3]]])
    maps = encode_heatmaps(landmarks, 12, 14, 2.0)
    together = decode_heatmaps(maps, codec, 2.0)
    assert together.shape == (2, 2, 2)
    for i in range(2):
        for j in range(2):
            torch.testing.assert_close(decode_heatmaps(maps[i, j], codec, 2.0), together[i, j])
    half = decode_heatmaps(maps.bfloat16(), codec, 2.0)
    assert half.dtype == torch.float32
    expected = landmarks if codec in GAUSSIAN_CODECS else together
    assert (half - expected).abs().max() < 0.6
    assert decode_heatmaps(maps[:0], codec, 2.0).shape == (0, 2, 2)


def test_what_cannot_be_decoded() -> None:
    with pytest.raises(ValueError, match="codec: got 'softmax', expected one of argmax, quarter"):
        decode_heatmaps(torch.zeros(4, 4), "softmax")
    with pytest.raises(ValueError, match=r"heatmaps: got shape \(2, 64\), expected 3x3 px"):
        decode_heatmaps(torch.zeros(2, 64))
