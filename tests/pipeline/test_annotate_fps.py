"""`annotate --fps`: fewer rows, each equal to its row in a full run."""

import numpy as np
import pyarrow as pa
import pytest
from clips import write_clip
from track_tables import assert_same_tracks

from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX, load_astronaut
from models.synthesis.face_animation import FaceAnimation
from models.synthesis.face_motion import pose_at
from pipeline.annotate_clip import annotate_clip
from pipeline.settings import AnnotateSettings
from schemas.errors import UsageError


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """1.5 s of a face, 25 frames a second, three of which are missing; two repeats."""
    animation = FaceAnimation(load_astronaut(), ASTRONAUT_LANDMARKS_PX)
    pts = [at for at in range(38) if at not in (5, 10, 26)]
    shown = [at - 1 if at in (21, 31) else at for at in pts]
    pictures = [animation.render(pose_at(at / 25), 128) for at in shown]
    return write_clip(tmp_path_factory.mktemp("fps") / "clip.mp4", pictures, keyint=10, pts=pts)


def annotated(clip, **settings) -> pa.Table:
    return annotate_clip(clip, AnnotateSettings(device="cpu", stabilizer="none", **settings))


def test_rows_are_those_of_a_full_run(clip):
    every = annotated(clip)
    some = annotated(clip, fps=5, segment_seconds=0.5)
    numbers = every["frame_index"].to_numpy()
    assert len(numbers) == 35
    pts = [at for at in range(38) if at not in (5, 10, 26)]
    wanted = [i for i, at in enumerate(pts) if at in (0, 6, 11, 15, 20, 25, 30, 35)]
    assert_same_tracks(some, every.take(np.flatnonzero(np.isin(numbers, wanted))))
    assert some["frame_index"].to_pylist() == wanted


def test_what_is_no_rate_is_refused():
    with pytest.raises(UsageError, match="fps: got 'often', expected a number of frames a second"):
        AnnotateSettings(fps="often")
