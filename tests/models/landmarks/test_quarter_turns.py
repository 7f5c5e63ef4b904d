import numpy as np
import pytest

from models.landmarks.card import LandmarkCard
from models.landmarks.landmark_model import (
    LandmarkModel,
    quarters_to_upright,
)

SIZE = 8
EYES, MOUTH = 1, 2


def face(eyes: tuple[float, float], mouth: tuple[float, float]) -> np.ndarray:
    """All landmarks of the eyes at one point, all of the mouth at another."""
    landmarks = np.zeros((68, 2), np.float32)
    landmarks[36:48], landmarks[48:] = eyes, mouth
    return landmarks


def crop(turns: int) -> np.ndarray:
    """Eyes at (3, 1), mouth at (4, 6), rotated so that `turns` quarter turns make it upright."""
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[1, 3], pixels[6, 4] = EYES, MOUTH
    return np.ascontiguousarray(np.rot90(pixels, -turns))


def places(pixels: np.ndarray) -> np.ndarray:
    (ey, ex), (my, mx) = (np.argwhere(pixels[..., 0] == mark)[0] for mark in (EYES, MOUTH))
    return face((ex, ey), (mx, my))


class BestWhenUpright(LandmarkModel):
    """Exact for upright faces; for others, the right orientation with an error of three pixels."""

    def __init__(self, frames_seen: int, *, stands_wrongly: bool = False) -> None:
        card = LandmarkCard(network="3d" if frames_seen == 3 else "2d", crop_size_px=SIZE)
        super().__init__(
            card,
            device="cpu",
            weights_sha256="",
            batch_windows=4,
            frames_seen=frames_seen,
            makes_heatmaps=False,
        )
        self.stands_wrongly = stands_wrongly
        self.looks: list[int] = []

    def read_by(self, codec: str) -> LandmarkModel:
        raise NotImplementedError

    def _predict(self, crops: np.ndarray, windows: np.ndarray) -> np.ndarray:
        self.looks.append(len(windows))
        found = np.stack([places(crops[last]) for last in windows[:, -1]])
        lies = quarters_to_upright(found) != 0
        if self.stands_wrongly and len(self.looks) > 1:
            found = found[..., ::-1]  # always predicts a rolled face
        found = found + 3 * lies[:, None, None]
        spread = np.where(lies, 9.0, 1.0)
        return np.concatenate(
            [found, np.broadcast_to(spread[:, None, None], (len(found), 68, 1))], axis=-1
        ).astype(np.float32)


@pytest.mark.parametrize(
    ("eyes", "mouth", "turns"),
    [
        ((0, 0), (0, 5), 0),
        ((0, 0), (4, 5), 0),  # 39 degrees
        ((0, 0), (-5, 0), 1),  # the head's top points right: rolled clockwise
        ((0, 0), (0, -5), 2),
        ((0, 0), (5, 4), 3),
        ((np.nan, 0), (0, 5), 0),
    ],
)
def test_the_turns_that_make_a_face_stand(eyes, mouth, turns):
    assert quarters_to_upright(face(eyes, mouth)[None]).tolist() == [turns]


@pytest.mark.parametrize("frames_seen", [1, 3])
def test_faces_that_lie_are_looked_at_again_standing(frames_seen):
    model = BestWhenUpright(frames_seen)
    crops = np.stack([crop(turns) for turns in (0, 1, 2, 3, 1)])
    windows = np.repeat(np.arange(5)[:, None], model.card.window_frames, axis=1)
    landmarks, spread = model.predict_with_spread(crops, windows)
    expected = np.stack([places(pixels) for pixels in crops])
    np.testing.assert_array_equal(landmarks[:, 36:], expected[:, 36:])
    assert (spread == 1).all()
    assert model.looks == [5, 2, 1, 1]


def test_a_second_look_that_sees_no_standing_face_does_not_count():
    model = BestWhenUpright(1, stands_wrongly=True)
    crops = crop(2)[None]
    landmarks, spread = model.predict_with_spread(crops, np.zeros((1, 3), np.intp))
    np.testing.assert_array_equal(landmarks[0, 36:], places(crops[0])[36:] + 3)
    assert (spread == 9).all()
