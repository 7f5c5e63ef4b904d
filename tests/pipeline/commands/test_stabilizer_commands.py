import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.stabilization.fitting.baseline_smoothers import BASELINES
from models.stabilization.weights import load_stabilizer_weights
from pipeline.commands.cli import main
from pipeline.provenance import tracks_config
from pipeline.settings import AnnotateSettings


def make_face():
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    return 200 + 60 * np.stack([np.cos(angle), np.sin(angle)], 1)


@pytest.fixture(scope="module")
def facetracks():
    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        return ended.value.code

    return run


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Options of a small set of tracks, which is fast to generate."""
    cache = tmp_path_factory.mktemp("cache")
    return ["--cache", cache, "--clips", 2, "--tracks", 2, "--frames", 14]


@pytest.fixture(scope="module")
def fitted(facetracks, small, tmp_path_factory):
    path = tmp_path_factory.mktemp("fit") / "mine.safetensors"
    options = ["--steps", 3, "--lambda1", 1, "--compare-seconds", 0.1, "--default", "sta"]
    assert facetracks("train", "stabilizer", "--output", path, *options, *small) == 0
    return path


def test_what_is_fitted_can_be_loaded_and_says_how(fitted):
    got = load_stabilizer_weights(fitted)
    assert got.stabilizer == "sta"
    assert "2 tracks, 28 frames, seed 0, 3 steps" in got.training
    assert got.sha256 in fitted.with_suffix(".md").read_text()


def test_the_same_command_gives_the_same_file(facetracks, fitted, small, tmp_path):
    path = tmp_path / "again.safetensors"
    options = ["--output", path, "--steps", 3, "--lambda1", 1, "--default", "sta"]
    assert facetracks("train", "stabilizer", *options, *small) == 0
    assert path.read_bytes() == fitted.read_bytes()


def test_evaluation_measures_every_stabilizer(facetracks, fitted, small, tmp_path, capsys):
    plots = tmp_path / "plots"
    options = ["--stabilizer-weights", fitted, "--json", "--full", "--settings"]
    options += ["--ablations", "--fit-tracks", 2, "--steps", 1]
    assert facetracks("evaluate", "stabilizers", *options, "--plots", plots, *small) == 0
    text = capsys.readouterr().out
    report, _ = json.JSONDecoder().raw_decode(text)
    rows = {row["stabilizer"]: row for row in report["results"]}
    assert {"raw", "moving average", "Savitzky-Golay", "sta", "sta-offline", "rts"} <= set(rows)
    assert {"sta, lambda2 = 0", "sta, lambda3 = inf", "sta, lambda1 = 5"} <= set(rows)
    assert {"sta, evenness = 0.5", "sta, one noise for all tracks"} <= set(rows)
    for name, row in rows.items():
        assert np.isfinite(
            [row["nrmse_percent"], row["stability_percent"], row["lag_frames"]]
        ).all()
        timed = not (name.startswith("sta, ") or "trained here" in name or name == "raw")
        assert (row["cost_us"] is not None) == timed
    assert {row["stabilizer"] for row in report["settings"]} == set(BASELINES)
    pictures = sorted(plots.glob("*.png"))
    assert len(pictures) == 3
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in pictures)


def test_the_table_is_printed(facetracks, fitted, small, capsys):
    options = ["--stabilizer-weights", fitted, "--draws", 2]
    assert facetracks("evaluate", "stabilizers", *options, *small) == 0
    text = capsys.readouterr().out
    tracks = int(small[small.index("--tracks") + 1])
    assert f"TrackBatch({2 * tracks} tracks" in text
    assert "One-Euro" in text
    assert "50 tracks side by side" in text


def test_jitter_at_rest_of_annotated_video(facetracks, fitted, tmp_path, capsys):
    """A still face whose landmarks jitter: every stabilizer reduces the jitter."""
    raw = make_face() + np.random.default_rng(0).normal(0, 0.3, (80, 68, 2))
    columns = {
        "video_id": ["still.mp4"] * 80,
        "face_id": np.zeros(80, np.int32),
        "pts_seconds": np.arange(80) / 25,
        "x_raw": list(raw[..., 0].astype(np.float32)),
        "y_raw": list(raw[..., 1].astype(np.float32)),
    }
    (tmp_path / "tracks").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "tracks" / "still.parquet")
    options = ["--stabilizer-weights", fitted, "--annotated", tmp_path]
    assert facetracks("evaluate", "stabilizers", *options) == 0
    lines = capsys.readouterr().out.splitlines()
    names = next(line.split()[4:] for line in lines if line.startswith("face "))
    means = next(line.split()[2:] for line in lines if line.startswith("jitter, mean"))
    ratios = dict(zip(names, map(float, means), strict=True))
    assert set(ratios) == {"one-euro", "rts", "sta", "sta-offline"}
    assert max(ratios["rts"], ratios["sta-offline"]) < 1


def test_an_output_without_tracks_is_told(facetracks, tmp_path, capsys):
    assert facetracks("evaluate", "stabilizers", "--annotated", tmp_path) != 0
    assert "got no tracks/*.parquet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--frames", 2], "--frames: got 2"),
        (["--clips", 0], "--clips: got '0'"),
        (["--draws", 0], "--draws: got '0'"),
        (["--stabilizer-weights", "nowhere.safetensors"], "no such file"),
    ],
)
def test_wrong_usage_is_told(facetracks, options, words, capsys):
    assert facetracks("evaluate", "stabilizers", *options) != 0
    assert words in capsys.readouterr().err


def test_the_configuration_names_the_weights_of_a_stabilizer(fitted):
    from models.detection.face_detector import load_face_detector
    from models.landmarks.model import load_landmark_model

    model, detector = load_landmark_model(), load_face_detector("default")
    own, shipped, none = (
        tracks_config(model, detector, AnnotateSettings(stabilizer=name))
        for name in (str(fitted), "rts", "none")
    )
    assert own["stabilizer_sha256"] == load_stabilizer_weights(fitted).sha256
    assert shipped["stabilizer_sha256"] == load_stabilizer_weights().sha256
    assert (own["stabilizer"], shipped["stabilizer"]) == ("file", "rts")
    assert none["stabilizer_sha256"] is None
