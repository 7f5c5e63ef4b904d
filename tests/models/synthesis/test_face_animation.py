import cv2
import numpy as np
import pytest

from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX
from models.synthesis.face_animation import FaceAnimation, head_map, invert_head_map
from models.synthesis.face_motion import LOOP_SECONDS, Pose, pose_at

SIZE_PX = 512
# Landmarks far from each other and from the lids' and lips' openings.
APART = [0, 2, 4, 6, 8, 10, 12, 14, 16, 17, 19, 21, 22, 24, 26, 27, 29, 31, 33, 35, 57]
LIDS_AND_LIPS = [37, 38, 40, 41, 43, 44, 46, 47, 61, 62, 63, 65, 66, 67]
MOMENTS = [0.9, 1.15, 2.4, 4.75, 6.3, 7.05, 8.3]


def wall_with_dots(points: np.ndarray) -> np.ndarray:
    """A dark photograph with a bright Gaussian dot at every point."""
    y, x = np.indices((512, 512))
    picture = np.full((512, 512), 10.0)
    for at_x, at_y in points:
        picture += 220 * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / (2 * 0.7**2))
    return np.repeat(picture.clip(0, 255).astype(np.uint8)[..., None], 3, 2)


def centroid(frame: np.ndarray, near: np.ndarray, reach: int = 6) -> np.ndarray:
    x0, y0 = np.round(near).astype(int) - reach
    patch = frame[y0 : y0 + 2 * reach + 1, x0 : x0 + 2 * reach + 1, 0].astype(float)
    weight = np.clip(patch - 60, 0, None) ** 2  # the core of the dot
    y, x = np.indices(patch.shape)
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum() + (x0, y0)


@pytest.fixture(scope="module")
def dots() -> FaceAnimation:
    return FaceAnimation(wall_with_dots(ASTRONAUT_LANDMARKS_PX[APART]), ASTRONAUT_LANDMARKS_PX)


@pytest.fixture(scope="module")
def white() -> FaceAnimation:
    return FaceAnimation(np.full((512, 512, 3), 255, np.uint8), ASTRONAUT_LANDMARKS_PX)


def test_at_rest_landmarks_follow_the_camera_alone(dots: FaceAnimation) -> None:
    # The camera is centred on (224, 152) and 290 px wide.
    expected = (ASTRONAUT_LANDMARKS_PX - (224, 152)) * 512 / 290 + 255.5
    np.testing.assert_allclose(dots.landmarks(Pose(), SIZE_PX), expected, atol=1e-9)


@pytest.mark.parametrize("seconds", MOMENTS)
def test_pixels_go_where_their_landmarks_go(dots: FaceAnimation, seconds: float) -> None:
    pose = pose_at(seconds)
    frame = dots.render(pose, SIZE_PX)
    truth = dots.landmarks(pose, SIZE_PX)[APART]
    found = np.stack([centroid(frame, point) for point in truth])
    assert np.linalg.norm(found - truth, axis=1).max() < 0.25


@pytest.mark.parametrize(
    "pose",
    [
        Pose(),
        Pose(blink=0.4, mouth_open=0.8, yaw_deg=10),
        Pose(mouth_narrow=0.8, mouth_open=0.5, brow_raise=1, pitch_deg=5),
    ],
)
def test_openings_end_at_their_landmarks(white: FaceAnimation, pose: Pose) -> None:
    """White skin, dark openings: half-way grey is at the lids' and inner lips' landmarks."""
    white._behind[:] = 0
    grey = white.render(pose, SIZE_PX)[..., 0].astype(np.float32)
    landmarks = white.landmarks(pose, SIZE_PX)
    for index in LIDS_AND_LIPS:
        x, y = landmarks[index]
        # Pairs across an opening: 37-41, 38-40, 43-47, 44-46, 61-67, 62-66, 63-65.
        inward = 1.0 if index in (37, 38, 43, 44, 61, 62, 63) else -1.0
        offsets = np.arange(-1.5, 1.51, 0.05, dtype=np.float32)
        line = cv2.remap(
            grey,
            np.full_like(offsets, x)[None],
            (y + inward * offsets).astype(np.float32)[None],
            cv2.INTER_LINEAR,
        )[0]
        assert line[0] > 230, index
        assert line[-1] < 40, index
        assert abs(offsets[np.argmax(line < 127.5)]) < 0.15, index


@pytest.mark.parametrize("seconds", MOMENTS)
def test_head_map_is_inverted(seconds: float) -> None:
    pose = pose_at(seconds)
    y, x = np.mgrid[0:512:16.0, 0:512:16.0]
    places = np.stack([x, y], -1)
    np.testing.assert_allclose(invert_head_map(head_map(places, pose), pose), places, atol=2e-3)


def test_far_from_the_head_nothing_moves() -> None:
    corners = np.array([[0.0, 511.0], [511.0, 511.0]])
    np.testing.assert_array_equal(head_map(corners, pose_at(6.3)), corners)


def test_expressions_move_what_they_name(dots: FaceAnimation) -> None:
    def gap(pose: Pose, upper: int, lower: int) -> float:
        points = dots.landmarks(pose, SIZE_PX)
        return float(points[lower, 1] - points[upper, 1])

    rest = Pose()
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
        assert gap(Pose(blink=1), upper, lower) < 0.15 * gap(rest, upper, lower)
        assert gap(Pose(blink=1), upper, lower) > 0
    assert gap(Pose(mouth_open=1), 62, 66) > gap(rest, 62, 66) + 12
    assert 0 < gap(Pose(mouth_open=-1), 62, 66) < 0.2 * gap(rest, 62, 66)
    assert gap(Pose(brow_raise=1), 19, 37) > gap(rest, 19, 37) + 5


def test_pose_loops_and_has_blinks_speech_and_fast_turns() -> None:
    later, now = pose_at(0.25 + LOOP_SECONDS), pose_at(0.25)
    assert later == now
    poses = [pose_at(i / 25) for i in range(250)]
    assert max(p.blink for p in poses) > 0.95
    assert max(p.mouth_open for p in poses) > 0.8
    assert min(p.mouth_open for p in poses) < -0.2
    turns = np.abs(np.diff([p.yaw_deg for p in poses])) * 25
    assert turns.max() > 80  # degrees a second


def test_render_is_deterministic(dots: FaceAnimation) -> None:
    first = dots.render(pose_at(2.0), 256)
    dots.render(pose_at(5.0), 256)
    np.testing.assert_array_equal(dots.render(pose_at(2.0), 256), first)
    assert first.shape == (256, 256, 3)
    assert first.dtype == np.uint8


def test_a_face_whose_lids_meet_in_one_pixel_can_be_animated() -> None:
    """Labels are whole pixels: in a small face two neighbours on a lid may coincide."""
    landmarks = ASTRONAUT_LANDMARKS_PX.copy()
    landmarks[38] = landmarks[37]
    animation = FaceAnimation(np.full((512, 512, 3), 128, np.uint8), landmarks)
    rest, blink = (animation.landmarks(Pose(blink=b), SIZE_PX) for b in (0.0, 1.0))
    np.testing.assert_allclose(rest[38], rest[37])
    assert blink[41, 1] - blink[37, 1] < 0.5 * (rest[41, 1] - rest[37, 1])
