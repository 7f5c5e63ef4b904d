"""Networks from elsewhere: exported programs and TorchScript with a card, and what is refused."""

import io
import json
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.landmarks.external.external_model import EXTERNAL_FORMAT
from models.landmarks.model import LandmarkModel, load_landmark_model
from models.landmarks.networks.construction import build_network
from schemas.errors import WeightsError

SIZE = 32
CARD = {
    "format": EXTERNAL_FORMAT,
    "crop_size_px": SIZE,
    "output": "crop_px",
    "landmark_layout": "ibug68",
    "pixel_mean_rgb": [127, 127, 127],
    "pixel_std_rgb": [64, 64, 64],
    "crop_scale": 1.25,
}


class Points(nn.Module):
    """(B, 3, 32, 32) to (B, 68, 2); uses the batch size, as exported code often does."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.output = nn.Linear(8 * 4, 136)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.relu(self.norm(self.convolution(x)))
        x = nn.functional.adaptive_avg_pool2d(x, 2)
        return self.output(x.view(x.shape[0], -1)).view(x.shape[0], 68, 2)


class Heat(nn.Module):
    """(B, 3, 3, 32, 32) windows to heatmaps (B, 68, 16, 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(9, 68, 3, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.convolution(x.flatten(1, 2))


def export(network: nn.Module, path: Path, example: torch.Tensor) -> None:
    batch = torch.export.Dim("batch")
    program = torch.export.export(
        network.eval(), (example,), dynamic_shapes=({0: batch},), strict=False
    )
    torch.export.save(program, path)


def script(network: nn.Module, path: Path, example: torch.Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(network.eval()), path)


def trace(network: nn.Module, path: Path, example: torch.Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(network.eval(), example), path)


WAYS = {"export": (export, ".pt2"), "script": (script, ".pt"), "trace": (trace, ".ts")}


@pytest.fixture(params=WAYS)
def save(request, tmp_path: Path) -> Callable[..., Path]:
    """Saves a network in one of the ways, with its card; returns the file."""
    way, suffix = WAYS[request.param]

    def save_in_that_way(network: nn.Module, **card: object) -> Path:
        path = tmp_path / f"network{suffix}"
        frames = card.get("window_frames", 1)
        shape = (2, 3, SIZE, SIZE) if frames == 1 else (2, frames, 3, SIZE, SIZE)
        way(network, path, torch.randn(shape))
        path.with_suffix(".json").write_text(json.dumps({**CARD, **card}))
        return path

    return save_in_that_way


def _predict(model: LandmarkModel, count: int = 5) -> tuple[torch.Tensor, np.ndarray]:
    """Normalized windows (B, T, 3, 32, 32) and what the model makes of them."""
    crops = np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)
    frames = model.card.window_frames
    windows = np.maximum(np.arange(count)[:, None] + np.arange(1 - frames, 1), 0)
    pixels = (torch.from_numpy(crops).float() - 127) / 64
    return pixels.permute(0, 3, 1, 2).contiguous()[windows], model.predict(crops, windows)


def test_coordinates_of_an_exported_network(save) -> None:
    torch.manual_seed(0)
    network = Points()
    path = save(network, licence="mine")
    model = load_landmark_model(path)
    assert (model.card.network, model.card.licence, model.card.crop_scale) == (
        "external",
        "mine",
        1.25,
    )
    assert len(model.weights_sha256) == 64
    windows, predicted = _predict(model)
    with torch.no_grad():
        expected = network.eval()(windows[:, -1])
    np.testing.assert_allclose(predicted, expected, atol=1e-4)


def test_the_card_is_part_of_the_hash(save) -> None:
    network = Points()
    before = load_landmark_model(save(network)).weights_sha256
    assert load_landmark_model(save(network, sigma_px=2.0)).weights_sha256 != before


def test_heatmaps_of_windows_in_bgr(save) -> None:
    torch.manual_seed(0)
    network = Heat()
    card = {"output": "heatmaps", "heatmap_stride": 2, "window_frames": 3, "codec": "argmax"}
    model = load_landmark_model(save(network, color="BGR", **card))
    windows, predicted = _predict(model)
    with torch.no_grad():
        heatmaps = network(windows.flip(2))
    index = heatmaps.flatten(2).argmax(2)
    expected = torch.stack([index % 16, index // 16], -1) * 2 + 0.5
    np.testing.assert_allclose(predicted, expected, atol=1e-4)


def test_units_of_coordinates(save) -> None:
    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 0.25 + 0 * x.sum([1, 2, 3])[:, None].expand(-1, 136)

    for unit, pixels in (("zero_to_one", 7.5), ("crop_units", 23.5), ("crop_px", 0.25)):
        _, predicted = _predict(load_landmark_model(save(Constant(), output=unit)))
        np.testing.assert_allclose(predicted, pixels, atol=1e-5)


def test_a_network_of_the_papers_survives_export(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_network("2dfcn", crop_size_px=SIZE).eval()
    path = tmp_path / "fcn.pt2"
    export(network, path, torch.randn(2, 3, SIZE, SIZE))
    card = {**CARD, "output": "heatmaps", "heatmap_stride": 1}
    path.with_suffix(".json").write_text(json.dumps(card))
    model = load_landmark_model(path)
    with torch.no_grad():
        x = torch.randn(3, 1, 3, SIZE, SIZE)
        torch.testing.assert_close(model._form.read_windows(x), network(x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "onnx"}, "format is 'onnx', expected 'facetracks external landmarks 1'"),
        ({"crop_size_px": "32"}, "crop_size_px is '32', expected a whole number"),
        ({"output": "points"}, "output is 'points', expected 'heatmaps' or 'crop_px'"),
        ({"landmark_layout": "wflw98"}, "landmark_layout is 'wflw98', expected 'ibug68'"),
        ({"pixel_std_rgb": [1, 1]}, r"pixel_std_rgb is \(1, 1\), expected three numbers"),
        ({"pixel_std_rgb": [1, 0, 1]}, "pixel_std_rgb is .*, expected numbers above 0"),
        ({"heatmap_stride": 5}, "heatmap_stride is 5, expected a divisor of 32"),
        ({"codec": "softmax"}, "codec is 'softmax', expected one of argmax"),
        ({"crop_scale": 9}, "crop_scale is 9, expected 0.5 to 4.0"),
        ({"scale": 1}, "'scale' is no field of a card; format, crop_size_px,"),
        ({"licence": 3}, "licence is 3, expected a text"),
        ({"crop_size_px": None, "window_frames": 1}, "lacks 'crop_size_px'"),
        ({"window_frames": 2}, "window_frames of network.json"),
        (
            {"output": "heatmaps"},
            r"output is \(1, 68, 2\), but output 'heatmaps'.* \(1, 68, 32, 32",
        ),
    ],
)
def test_a_wrong_card_names_the_field(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "network.pt2"
    export(Points(), path, torch.randn(2, 3, SIZE, SIZE))
    card = {k: v for k, v in {**CARD, **change}.items() if v is not None}
    path.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(WeightsError, match=message) as caught:
        load_landmark_model(path)
    assert "network" in str(caught.value)


def test_files_that_are_not_there_or_not_networks(tmp_path: Path) -> None:
    path = tmp_path / "network.pt2"
    with pytest.raises(WeightsError, match=r"no such file: .*network\.pt2"):
        load_landmark_model(path)
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"card beside it: no such file: .*network\.json"):
        load_landmark_model(path)
    path.with_suffix(".json").write_text(json.dumps(CARD))
    with pytest.raises(WeightsError, match=r"network\.pt2: not an exported program: BadZipFile"):
        load_landmark_model(path)
    script_path = path.with_suffix(".pt")
    script_path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"network\.pt: not a TorchScript file"):
        load_landmark_model(script_path)
    torch.save({"weight": torch.zeros(3)}, script_path)
    with pytest.raises(WeightsError, match="has no code; is it pickled weights"):
        load_landmark_model(script_path)
    path.with_suffix(".json").write_text("{")
    with pytest.raises(WeightsError, match=r"network\.json: not JSON"):
        load_landmark_model(path)


def test_a_fixed_batch_is_told(tmp_path: Path) -> None:
    path = tmp_path / "fixed.pt2"
    program = torch.export.export(Points().eval(), (torch.randn(1, 3, SIZE, SIZE),))
    torch.export.save(program, path)
    path.with_suffix(".json").write_text(json.dumps(CARD))
    with pytest.raises(WeightsError, match=r"does not take \(3, 3, 32, 32\)|output is \(1, 68"):
        load_landmark_model(path)


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.folder,)


def _changed(path: Path, change: Callable[[str, bytes], bytes]) -> None:
    """Rewrites every member of an archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    path.write_bytes(packed.getvalue())


def _pickled(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_pickles_in_an_exported_program_are_never_loaded(tmp_path: Path) -> None:
    path, struck = tmp_path / "bomb.pt2", tmp_path / "struck"
    example = torch.randn(2, 3, SIZE, SIZE)
    bomb = _pickled((Bomb(struck),))
    path.with_suffix(".json").write_text(json.dumps(CARD))

    def in_samples(name: str, data: bytes) -> bytes:
        return bomb if "sample_inputs" in name else data

    def in_weights(name: str, data: bytes) -> bytes:
        if name.endswith("weights/weight_0"):
            return bomb
        if name.endswith("weights_config.json"):
            return data.replace(b'"use_pickle": false', b'"use_pickle": true')
        return data

    export(Points(), path, example)
    _changed(path, in_samples)
    load_landmark_model(path)  # the samples are not even read
    _changed(path, in_weights)
    with pytest.raises(WeightsError, match="is pickled, and nothing is unpickled"):
        load_landmark_model(path)
    assert not struck.exists()
    with pytest.raises(Exception):  # noqa: B017 - what torch's own loader does with it
        torch.export.load(path)
    assert struck.exists()


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.mkdir",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default",
        "_operator.call",
        "torch.load",
    ],
)
def test_operators_that_reach_further_are_refused(tmp_path: Path, target: str) -> None:
    path = tmp_path / "reach.pt2"
    export(Points(), path, torch.randn(2, 3, SIZE, SIZE))
    path.with_suffix(".json").write_text(json.dumps(CARD))
    _changed(path, lambda _, data: data.replace(b"torch.ops.aten.relu.default", target.encode()))
    with pytest.raises(WeightsError, match=f"operator '{target}' is not allowed"):
        load_landmark_model(path)


def test_pickles_in_torch_script_are_checked(tmp_path: Path) -> None:
    path, struck = tmp_path / "bomb.pt", tmp_path / "struck"
    script(Points(), path, torch.randn(2, 3, SIZE, SIZE))
    path.with_suffix(".json").write_text(json.dumps(CARD))
    bombs = [pickle.dumps(Bomb(struck), protocol=protocol) for protocol in (0, 2, 4)]
    original = path.read_bytes()
    for bomb in bombs:
        for member in ("data.pkl", "constants.pkl"):
            path.write_bytes(original)
            _changed(path, lambda name, data, m=member, b=bomb: b if name.endswith(m) else data)
            with pytest.raises(WeightsError, match="is not allowed"):
                load_landmark_model(path)
    assert not struck.exists()


class Writer(nn.Module):
    """Writes a file when it runs, as TorchScript can."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, self.path)
        return torch.zeros(x.shape[0], 136)


class Disguised(nn.Module):
    """Calls a method of an operator's name: on a tensor it would be the operator."""

    @torch.jit.export
    def load(self, path: str) -> str:
        return path

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(x.shape[0], len(self.load("written")))


@pytest.mark.parametrize(
    ("code", "called"),
    [
        (b"torch.save(x, path)", "torch.save"),
        (b"_f = torch.save\n    _1 = _f(x, path)", "_f"),
        (b"ops.aten.save(x, path)", "ops.aten.save"),
        (b"x.save(path)", "x.save"),
    ],
)
def test_code_that_writes_files_is_refused(tmp_path: Path, code: bytes, called: str) -> None:
    path, written = tmp_path / "writer.pt", tmp_path / "written"
    script(Writer(str(written)), path, torch.zeros(1))
    path.with_suffix(".json").write_text(json.dumps(CARD))

    def rewritten(name: str, data: bytes) -> bytes:
        return re.sub(rb"torch\.save\(x, path[^\n]*", code, data) if name.endswith(".py") else data

    _changed(path, rewritten)
    with pytest.raises(WeightsError, match=f"calls '{re.escape(called)}', which is not allowed"):
        load_landmark_model(path)
    assert not written.exists()


def test_methods_named_as_operators_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "disguised.pt"
    script(Disguised(), path, torch.zeros(1))
    path.with_suffix(".json").write_text(json.dumps(CARD))
    with pytest.raises(WeightsError, match=r"calls 'self\.load', which is not allowed"):
        load_landmark_model(path)
