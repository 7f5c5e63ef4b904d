"""A track stabilized by the pipeline equals the class's result on the whole track."""

import pickle
import random
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from segments import box_at, make_segment, split_parts
from stages import outputs_of

from models.stabilization.stabilizers import stabilize_track, stabilizer_factory
from schemas.choices import STABILIZERS
from schemas.records import Video
from schemas.tracks import TrackFormat
from transforms.stabilize_tracks import StabilizeTracks
from transforms.storage.parts import save_part
from transforms.storage.run_output import RunOutput
from transforms.track_assembler import TrackAssembler

FRAMES = 260
CUT = 190  # a new shot with another face
VIDEO = Video("clip.mp4", "/in/clip.mp4")


def landmarks_at(pts: int) -> np.ndarray:
    """A face of 68 points that sways and jitters, a function of pts."""
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    face = 40 * np.stack([np.cos(angle), np.sin(2 * angle)], 1) + 300
    sway = 30 * np.sin(pts / 9) * (pts % 60 < 30)
    noise = np.random.default_rng(pts).normal(0, 0.6, (68, 2))
    return (face + [sway, 0.2 * sway] + noise).astype(np.float32)


def cut_into(bounds):
    frames = {pts: {0 if pts < CUT else 1: box_at(10)} for pts in range(FRAMES)}
    parts = split_parts(frames, bounds, cuts=[CUT], video=VIDEO)
    found = []
    for part in parts:
        points = [landmarks_at(int(pts)) for pts in part.rows.frame_pts[part.rows.frame]]
        found.append(replace(part, landmarks_px=np.array(points, np.float32)))
    return found


def at_once(name) -> np.ndarray:
    """(FRAMES, 68, 2): each shot through one stabilizer."""
    frames = np.array([landmarks_at(pts) for pts in range(FRAMES)], np.float64)
    shots = (slice(CUT), slice(CUT, FRAMES))
    new, seconds = stabilizer_factory(name), np.arange(FRAMES) / 25
    return np.concatenate([stabilize_track(new(), seconds[s], frames[s]) for s in shots])


def landmarks_of(table: pa.Table) -> np.ndarray:
    table = table.sort_by("pts")
    assert table["pts"].to_pylist() == [*range(FRAMES)]
    return np.stack([np.array(table[axis].to_pylist()) for axis in "xy"], axis=-1)


@pytest.mark.parametrize("bounds", [[], [100], [1, 2, 3, 188, 190, 191], [*range(10, 260, 10)]])
@pytest.mark.parametrize("name", STABILIZERS)
def test_however_the_video_was_cut(name, bounds):
    """The state between segments is pickled, as in Beam."""
    walker = TrackAssembler("clip.mp4", make_segment().metadata.time_base)
    tables, states = [], []
    for part in cut_into(bounds):
        tables.append(walker.add(part, stabilizer_factory(name)))
        states.append(pickle.dumps(walker))
        walker = pickle.loads(states[-1])
    tables.append(walker.skip())
    got = landmarks_of(pa.concat_tables(tables))
    # Tables have single precision, so the class's results are rounded before comparison.
    assert np.abs(got - at_once(name).astype(np.float32)).max() <= 1e-6
    assert max(map(len, states)) < 600_000
    assert (np.abs(got - np.array([landmarks_at(pts) for pts in range(FRAMES)])).max() > 0.1) == (
        name != "none"
    )


@pytest.mark.parametrize("name", ["sta", "rts"])
def test_through_beam_in_any_order(tmp_path, name):
    whole = TrackFormat(full_precision=True)
    run_output = RunOutput(str(tmp_path), {"stabilizer": name}, track_format=whole)
    parts = [save_part(run_output.staging(VIDEO), part) for part in cut_into([40, 90, 91, 200])]
    random.Random(0).shuffle(parts)
    (tracks,) = outputs_of(parts, StabilizeTracks(run_output, name))
    got = landmarks_of(pa.concat_tables(pq.read_table(url) for url in tracks.part_urls))
    assert np.abs(got - at_once(name).astype(np.float32)).max() <= 1e-6
