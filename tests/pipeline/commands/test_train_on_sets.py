"""`facetracks train landmarks` on data sets in their published layouts."""

import argparse
from pathlib import Path

import cv2
import numpy as np
import pytest
from published_layouts import (
    write_300vw,
    write_300w,
    write_pts,
    write_snap,
    write_talking_face,
)

from models.landmarks.torch_model import read_landmark_weights
from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX
from pipeline.commands import train_landmarks
from pipeline.commands.command_line import parse_command
from pipeline.commands.command_parser import settings_of
from pipeline.data.data_settings import TrainingSources
from pipeline.data.training_data import TrainingData, read_training_data
from pipeline.reports.training_log import read_log
from schemas.errors import UsageError


def _parse(*arguments: str) -> argparse.Namespace:
    return parse_command(["train", "landmarks", "--output", "unused", *arguments])


def _read(*arguments: str, network: str = "3d") -> TrainingData:
    args = _parse("--network", network, *arguments)
    return read_training_data(
        settings_of(TrainingSources, args), [train_landmarks._card(network, args)]
    )


def _names(data: TrainingData) -> list[list[str]]:
    return [[frame.name for frame in (*face.earlier, face)] for face in data.faces]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five videos of seven frames."""
    return write_300vw(tmp_path_factory.mktemp("vw"), ["001", "002", "003", "004", "007"], 7)


def test_windows_do_not_overlap_and_a_fifth_of_the_videos_is_held_out(videos: Path) -> None:
    data = _read("--set", f"300vw/train:{videos}")
    kept = {name[0].partition("@")[0] for name in _names(data)}
    held = {face.name.partition("@")[0] for face in data.validation}
    assert len(kept) == 4 and len(held) == 1 and not kept & held
    first = min(kept)
    assert _names(data)[:2] == [
        [f"{first}@0", f"{first}@1", f"{first}@2"],
        [f"{first}@3", f"{first}@4", f"{first}@5"],
    ]
    assert len(data.faces) == 8 and len(data.validation) == 2
    assert data.validated_on == "300vw_train_held_out_nrmse_percent"
    assert max(face.load().nbytes for face in data.faces) <= 128 * 128 * 3
    again = _read("--set", f"300vw/train:{videos}")
    assert [f.name for f in again.validation] == [f.name for f in data.validation]
    others = {
        _read("--set", f"300vw/train:{videos}", "--seed", str(seed)).validation[0].name
        for seed in range(1, 6)
    }
    assert len(others) > 1


def test_the_test_videos_are_trained_on_only_where_that_is_asked_for(tmp_path: Path) -> None:
    write_300vw(tmp_path, ["001", "002", "114"], 3)
    write_snap(tmp_path / "snap", ["S01/yaw/happy", "S07/yaw/happy"], frames=3)
    spec = f"snap:{tmp_path / 'snap'}"
    data = _read("--set", spec, "--validation", spec)
    assert [face.name for face in data.faces] == ["S01/yaw/happy@2"]
    assert [face.name for face in data.validation] == ["S07/yaw/happy@2"]
    for spec, expected in (("300vw", {"001", "002"}), ("300vw/all", {"001", "002", "114"})):
        data = _read("--set", f"{spec}:{tmp_path}")
        names = {face.name.partition("@")[0] for face in (*data.faces, *data.validation)}
        assert names == expected


def test_networks_of_one_frame_get_every_frame(videos: Path) -> None:
    data = _read("--set", f"300vw/train:{videos}", network="2d")
    assert len(data.faces) == 4 * 7 and not any(face.earlier for face in data.faces)
    few = _read("--set", f"300vw/train:{videos}", "--windows-per-video", "2", network="2d")
    assert [name[0][-2:] for name in _names(few)[:2]] == ["@0", "@4"]


def test_pictures_are_held_out_singly_and_sets_are_added_up(videos: Path, tmp_path: Path) -> None:
    stills = write_300w(tmp_path, [f"afw/{i}" for i in range(5)])
    data = _read("--set", f"300vw/train:{videos}", "--set", f"300w:{stills}")
    assert len(data.faces) == 8 + 4 and len(data.validation) == 2 + 1
    assert data.validated_on == "300vw_train_300w_train_held_out_nrmse_percent"
    assert set(data.weights) == {1.0} and data.licence.endswith("300vw/train, 300w/train")
    given = _read("--set", f"300vw/train:{videos}", "--validation", f"300w:{stills}")
    assert len(given.faces) == 10 and len(given.validation) == 5
    assert given.validated_on == "300w_all_nrmse_percent"


def test_stills_are_animated_by_the_motion_of_videos(videos: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_pts(tmp_path / "afw" / f"{name}.pts", ASTRONAUT_LANDMARKS_PX)
        cv2.imwrite(str(tmp_path / "afw" / f"{name}.png"), np.full((512, 512, 3), 90, np.uint8))
    sets = ["--set", f"300vw/train:{videos}", "--set", f"300w:{tmp_path}"]
    data = _read(*sets, "--animated-windows", "2")
    assert len(data.faces) == len(data.weights) == 8 + 1 + 2
    assert [len(face.earlier) for face in data.faces[-2:]] == [2, 2]
    assert data.faces[-1].name.endswith(" (animated 1)")
    with pytest.raises(UsageError, match="--animated-windows: got 2 with networks that see one"):
        _read(*sets, "--animated-windows", "2", network="2d")
    with pytest.raises(UsageError, match="--animated-windows: got 2 with no still of a frontal"):
        _read(*sets[:2], "--animated-windows", "2")


def test_broken_annotations_are_errors_or_counted(videos: Path, tmp_path: Path) -> None:
    stills = write_300w(tmp_path, [f"afw/{i}" for i in range(4)])
    (tmp_path / "afw" / "2.pts").write_text("version: 1\nn_points: 68\n{\n1 x\n}\n")
    with pytest.raises(UsageError, match=r"2\.pts:4: "):
        _read("--set", f"300w:{stills}")
    data = _read("--set", f"300w:{stills}", "--skip-broken")
    assert len(data.faces) == 2 and len(data.validation) == 1
    assert len(data.skipped) == 1 and "2.pts:4: " in data.skipped[0]


def test_what_cannot_be_trained_on(videos: Path, tmp_path: Path) -> None:
    spec = f"300vw/train:{videos}"
    with pytest.raises(UsageError, match="got no data set, expected --data or --set"):
        _read()
    with pytest.raises(UsageError, match=r"--validation-share: got 1\.0"):
        _read("--set", spec, "--validation-share", "1")
    with pytest.raises(UsageError, match="which is trained on"):
        _read("--set", spec, "--validation", spec)
    alone = write_talking_face(tmp_path)
    with pytest.raises(UsageError, match="got 1 videos and pictures in 1 data sets, expected two"):
        _read("--set", f"talking-face:{alone}")
    with pytest.raises(UsageError, match="--codec soft_argmax: got it with --recipe paper"):
        train_landmarks.run(_parse("--set", spec, "--codec", "soft_argmax"))


def test_seven_landmarks_are_enough_to_be_measured_on(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From 2D weights to a 3D network, validated on Talking Face."""
    small, large = tmp_path / "small", tmp_path / "large"
    options = ["--set", f"300vw/train:{videos}", "--epochs", "1", "--samples-per-epoch", "8"]
    assert train_landmarks.run(_parse(*options, "--output", str(small))) == 0
    talking = write_talking_face(tmp_path / "talking")
    more = ["--network", "3d", "--initial", str(small / "2d" / "landmarks.safetensors")]
    more += ["--validation", f"talking-face:{talking}", "--output", str(large)]
    assert train_landmarks.run(_parse(*options, *more)) == 0
    assert "safetensors: 7 layers taken, 6 inflated; new: none" in capsys.readouterr().out
    (row,) = read_log(large / "3d" / "log.csv")
    assert 0 < float(row["talking_face_nrmse_percent"]) < 1000
    assert float(row["learning_rate"]) == 1e-4
    assert (large / "3d" / "curves.png").stat().st_size > 1000
    _, card = read_landmark_weights(large / "3d" / "landmarks.safetensors")
    assert "--recipe paper from landmarks.safetensors, 10 faces, seed 0" in card.training
    assert np.isfinite(float(row["loss_percent"]))
