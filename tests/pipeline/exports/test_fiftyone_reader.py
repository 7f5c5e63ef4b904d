"""FiftyOne's own importer reads the export, in a separate environment."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.exports.formats import export_tracks

_READER = Path(__file__).with_name("fiftyone_reader.py")
_TOLERANCE_PX = 0.01


@pytest.fixture(scope="module")
def fiftyone_python(tmp_path_factory) -> Path:
    """Python of a new environment with FiftyOne, or of FACETRACKS_FIFTYONE if it is set."""
    if given := os.environ.get("FACETRACKS_FIFTYONE"):
        return Path(given)
    python = tmp_path_factory.mktemp("fiftyone") / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
    command = [python, "-m", "pip", "install", "--quiet", "fiftyone==1.22.1"]
    installed = subprocess.run(command, capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"pip could not install fiftyone: {installed.stderr.strip()[-300:]}")
    return python


@pytest.mark.long
def test_fiftyone_reads_landmarks_and_boxes(fiftyone_python, output, videos, tmp_path):
    export_tracks(str(output), str(tmp_path / "to"), "fiftyone")
    command = [fiftyone_python, _READER, tmp_path / "to"]
    alone = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    alone |= {"FIFTYONE_DO_NOT_TRACK": "1", "HOME": str(tmp_path)}
    ended = subprocess.run(command, capture_output=True, text=True, env=alone)
    assert ended.returncode == 0, ended.stderr
    read = json.loads(ended.stdout)["videos"]
    assert set(read) == {str(Path(video.uri).absolute()) for video in videos.values()}
    for video in videos.values():
        frames = read[str(Path(video.uri).absolute())]
        assert [int(number) for number in frames] == [frame + 1 for frame, _ in video.by_frame()]
        size = np.array([video.width_px, video.height_px])
        for frame, rows in video.by_frame():
            seen = frames[str(frame + 1)]
            faces = video.face_id[rows].tolist()
            assert seen["indices"] == seen["point_indices"] == faces
            assert seen["labels"] == ["face"] * len(faces)
            np.testing.assert_allclose(seen["scores"], video.score[rows], atol=1e-3)
            points = np.array(seen["points"]) * size - 0.5
            near = {"rtol": 0, "atol": _TOLERANCE_PX}
            np.testing.assert_allclose(points, video.landmarks_px[rows], **near)
            corner, sides = np.array(seen["boxes"]).reshape(-1, 2, 2).transpose(1, 0, 2)
            boxes = np.hstack([corner * size, (corner + sides) * size]) - 0.5
            np.testing.assert_allclose(boxes, video.boxes_xyxy_px[rows], **near)
