"""External networks that are refused: cards, files and graphs."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from models.landmarks.model import landmark_device, load_landmark_model
from models.onnx_session import onnx_runs_on_cuda
from schemas.errors import UsageError, WeightsError
from tests.models.landmarks.external.onnx_models import (
    POINTS,
    constant,
    mean_plus,
    model_of,
    saved,
)


def test_the_card_is_part_of_the_hash(tmp_path: Path) -> None:
    before = load_landmark_model(saved(tmp_path, mean_plus(POINTS))).weights_sha256
    after = load_landmark_model(saved(tmp_path, mean_plus(POINTS), sigma_px=2.0)).weights_sha256
    assert len(before) == 64
    assert before != after


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "onnx"}, "format is 'onnx', expected 'facetracks external landmarks 1'"),
        ({"crop_size_px": "32"}, "crop_size_px is '32': Expected `int`, got `str`"),
        ({"output": "points"}, "output is 'points', expected 'heatmaps' or 'crop_px'"),
        ({"landmark_layout": "dlib5"}, "'dlib5', expected 'ibug68' or 'wflw98' or 'jd106'"),
        ({"landmark_layout": ["ibug68"]}, "landmark_layout is .*: Expected `str`, got `array`"),
        ({"landmark_layout": "wflw98"}, r"its output is \(1, 68, 2\), .* say \(1, 98, 2\)"),
        ({"pixel_std_rgb": [1, 1]}, r"pixel_std_rgb is \[1, 1\]: Expected `array` of length 3"),
        ({"pixel_std_rgb": [1, 0, 1]}, r"pixel_std_rgb is .*: Expected `float` > 0\.0"),
        ({"heatmap_stride": 5}, "heatmap_stride is 5, expected a divisor of 32"),
        ({"codec": "softmax"}, "codec is 'softmax', expected 'argmax' or"),
        ({"crop_scale": 9}, r"crop_scale is 9: Expected `float` <= 4\.0"),
        ({"scale": 1}, "'scale' is no field of a card; format, crop_size_px,"),
        ({"licence": 3}, "licence is 3: Expected `str`, got `int`"),
        ({"spread_output": 3}, r"spread_output is 3: Expected `str \| null`, got `int`"),
        ({"crop_size_px": None}, "lacks 'crop_size_px'"),
        ({"crop_size_px": 64}, r"its input is \('batch', 3, 32, 32\), but crop_size_px"),
        ({"window_frames": 2}, r"its input is .*window_frames of the card say \(batch, 2, 3, 32"),
        ({"output": "heatmaps"}, r"its output is \(1, 68, 2\), .* \(1, 68, 32, 32\)"),
    ],
)
def test_a_wrong_card_names_the_field(tmp_path: Path, change: dict, message: str) -> None:
    path = saved(tmp_path, mean_plus(POINTS), **change)
    with pytest.raises(WeightsError, match=message) as caught:
        load_landmark_model(path)
    assert "network.json" in str(caught.value)


def test_files_that_are_not_there_or_not_networks(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    with pytest.raises(WeightsError, match=r"no such file: .*network\.onnx"):
        load_landmark_model(path)
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"card beside it: no such file: .*network\.json"):
        load_landmark_model(path)
    for content in (b"", b"nothing", b"\x08\x09"):
        saved(tmp_path, content)
        with pytest.raises(WeightsError, match=r"network\.onnx: not an ONNX model"):
            load_landmark_model(path)
    for text in ("{", "[" * 100_000, b"\xff\xfe".decode("latin-1")):
        path.with_suffix(".json").write_text(text)
        with pytest.raises(WeightsError, match=r"network\.json: not JSON"):
            load_landmark_model(path)
    path.with_suffix(".json").write_text("[1]")
    with pytest.raises(WeightsError, match="got list, expected an object"):
        load_landmark_model(path)


@pytest.mark.parametrize("suffix", [".pt2", ".pt", ".pth", ".torchscript"])
def test_torchs_own_formats_are_not_read(tmp_path: Path, suffix) -> None:
    path = tmp_path / f"network{suffix}"
    path.write_bytes(b"anything")
    with pytest.raises(WeightsError, match=r"expected \.onnx: export the network with torch\.onnx"):
        load_landmark_model(path)


def _in_a_branch(node: onnx.NodeProto) -> onnx.ModelProto:
    """A node with the output `deep`, inside a branch that is never taken."""
    value = helper.make_tensor_value_info("deep", TensorProto.FLOAT, None)
    other = helper.make_tensor_value_info("plain", TensorProto.FLOAT, None)
    plain = helper.make_node("Identity", ["at"], ["plain"])
    return model_of(
        [
            helper.make_node(
                "If",
                ["never"],
                ["points"],
                then_branch=helper.make_graph([node], "then", [], [value]),
                else_branch=helper.make_graph([plain], "else", [], [other]),
            )
        ],
        [constant("never", False, np.bool_), constant("at", POINTS)],
        domains=("com.company",),
    )


@pytest.mark.parametrize("domain", ["com.company", "com.microsoft", "ai.onnx.ml"])
def test_operators_of_a_custom_domain_are_refused(tmp_path: Path, domain) -> None:
    node = helper.make_node("Landmarks", ["crops"], ["points"], domain=domain)
    path = saved(tmp_path, model_of([node], domains=(domain,)))
    with pytest.raises(
        WeightsError, match=f"operator 'Landmarks' is of the domain '{domain}', expected operators"
    ):
        load_landmark_model(path)


def test_operators_of_a_custom_domain_are_found_in_branches_and_functions(tmp_path: Path) -> None:
    node = helper.make_node("Landmarks", ["crops"], ["deep"], domain="com.company")
    with pytest.raises(WeightsError, match=r"'Landmarks' is of the domain 'com\.company'"):
        load_landmark_model(saved(tmp_path, _in_a_branch(node)))
    model = mean_plus(POINTS)
    function = helper.make_function(
        "ours", "F", ["crops"], ["deep"], [node], [helper.make_opsetid("com.company", 1)]
    )
    model.functions.append(function)
    with pytest.raises(WeightsError, match=r"'Landmarks' is of the domain 'com\.company'"):
        load_landmark_model(saved(tmp_path, model))


def test_loops_are_refused(tmp_path: Path) -> None:
    loop = helper.make_node("Loop", ["", "", "at"], ["deep"])
    with pytest.raises(WeightsError, match="operator 'Loop' is not allowed: it has no bound"):
        load_landmark_model(saved(tmp_path, _in_a_branch(loop)))


def _outside(tensor: onnx.TensorProto, location: str) -> onnx.TensorProto:
    """The tensor as external data; its numbers are in the file `location`."""
    moved = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    moved.data_location = TensorProto.EXTERNAL
    moved.external_data.add(key="location", value=location)
    return moved


def test_numbers_outside_the_file_are_refused(tmp_path: Path, monkeypatch) -> None:
    """A model could read any file this way: here an existing one of the right size."""
    (tmp_path / "secret").write_bytes(POINTS.tobytes())
    monkeypatch.chdir(tmp_path)
    model = mean_plus(POINTS)
    inline = next(t for t in model.graph.initializer if t.name == "points_at")
    model.graph.initializer.remove(inline)
    model.graph.initializer.append(_outside(inline, "secret"))
    with pytest.raises(WeightsError, match="tensor 'points_at' is stored outside the file"):
        load_landmark_model(saved(tmp_path, model))
    in_node = helper.make_node("Constant", [], ["deep"], value=_outside(inline, "secret"))
    with pytest.raises(WeightsError, match="tensor 'points_at' is stored outside the file"):
        load_landmark_model(saved(tmp_path, _in_a_branch(in_node)))


def test_what_does_not_run_or_gives_no_numbers_is_refused(tmp_path: Path) -> None:
    unknown = model_of([helper.make_node("Landmarks", ["crops"], ["points"])])
    with pytest.raises(WeightsError, match=r"onnxruntime cannot load it: .*Landmarks"):
        load_landmark_model(saved(tmp_path, unknown))
    with pytest.raises(WeightsError, match=r"its inputs are crops: tensor\(uint8\), expected"):
        load_landmark_model(
            saved(
                tmp_path,
                model_of(
                    [helper.make_node("Cast", ["crops"], ["points"], to=TensorProto.FLOAT)],
                    type_in=TensorProto.UINT8,
                ),
            )
        )
    whole = model_of(
        [
            helper.make_node("ReduceMean", ["crops"], ["mean"], axes=[2, 3], keepdims=0),
            helper.make_node("Cast", ["mean"], ["points"], to=TensorProto.INT64),
        ],
        type_out=TensorProto.INT64,
    )
    with pytest.raises(WeightsError, match="its output is ndarray of int64, expected floats"):
        load_landmark_model(saved(tmp_path, whole))
    with pytest.raises(WeightsError, match="its output for a black crop is not finite"):
        load_landmark_model(saved(tmp_path, mean_plus(np.full_like(POINTS, np.nan))))
    of_one = model_of([helper.make_node("Add", ["at", "at"], ["points"])], [constant("at", POINTS)])
    with pytest.raises(WeightsError, match=r"its output is \(1, 68, 2\) for a batch of 3"):
        load_landmark_model(saved(tmp_path, of_one))


def test_onnxruntimes_own_format_is_not_read(tmp_path: Path) -> None:
    """A file must not be ONNX for one reader and something else for another."""
    import onnxruntime

    path = saved(tmp_path, mean_plus(POINTS))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "network.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    path.write_bytes((tmp_path / "network.ort").read_bytes())
    with pytest.raises(WeightsError, match=r"network\.onnx: "):
        load_landmark_model(path)


def test_other_forms_are_wrong_usage(tmp_path: Path) -> None:
    path = saved(tmp_path, mean_plus(POINTS))
    for form in ({"precision": "bfloat16"}, {"precision": "int8"}, {"compiled": True}):
        with pytest.raises(UsageError, match="external networks run in the form"):
            load_landmark_model(path, **form)


@pytest.mark.skipif(onnx_runs_on_cuda(), reason="onnxruntime is its GPU build here")
def test_cuda_needs_the_gpu_build(tmp_path: Path) -> None:
    path = saved(tmp_path, mean_plus(POINTS))
    assert landmark_device(path, "auto") == "cpu"
    assert load_landmark_model(path, "auto").device == "cpu"
    found = "onnxruntime here has no CUDA|this machine has 0 CUDA devices"
    with pytest.raises(UsageError, match=found):
        load_landmark_model(path, "cuda")
