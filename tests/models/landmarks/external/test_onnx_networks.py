"""External networks, in ONNX with a card: their predictions."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from models.landmarks.external.layouts import LAYOUTS
from models.landmarks.model import load_landmark_model
from models.landmarks.networks.heatmap_codecs import encode_heatmaps
from models.landmarks.networks.unet import UNet
from models.landmarks.torch_model import TorchLandmarkModel
from schemas.errors import WeightsError
from tests.models.landmarks.external.onnx_models import (
    CARD,
    POINTS,
    SIZE,
    constant,
    mean_plus,
    mean_plus_nodes,
    model_of,
    random_crops,
    saved,
    single_frames,
)


def _means(crops: np.ndarray) -> np.ndarray:
    """(N, 1, 1) of the normalized pixels: the card says mean 127 and standard deviation 64."""
    return ((crops.astype(np.float64) - 127) / 64).mean((1, 2, 3))[:, None, None]


@pytest.mark.parametrize(
    ("output", "in_crop_px"),
    [
        ("crop_px", lambda x: x),
        ("zero_to_one", lambda x: x * SIZE - 0.5),
        ("crop_units", lambda x: (x + 0.5) * SIZE - 0.5),
    ],
)
def test_coordinates_in_every_unit(tmp_path: Path, output, in_crop_px) -> None:
    path = saved(tmp_path, mean_plus(POINTS), output=output, licence="mine")
    model = load_landmark_model(path)
    assert (model.card.network, model.card.licence, model.card.crop_scale) == (
        *("external", "mine"),
        1.25,
    )
    crops = random_crops()
    points, spread = model.predict_with_spread(crops, single_frames(5))
    np.testing.assert_allclose(points, in_crop_px(POINTS + _means(crops)), atol=1e-4)
    assert np.isnan(spread).all()
    assert points.dtype == spread.dtype == np.float32


@pytest.mark.parametrize(
    "shape", [(1, 136), (1, 68, 3), (1, 204), (1, 1, 1, 204)], ids=lambda s: "x".join(map(str, s))
)
def test_coordinates_in_every_shape(tmp_path: Path, shape) -> None:
    points = POINTS
    if shape[-1] in (3, 204):  # with z
        points = np.concatenate([POINTS, np.full((1, 68, 1), 99, np.float32)], -1)
    model = load_landmark_model(saved(tmp_path, mean_plus(points.reshape(shape))))
    crops = random_crops()
    np.testing.assert_allclose(
        model.predict(crops, single_frames(5)), POINTS + _means(crops), atol=1e-4
    )


@pytest.mark.parametrize("batch", [1, 4])
def test_a_fixed_batch_and_channels_last_and_half_precision(tmp_path: Path, batch) -> None:
    shape = (batch, SIZE, SIZE, 3)
    half = model_of(
        [
            helper.make_node("Cast", ["crops"], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["wide"], ["mean"], axes=[1, 2, 3], keepdims=1),
            helper.make_node("Squeeze", ["mean", "last"], ["column"]),
            helper.make_node("Add", ["column", "at"], ["points"]),
        ],
        [constant("last", [3], np.int64), constant("at", np.repeat(POINTS, batch, axis=0))],
        shape_in=shape,
        type_in=TensorProto.FLOAT16,
    )
    model = load_landmark_model(saved(tmp_path, half))
    crops = random_crops()
    found = model.predict(crops, single_frames(5))
    np.testing.assert_allclose(found, POINTS + _means(crops), atol=2e-3)


def test_colours_of_a_network_that_takes_bgr(tmp_path: Path) -> None:
    """Its points are the mean of its first channel, which is blue."""
    first = model_of(
        [
            helper.make_node("Gather", ["crops", "zero"], ["first"], axis=1),
            helper.make_node("ReduceMean", ["first"], ["mean"], axes=[1, 2], keepdims=0),
            helper.make_node("Reshape", ["mean", "shape"], ["column"]),
            helper.make_node("Add", ["column", "at"], ["points"]),
        ],
        [
            constant("zero", 0, np.int64),
            constant("shape", [-1, 1, 1], np.int64),
            constant("at", np.zeros((1, 68, 2))),
        ],
    )
    crops = random_crops(2)
    for color, channel in (("RGB", 0), ("BGR", 2)):
        found = load_landmark_model(saved(tmp_path, first, color=color)).predict(
            crops, single_frames(2)
        )
        expected = ((crops[..., channel].astype(float) - 127) / 64).mean((1, 2))
        np.testing.assert_allclose(found[:, 5, 1], expected, atol=1e-4)


def test_windows_of_three_frames(tmp_path: Path) -> None:
    """The mean of the last frame less that of the first."""
    ends = model_of(
        [
            helper.make_node("ReduceMean", ["crops"], ["means"], axes=[2, 3, 4], keepdims=0),
            helper.make_node("Gather", ["means", "first"], ["a"], axis=1),
            helper.make_node("Gather", ["means", "last"], ["b"], axis=1),
            helper.make_node("Sub", ["b", "a"], ["moved"]),
            helper.make_node("Add", ["moved", "zeros"], ["points"]),
        ],
        [
            constant("first", [0], np.int64),
            constant("last", [2], np.int64),
            constant("zeros", np.zeros((1, 136))),
        ],
        shape_in=("batch", 3, 3, SIZE, SIZE),
    )
    model = load_landmark_model(saved(tmp_path, ends, window_frames=3))
    crops, windows = random_crops(4), np.array([[0, 1, 2], [1, 2, 3], [0, 0, 0]])
    means = _means(crops)
    expected = means[windows[:, 2]] - means[windows[:, 0]]
    np.testing.assert_allclose(
        model.predict(crops, windows), np.broadcast_to(expected, (3, 68, 2)), atol=1e-5
    )


def _heatmaps(layout: str, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (1, L, 2) in crop pixels, and their maps (1, L, h, w)."""
    count, side = LAYOUTS[layout].count, SIZE // stride
    inside = np.random.default_rng(2).uniform(4, side - 5, (1, count, 2)).astype(np.float32)
    maps = encode_heatmaps(torch.from_numpy(inside), side, side, 1.0)
    return (inside + 0.5) * stride - 0.5, maps.numpy()


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_heatmaps_of_every_layout(tmp_path: Path, layout) -> None:
    points, maps = _heatmaps(layout, stride=2)
    path = saved(
        tmp_path,
        model_of(
            [
                helper.make_node("Shape", ["crops"], ["shape"]),
                helper.make_node("Slice", ["shape", "zero", "one"], ["batch"]),
                helper.make_node("Concat", ["batch", "rest"], ["wide"], axis=0),
                helper.make_node("Expand", ["maps", "wide"], ["points"]),
            ],
            [
                constant("maps", maps),
                *(constant("zero", [0], np.int64), constant("one", [1], np.int64)),
                constant("rest", maps.shape[1:], np.int64),
            ],
        ),
        output="heatmaps",
        heatmap_stride=2,
        landmark_layout=layout,
        sigma_px=1.0,
    )
    model = load_landmark_model(path)
    expected = LAYOUTS[layout].to_ibug68(torch.from_numpy(points), torch.from_numpy(points[..., 0]))
    found = model.predict(random_crops(3), single_frames(3))
    assert found.shape == (3, 68, 2)
    np.testing.assert_allclose(found, expected[..., :2].expand(3, -1, -1), atol=0.02)
    assert model.makes_heatmaps
    whole = model.read_by("argmax").predict(random_crops(1), single_frames(1))[0, 8]
    assert ((whole + 0.5) / 2 - 0.5 == np.rint((whole + 0.5) / 2 - 0.5)).all()


def _with_spread(spread: np.ndarray) -> onnx.ModelProto:
    points, spreads = mean_plus_nodes("points", POINTS), mean_plus_nodes("spread", spread)
    return model_of(points[0] + spreads[0], points[1] + spreads[1], outputs=("points", "spread"))


@pytest.mark.parametrize(("output", "scale"), [("crop_px", 1), ("zero_to_one", SIZE)])
def test_spread_is_a_second_output(tmp_path: Path, output, scale) -> None:
    given = np.linspace(1, 2, 68, dtype=np.float32)[None]
    given[0, 7] = -50.0
    path = saved(tmp_path, _with_spread(given), output=output, spread_output="spread")
    crops = random_crops()
    spread = load_landmark_model(path).predict_with_spread(crops, single_frames(5))[1]
    expected = (given + _means(crops)[:, 0]) * scale
    expected[:, 7] = np.nan  # a distance is not below 0
    np.testing.assert_allclose(spread, expected, rtol=1e-5)


def test_which_output_is_which_must_be_said(tmp_path: Path) -> None:
    model = _with_spread(np.ones((1, 68), np.float32))
    with pytest.raises(WeightsError, match="outputs are points, spread, but landmarks_output"):
        load_landmark_model(saved(tmp_path, model))
    load_landmark_model(saved(tmp_path, model, landmarks_output="points"))
    with pytest.raises(WeightsError, match="spread_output of the card is 'sigma'"):
        load_landmark_model(
            saved(tmp_path, model, landmarks_output="points", spread_output="sigma")
        )
    wrong = mean_plus_nodes("points", POINTS), mean_plus_nodes("spread", POINTS)
    nodes, constants = (list(wrong[0][i]) + list(wrong[1][i]) for i in (0, 1))
    model = model_of(nodes, constants, outputs=("points", "spread"))
    with pytest.raises(WeightsError, match=r"its spread_output is \(1, 68, 2\), .* \(1, 68\)"):
        load_landmark_model(saved(tmp_path, model, spread_output="spread"))


def test_points_that_are_not_finite_are_missing(tmp_path: Path) -> None:
    """Its points are the square root of a pixel: NaN for pixels below the mean."""
    root = model_of(
        [
            helper.make_node("ReduceMean", ["crops"], ["mean"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Reshape", ["mean", "shape"], ["column"]),
            helper.make_node("Add", ["column", "at"], ["sum"]),
            helper.make_node("Sqrt", ["sum"], ["points"]),
        ],
        [constant("shape", [-1, 1, 1], np.int64), constant("at", np.full((1, 68, 2), 1.9))],
    )
    crops = np.stack([np.full((SIZE, SIZE, 3), value, np.uint8) for value in (0, 255)])
    found, spread = load_landmark_model(saved(tmp_path, root)).predict_with_spread(
        crops, single_frames(2)
    )
    assert np.isnan(found[0]).all()
    assert np.isnan(spread[0]).all()
    assert np.isfinite(found[1]).all()


class _Decoded(nn.Module):
    """Our U-net with its decoding: coordinates of 0 to 1, and the spread in the same unit."""

    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        places, log_spreads = self.network(crops).chunk(2, dim=1)
        share = places.flatten(2).softmax(-1)  # (B, L, h w)
        side = places.shape[-1]
        grid = (torch.arange(side) + 0.5) / side
        x, y = grid.repeat(side), grid.repeat_interleave(side)
        points = torch.stack([(share * x).sum(-1), (share * y).sum(-1)], dim=-1)
        return points, (share * log_spreads.flatten(2)).sum(-1).exp()


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch.export's own
def test_a_network_of_ours_gives_the_same_through_onnx(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = UNet(channels=(4, 4, 8, 8, 8), crop_size_px=64).eval()
    path = tmp_path / "unet.onnx"
    torch.onnx.export(
        _Decoded(network).eval(),
        (torch.zeros(2, 3, 64, 64),),
        path,
        input_names=["crops"],
        output_names=["points", "spread"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
    )
    card = CARD | {
        "crop_size_px": 64,
        "output": "zero_to_one",
        "spread_output": "spread",
        "pixel_mean_rgb": [127, 109, 101],
        "pixel_std_rgb": [69, 63, 64],
    }
    path.with_suffix(".json").write_text(json.dumps(card))
    theirs = load_landmark_model(path)
    ours = TorchLandmarkModel(
        network,
        type(theirs.card)(network="unet", crop_size_px=64, window_frames=1, codec="soft_argmax"),
    )
    crops = random_crops(7, 64)
    for found, expected in zip(
        theirs.predict_with_spread(crops, single_frames(7)),
        ours.predict_with_spread(crops, single_frames(7)),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)
