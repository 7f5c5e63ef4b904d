"""`facetracks evaluate landmarks`: its sets, its figures, its tables."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from published_layouts import (
    disc_landmarks,
    write_300vw,
    write_300w,
    write_picture,
    write_snap,
    write_talking_face,
)

from models.landmarks.card import LandmarkCard
from models.landmarks.datasets.sets import read_evaluation_set
from models.landmarks.metrics import PrecisionCheck
from models.landmarks.networks.construction import build_network
from models.landmarks.torch_model import save_landmark_weights
from pipeline.commands import evaluate_landmarks
from pipeline.commands.command_line import parse_command
from pipeline.reports.landmark_report import MISSED_NOTE
from schemas.choices import EVALUATION_SETS
from schemas.errors import UsageError, WeightsError

Evaluate = Callable[..., str]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The evaluation sets of a data folder, with a few discs in each."""
    data = tmp_path_factory.mktemp("data")
    for table, pictures, count in (
        ("keypoints", "images", 3),
        ("keypoints_extra", "images_extra", 1),
    ):
        rows = [["image", *range(136)]]
        for i in range(count):
            write_picture(data / "ytf68" / "val" / pictures / f"{i}.png", i)
            rows.append([f"{i}.png", *disc_landmarks(i).ravel()])
        text = "\n".join(",".join(map(str, row)) for row in rows)
        (data / "ytf68" / "val" / f"{table}.csv").write_text(text)
    write_300w(data / "faces68" / "300w", ["lfpw/testset/a"])
    write_300w(data / "faces68" / "300wlp_ibug", ["IBUG_image_003_1_0"])
    return data


@pytest.fixture()
def evaluate(capsys: pytest.CaptureFixture[str]) -> Evaluate:
    """Runs the command and returns its output."""

    def run(*arguments: object) -> str:
        args = parse_command(["evaluate", "landmarks", *map(str, arguments)])
        assert evaluate_landmarks.run(args) == 0
        return capsys.readouterr().out

    return run


def _rows(report: dict, **wanted: object) -> list[dict]:
    return [r for r in report["results"] if all(r[k] == v for k, v in wanted.items())]


def test_every_set_of_a_data_folder(data: Path, evaluate: Evaluate) -> None:
    assert [len(read_evaluation_set(data, name)) for name in EVALUATION_SETS] == [1, 1, 4]
    report = json.loads(evaluate("--data", data, "--draws", "2", "--json"))
    found = _rows(report, normalization="interocular", landmarks=68)
    rows = {row["set"]: row for row in found}
    assert list(rows) == ["300w/common", "turned/held-out", "ytf68/val"]
    assert [row["faces"] for row in rows.values()] == [1, 1, 4]
    assert rows["300w/common"]["predictions"] == 2
    assert [row["set"] for row in report["openings"]] == list(rows)
    assert all(row["eyes"] >= 0 and row["mouth"] >= 0 for row in report["openings"])
    assert rows["ytf68/val"]["boxes"] == "labels, jittered x2"
    assert report["missed"] == MISSED_NOTE
    (network,) = report["networks"]
    assert len(network["weights_sha256"]) == 64


def test_both_normalizations_are_named_and_differ_by_their_lengths(
    data: Path, evaluate: Evaluate
) -> None:
    report = json.loads(evaluate("--data", data, "--draws", "0", "--json"))
    eyes, box = (
        _rows(report, set="300w/common", normalization=name, landmarks=68)[0]
        for name in ("interocular", "box-diagonal")
    )
    landmarks = disc_landmarks()
    lengths = (
        np.linalg.norm(landmarks[36] - landmarks[45]),
        np.linalg.norm(np.ptp(landmarks, axis=0)),
    )
    assert eyes["nrmse_mean"] / box["nrmse_mean"] == pytest.approx(
        lengths[1] / lengths[0], rel=1e-4
    )
    assert eyes["boxes"] == "labels"


def test_tables_and_curves(data: Path, evaluate: Evaluate, tmp_path: Path) -> None:
    out = evaluate("--data", data, "--draws", "1", "--plots", tmp_path / "plots")
    lines = out.splitlines()
    assert "68 landmarks, percent of the distance of the outer eye corners (interocular)" in lines
    assert "7 landmarks, percent of the diagonal of the ground-truth box (box-diagonal)" in lines
    assert MISSED_NOTE in lines
    # Figures of three sets and of the one category four times, and openings; no set has the five
    # faces that a table by size takes.
    # The calibration of spreads is a line per set.
    assert sum(line.startswith("unet") for line in lines) == 4 * (3 + 1) + 3 + 3
    for name in ("ced-interocular.png", "ced-box-diagonal.png"):
        assert (tmp_path / "plots" / name).read_bytes().startswith(b"\x89PNG")


def test_heatmap_networks_read_by_several_codecs(
    data: Path, evaluate: Evaluate, tmp_path: Path
) -> None:
    card = LandmarkCard(network="2d")
    save_landmark_weights(tmp_path / "2d.safetensors", card.build_network(), card)
    weights = ("--weights", tmp_path / "2d.safetensors", "--weights", "accurate")
    report = json.loads(
        evaluate("--data", data, *weights, "--codec", "argmax", "taylor", "--draws", "1", "--json")
    )
    found = _rows(report, normalization="interocular", landmarks=68, set="turned/held-out")
    assert [row["network"] for row in found] == ["2d", "unet, argmax", "unet, taylor"]
    assert len({row["nrmse_mean"] for row in found}) == 3


def test_videos_by_category_movement_and_expression(tmp_path: Path, evaluate: Evaluate) -> None:
    write_300vw(tmp_path / "vw", ["001", "114", "203"], frames=3)
    names = ["09/nothing/neutral", "09/pitch/neutral", "10/nothing/happy", "10/yaw/sad"]
    write_snap(tmp_path / "snap", names, frames=2)
    report = json.loads(
        evaluate("--set", f"300vw:{tmp_path}/vw", "--set", f"snap:{tmp_path}/snap", "--json")
    )
    found = _rows(report, normalization="box-diagonal", landmarks=68)
    assert [(row["set"], row["group"], row["faces"]) for row in found] == [
        ("300vw/test", "all", 6),
        ("300vw/test", "category 1", 3),
        ("300vw/test", "category 2", 3),
        ("snap/test", "all", 8),
        ("snap/test", "movement nothing", 2),
        ("snap/test", "movement pitch", 2),
        ("snap/test", "expression happy", 2),
        ("snap/test", "expression neutral", 2),
    ]
    assert {row["boxes"] for row in found} == {"labels, jittered x1"}
    scales = [row for row in report["by_scale"] if row["set"] == "300vw/test"]
    assert [row["scale"] for row in scales] == [1, 2, 3, 4, 5]
    assert sum(row["faces"] for row in scales) == 6


def test_networks_that_see_windows(tmp_path: Path, evaluate: Evaluate) -> None:
    """The weights are untrained: the test checks that windows of videos and of stills fit."""
    torch.manual_seed(0)
    weights = tmp_path / "3d.safetensors"
    save_landmark_weights(weights, build_network("3d"), LandmarkCard(network="3d"))
    write_300vw(tmp_path / "vw", ["114"], frames=3)
    write_300w(tmp_path / "w", ["ibug/a"])
    report = json.loads(
        evaluate(
            "--set", f"300vw/1:{tmp_path}/vw", "--set", f"300w:{tmp_path}/w",
            "--weights", weights, "--draws", "0", "--json",
        )
    )  # fmt: skip
    rows = _rows(report, normalization="interocular", landmarks=68, group="all")
    assert [(row["network"], row["set"], row["faces"]) for row in rows] == [
        ("3d", "300vw/1", 3),
        ("3d", "300w/all", 1),
    ]
    assert all(np.isfinite(row["nrmse_mean"]) for row in rows)


def test_talking_face_has_seven_landmarks(tmp_path: Path, evaluate: Evaluate) -> None:
    write_talking_face(tmp_path, frames=3)
    out = evaluate("--set", f"talking-face:{tmp_path}", "--plots", tmp_path / "plots")
    assert "7 landmarks, percent of the distance" in out
    assert "68 landmarks" not in out
    assert "box-diagonal" not in out


def test_several_weights_are_told_apart(tmp_path: Path, evaluate: Evaluate) -> None:
    write_300w(tmp_path, ["ibug/a"])
    options: list[object] = []
    for network in ("2d", "2d", "3d"):
        weights = tmp_path / f"{len(options)}.safetensors"
        torch.manual_seed(len(options))
        save_landmark_weights(weights, build_network(network), LandmarkCard(network=network))
        options += ["--weights", weights]
    report = json.loads(evaluate("--set", f"300w/challenging:{tmp_path}", *options, "--json"))
    names = [network["network"] for network in report["networks"]]
    digests = [network["weights_sha256"][:8] for network in report["networks"]]
    assert names == [f"2d {digests[0]}", f"2d {digests[1]}", "3d"]
    rows = _rows(report, normalization="interocular", landmarks=68, group="all")
    assert [row["network"] for row in rows] == names


def test_missed_faces_count(tmp_path: Path, evaluate: Evaluate) -> None:
    """The package's detector finds no face in a disc."""
    write_300w(tmp_path, ["ibug/a", "ibug/b"])
    report = json.loads(
        evaluate("--set", f"300w:{tmp_path}", "--detector", "default", "--draws", "1", "--json")
    )
    on_labels, on_detections = _rows(report, normalization="interocular", landmarks=68, group="all")
    assert (on_labels["predictions"], on_labels["missed"]) == (2, 0)
    assert (on_detections["predictions"], on_detections["missed"]) == (0, 2)
    assert on_detections["nrmse_mean"] is None
    assert (on_detections["fr8_percent"], on_detections["auc8_percent"]) == (100, 0)


def test_broken_annotations_are_counted_when_asked(tmp_path: Path, evaluate: Evaluate) -> None:
    write_300w(tmp_path, ["ibug/a", "ibug/b"])
    (tmp_path / "ibug" / "a.pts").write_text("version: 1\n")
    with pytest.raises(UsageError, match=r"a\.pts: got no block of points"):
        evaluate("--set", f"300w:{tmp_path}")
    out = evaluate("--set", f"300w:{tmp_path}", "--skip-broken")
    assert "skipped: 1 broken annotations" in out
    report = json.loads(evaluate("--set", f"300w:{tmp_path}", "--skip-broken", "--json"))
    assert len(report["left_out"]) == 1


def test_what_it_refuses(data: Path, tmp_path: Path, evaluate: Evaluate) -> None:
    with pytest.raises(UsageError, match="got no data set, expected --data or --set"):
        evaluate()
    with pytest.raises(WeightsError, match="no such file"):
        evaluate("--data", data, "--weights", tmp_path / "none.safetensors")


@pytest.mark.realdata
def test_real_stills(shared_data: Path, evaluate: Evaluate) -> None:
    helen = shared_data / "images68" / "helen_train8"
    frames = shared_data / "images68" / "300vw_mmpose"
    report = json.loads(
        evaluate("--set", f"300w:{helen}", "--set", f"300vw/train:{frames}", "--json")
    )
    rows = _rows(report, normalization="interocular", landmarks=68, group="all")
    assert [row["faces"] for row in rows] == [8, 2]
    assert all(row["nrmse_mean"] < 8 for row in rows)


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_what_shorter_numbers_cost(data: Path, evaluate: Evaluate, precision: str) -> None:
    options = ("--data", data, "--precision", precision)
    report = json.loads(evaluate(*options, "--json"))
    (check,) = (c for c in report["precision_checks"] if c["set"] == "300w/common")
    errors = {
        row["network"]: row["nrmse_mean"]
        for row in _rows(report, set="300w/common", normalization="interocular", landmarks=68)
    }
    assert list(errors) == ["unet", f"unet, {precision}"]
    assert (check["reference_nrmse"], check["candidate_nrmse"]) == tuple(errors.values())
    assert check["accepted"] is (abs(errors["unet"] - errors[f"unet, {precision}"]) < 0.02)
    assert f"{precision}, unet, ytf68/val, labels, jittered x8: NRMSE " in evaluate(*options)


def test_faces_that_are_missed_are_left_out_of_what_half_precision_costs() -> None:
    rows = [
        {"network": network, "set": "a", "boxes": "detector yunet", "landmarks": landmarks}
        | {"normalization": "interocular", "group": "all", "nrmse_mean": mean, "missed": 1}
        for landmarks, mean in ((68, 5.0), (7, 9.0))
        for network in ("2d", "2d, bfloat16")
    ]
    checks = evaluate_landmarks._precision_checks(rows, "bfloat16")
    assert checks == {("2d", "a", "detector yunet"): PrecisionCheck(5.0, 5.0)}
