"""Jitter at rest and lag of stabilizers on the raw landmarks of annotated videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from models.stabilization.fitting.metrics import resting, score_rest, score_tracks
from models.stabilization.fitting.track_batch import TrackBatch
from models.stabilization.stabilizers import Stabilizer, stabilize_track
from models.synthesis.motion_tracks import MotionTrack
from pipeline.arrow_tables import landmark_rows
from schemas.errors import UsageError
from transforms.storage.output_tables import OutputFolder

_SHORTEST: Final = 50
_MIN_RESTING: Final = 500
#: Frames of a face, from its first, that the lag is measured on.
_LAG_FRAMES: Final = 300

Array = npt.NDArray[np.float64]


def annotated_tracks(output: Path) -> Iterator[tuple[str, Array, Array]]:
    """Name, seconds (T,) and raw landmarks (T, 68, 2) of every longer face of an output.

    Raises OutputError if the folder holds no tracks, UsageError if some have no raw landmarks.
    """
    columns = ["video_id", "face_id", "pts_seconds", "x_raw", "y_raw"]
    folder = OutputFolder(output)
    folder.require_tracks()
    for table in folder.track_tables(columns):
        if table["x_raw"].null_count:
            raise UsageError(
                f"{output}: {table['video_id'][0]} has no x_raw and y_raw; got tracks of "
                "`annotate --no-raw`, expected tracks annotated without that option"
            )
        faces = table["face_id"].to_numpy()
        for face in np.unique(faces):
            rows = table.take(np.flatnonzero(faces == face))
            if len(rows) < _SHORTEST:
                continue
            name = f"{rows['video_id'][0]} face {face}"
            yield name, rows["pts_seconds"].to_numpy(), landmark_rows(rows, "_raw")


def rest_table(output: Path, kinds: Mapping[str, Callable[[], Stabilizer]]) -> str:
    """Jitter and step at rest of each stabilizer, over those of the raw landmarks; the lag.

    The lag is measured against the raw landmarks, which have none, where the face moves.
    """
    ratios: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    tracks: dict[str, list[MotionTrack]] = {name: [] for name in kinds}
    rows = []
    for name, seconds, raw in annotated_tracks(output):
        fps = 1 / float(np.median(np.diff(seconds)))
        rests = resting(raw, fps)
        before = score_rest(raw, rests)
        shown = f"{name[:40]:40} {before.landmark_frames:7}"
        enough = before.landmark_frames >= _MIN_RESTING
        if enough:
            shown += f" {before.jitter_percent:6.3f}"
        for kind, new in kinds.items():
            steady = stabilize_track(new(), seconds, raw)
            tracks[kind].append(MotionTrack(name, fps, raw, steady).part(0, _LAG_FRAMES))
            if enough:
                after = score_rest(steady, rests)
                jitter = after.jitter_percent / before.jitter_percent
                ratios[kind].append((jitter, after.step_percent / before.step_percent))
                shown += f" {jitter:11.3f}"
        if enough:
            rows.append(shown)
    lines = [
        f"jitter at rest over that of the raw landmarks, {len(rows)} faces",
        f"{'face':40} {'resting':>7} {'raw %':>6}" + "".join(f" {kind:>11}" for kind in kinds),
        *rows,
    ]
    if rows:
        for word, pick in (("jitter, mean", 0), ("step, mean", 1)):
            means = [float(np.mean([pair[pick] for pair in ratios[kind]])) for kind in kinds]
            lines.append(f"{word:55}" + "".join(f" {mean:11.3f}" for mean in means))
        worst = [max(pair[0] for pair in ratios[kind]) for kind in kinds]
        lines.append(f"{'jitter, worst':55}" + "".join(f" {value:11.3f}" for value in worst))
    lags = [_lag(tracks[kind]) for kind in kinds]
    lines.append(f"{'lag, frames':55}" + "".join(f" {lag:+11.3f}" for lag in lags))
    return "\n".join(lines)


def _lag(tracks: list[MotionTrack]) -> float:
    batch = TrackBatch.of(tracks)
    return score_tracks(batch, batch.raw).lag_frames
