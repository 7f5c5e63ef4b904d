"""`facetracks evaluate tracks`: tracks with known errors on labelled videos."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from published_layouts import disc_landmarks, write_300vw, write_300w, write_talking_face

from models.face_box import box_from_landmarks
from pipeline.commands import evaluate_tracks
from pipeline.commands.command_line import parse_command
from pipeline.data.labelled_tracks import AnnotatedVideo
from schemas.errors import UsageError
from schemas.tracks import TRACK_SCHEMA

Evaluate = Callable[..., str]
FRAMES = 4
EYES_PX = float(np.linalg.norm(disc_landmarks()[36] - disc_landmarks()[45]))


@pytest.fixture()
def evaluate(capsys: pytest.CaptureFixture[str]) -> Evaluate:
    """Runs the command and returns its output."""

    def run(*arguments: object) -> str:
        args = parse_command(["evaluate", "tracks", *map(str, arguments)])
        assert evaluate_tracks.run(args) == 0
        return capsys.readouterr().out

    return run


def _row(video_id: str, number: int, pts: int, raw_off_px: float) -> dict:
    truth = disc_landmarks(number)
    raw = truth + [raw_off_px, 0]
    points = {"x": truth[:, 0], "y": truth[:, 1], "x_raw": raw[:, 0], "y_raw": raw[:, 1]}
    points["spread_px"] = np.full(68, np.nan)
    return {
        "video_id": video_id, "face_id": 0, "frame_index": number, "pts": pts,
        "pts_seconds": pts / 25, "box_xyxy_px": box_from_landmarks(truth).tolist(),
        "box_source": "detected", "score": 0.9, **{k: v.tolist() for k, v in points.items()},
    }  # fmt: skip


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """300VW, and an output for it: raw landmarks alternately 1 px to the left and right, stabilized
    ones exact; the second video lacks the row of one frame."""
    folder = tmp_path_factory.mktemp("annotated")
    write_300vw(folder / "vw", ["114", "203"], frames=FRAMES)
    (folder / "out" / "tracks").mkdir(parents=True)
    (folder / "out" / "videos").mkdir()
    videos = []
    for name in ("114", "203"):
        uri = str(folder / "vw" / name / "vid.avi")
        pts = [frame.key for frame in AnnotatedVideo(uri).pictures(())]
        rows = [_row(name, n, pts[n], (-1) ** n) for n in range(FRAMES) if (name, n) != ("203", 3)]
        table = pa.Table.from_pylist(rows, schema=TRACK_SCHEMA)
        pq.write_table(table, folder / "out" / "tracks" / f"{name}.parquet")
        videos.append({"video_id": name, "uri": uri, "status": "ok", "message": None})
    pq.write_table(pa.Table.from_pylist(videos), folder / "out" / "videos" / "part.parquet")
    return folder / "vw", folder / "out"


def test_raw_and_stabilized(annotated: tuple[Path, Path], evaluate: Evaluate) -> None:
    videos, output = annotated
    report = json.loads(evaluate(output, "--set", f"300vw:{videos}", "--json"))
    rows = {
        (row["network"], row["group"]): row
        for row in report["results"]
        if (row["normalization"], row["landmarks"]) == ("interocular", 68)
    }
    raw, steady = rows["raw", "all"], rows["stabilized", "all"]
    assert (raw["faces"], raw["predictions"], raw["missed"]) == (8, 7, 1)
    assert raw["nrmse_mean"] == pytest.approx(100 / EYES_PX, rel=1e-4)
    assert steady["nrmse_mean"] == pytest.approx(0, abs=1e-4)
    assert steady["fr8_percent"] == pytest.approx(100 / 8)
    assert rows["raw", "category 1"]["missed"] == 0
    stability = {
        (row["network"], row["group"], row["landmarks"]): row["stability_percent"]
        for row in report["stability"]
    }
    assert stability["raw", "all", 68] == pytest.approx(100 * 2 / EYES_PX, rel=1e-4)
    assert stability["raw", "category 2", 7] == pytest.approx(100 * 2 / EYES_PX, rel=1e-4)
    assert stability["stabilized", "all", 68] == pytest.approx(0, abs=1e-4)


def test_tables(annotated: tuple[Path, Path], evaluate: Evaluate) -> None:
    videos, output = annotated
    out = evaluate(output, "--set", f"300vw/1:{videos}")
    assert "68 landmarks, percent of the distance of the outer eye corners (interocular)" in out
    assert "stability, percent of the distance of the outer eye corners, mean over videos" in out


def test_an_output_against_another(annotated: tuple[Path, Path], evaluate: Evaluate) -> None:
    """Tracks as the truth of their own video: the stabilized ones are exact."""
    videos, output = annotated
    spec = f"tracks:{output}={videos}/114/vid.avi"
    report = json.loads(evaluate(output, "--set", spec, "--json"))
    steady = next(row for row in report["results"] if row["network"] == "stabilized")
    assert (steady["predictions"], steady["nrmse_mean"]) == (4, 0)


def test_what_it_refuses(annotated: tuple[Path, Path], tmp_path: Path, evaluate: Evaluate) -> None:
    _, output = annotated
    write_300w(tmp_path / "stills", ["ibug/a"])
    with pytest.raises(UsageError, match="holds no videos, expected a set of videos"):
        evaluate(output, "--set", f"300w:{tmp_path}/stills")
    write_talking_face(tmp_path / "talk", frames=1)
    with pytest.raises(UsageError, match="its frames are pictures, expected a video file"):
        evaluate(output, "--set", f"talking-face:{tmp_path}/talk")
    write_300vw(tmp_path / "other", ["115"], frames=1)
    with pytest.raises(UsageError, match=r"got 2 videos like .*vid\.avi, expected one"):
        evaluate(output, "--set", f"300vw/all:{tmp_path}/other")


def test_a_missing_annotation(
    annotated: tuple[Path, Path], evaluate: Evaluate, tmp_path: Path
) -> None:
    videos, output = annotated
    path = videos / "114" / "annot" / "000002.pts"
    text = path.read_text()
    path.unlink()
    try:
        with pytest.raises(UsageError, match="114: frame 1 has no label"):
            evaluate(output, "--set", f"300vw/1:{videos}")
        out = evaluate(output, "--set", f"300vw/1:{videos}", "--skip-broken")
        assert "skipped: 1 broken annotations" in out
    finally:
        path.write_text(text)
