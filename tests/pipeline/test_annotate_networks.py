"""`facetracks annotate --weights F` with networks of every kind, end to end."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from models.landmarks.card import LandmarkCard
from models.landmarks.torch_model import save_landmark_weights
from tests.models.landmarks.external.onnx_models import SIZE, mean_plus, saved

FRAMES = 50


@pytest.fixture(scope="module")
def boxed(tmp_path_factory, faceless_clip) -> Path:
    """A manifest of a clip with given boxes: one face near (40, 30)."""
    folder = tmp_path_factory.mktemp("boxed_networks")
    rows = [f"{frame},20,10,60,50" for frame in range(FRAMES)]
    (folder / "boxes.csv").write_text("\n".join(["frame_index,x0,y0,x1,y1", *rows]))
    path = folder / "boxed.jsonl"
    path.write_text(json.dumps({"uri": str(faceless_clip), "boxes": "boxes.csv"}))
    return path


def annotated(
    facetracks, boxed: Path, output: Path, weights: Path | str, *options: str
) -> np.ndarray:
    """Raw landmarks (T, 68, 2) of the one track."""
    ended = facetracks(
        "annotate", boxed, "--output", output, "--weights", weights, "--device", "cpu",
        "--workers", 1, *options,
    )  # fmt: skip
    assert ended.status == 0, ended.out + ended.err
    (file,) = (output / "tracks").iterdir()
    table = pq.read_table(file)
    columns = [np.stack(table[name].to_numpy(zero_copy_only=False)) for name in ("x_raw", "y_raw")]
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("name", ["2drnn", "3dfcrnn", "hourglass"])
def test_networks_of_the_papers(facetracks, boxed, tmp_path, name) -> None:
    torch.manual_seed(0)
    small = {"stacks": 1, "features": 8} if name == "hourglass" else {}
    card = LandmarkCard(network=name, settings=small, crop_size_px=64 if small else 32)
    weights = tmp_path / f"{name}.safetensors"
    save_landmark_weights(weights, card.build_network(), card)
    points = annotated(facetracks, boxed, tmp_path / "out", weights)
    assert points.shape == (FRAMES, 68, 2)
    assert np.isfinite(points).all()
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["config"]["network"] == name


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_shorter_numbers(facetracks, boxed, tmp_path, precision: str) -> None:
    full = annotated(facetracks, boxed, tmp_path / "full", "default")
    output = tmp_path / "short"
    short = annotated(facetracks, boxed, output, "default", "--precision", precision)
    assert 0 < np.abs(short - full).mean() < 0.5
    assert json.loads((output / "run.json").read_text())["config"]["precision"] == precision
    again = facetracks("annotate", boxed, "--output", output, "--device", "cpu")
    assert again.status == 2
    assert f"precision: '{precision}' there, 'float32' now" in again.err


def test_int8_of_a_network_that_has_none(facetracks, boxed, tmp_path) -> None:
    weights = tmp_path / "2d.safetensors"
    card = LandmarkCard(network="2d", window_frames=3)
    save_landmark_weights(weights, card.build_network(), card)
    command = ("annotate", boxed, "--output", tmp_path / "out", "--weights", weights)
    refused = facetracks(*command, "--precision", "int8")
    assert refused.status == 2
    assert "2d.safetensors: int8 is for U-nets read by soft-argmax" in refused.err


def test_a_network_from_elsewhere(facetracks, boxed, tmp_path) -> None:
    """It puts all 98 landmarks in the middle of the crop, which is the middle of the box."""
    middle = mean_plus(np.full((1, 196), SIZE / 2 - 0.5, np.float32))
    card = {"landmark_layout": "wflw98", "crop_scale": 1.0, "pixel_std_rgb": [1e9] * 3}
    weights = saved(tmp_path, middle, **card)
    points = annotated(facetracks, boxed, tmp_path / "out", weights)
    np.testing.assert_allclose(points, np.broadcast_to([40, 30], (FRAMES, 68, 2)), atol=1e-3)
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["config"]["network"] == "external"
    command = ("annotate", boxed, "--output", tmp_path / "half", "--weights", weights)
    refused = facetracks(*command, "--precision", "bfloat16")
    assert refused.status == 2
    assert "external networks run in the form they were saved in" in refused.err


def test_a_wrong_network_is_wrong_usage(facetracks, boxed, tmp_path) -> None:
    command = ("annotate", boxed, "--output", tmp_path / "out", "--weights")
    ended = facetracks(*command, saved(tmp_path, b"", crop_scale=None))
    assert ended.status == 2
    assert "network.json: lacks 'crop_scale'" in ended.err
    ended = facetracks(*command, saved(tmp_path, b"nothing"))
    assert ended.status == 2
    assert "network.onnx: not an ONNX model" in ended.err
