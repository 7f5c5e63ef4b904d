"""Frames that repeat the previous one; a later start finds the same repeats."""

from fractions import Fraction

import av
import numpy as np
import pytest
from clips import decode_plainly, drifting, write_clip

from transforms.decoding.frame_samples import frame_samples
from transforms.decoding.reach import CONTEXT_SECONDS, OVERHANG_SECONDS, REFRESH_SECONDS

TB = Fraction(1, 100)  # a frame every 4 pts: 25 a second
STEP = 4
DRIFT = drifting(80, 128, 96)


def noisy(pictures, amount, seed=0):
    """The pictures, each with its own grain, like sensor noise."""
    rng = np.random.default_rng(seed)
    grainy = (p + rng.normal(0, amount, (*p.shape[:2], 1)) for p in pictures)
    return [np.rint(p).clip(0, 255).astype(np.uint8) for p in grainy]


def at_steps(pictures, start=0):
    """(pts, av.VideoFrame) of some pictures at 25 a second."""
    return [
        (start + STEP * i, av.VideoFrame.from_ndarray(p, format="rgb24").reformat(format="yuv420p"))
        for i, p in enumerate(pictures)
    ]


def shown(pictures, times):
    """Each picture repeated by the next of `times`, cyclically."""
    return [p for i, p in enumerate(pictures) for _ in range(times[i % len(times)])]


def repeats_of(frames, **options):
    """{pts of a sample: pts of its repeats}."""
    return {s.pts: s.repeats_pts for s in frame_samples(frames, TB, **options)}


@pytest.mark.parametrize("times", [[2], [3], [2, 3], [3, 2, 2], [1, 2], [4]])
def test_frames_shown_again_are_repeats(times):
    pictures = DRIFT[:12]
    expected, pts = {}, 0
    for i in range(len(pictures)):
        count = times[i % len(times)]
        expected[pts] = [pts + STEP * n for n in range(1, count)]
        pts += STEP * count
    assert repeats_of(at_steps(shown(pictures, times))) == expected


@pytest.mark.parametrize("times", [[2], [2, 3]])
def test_an_encoder_changes_repeats_a_little(times):
    """Grain of the codec's size on every frame, beside a movement that is larger."""
    frames = at_steps(noisy(shown(DRIFT[::8], times), 0.25))
    samples = list(frame_samples(frames, TB))
    assert len(samples) == 10
    assert sum(len(s.repeats_pts) for s in samples) == len(frames) - 10


@pytest.mark.parametrize("amount", [1.0, 2.0, 4.0])
def test_a_still_picture_with_noise_repeats_nothing(amount):
    still = [DRIFT[0]] * 40
    assert not any(repeats_of(at_steps(noisy(still, amount))).values())


def test_movement_that_pauses_in_noise_repeats_nothing():
    pauses = [*DRIFT[:30:3], *[DRIFT[30]] * 6, *DRIFT[30:60:3]]
    assert not any(repeats_of(at_steps(noisy(pauses, 1.5))).values())


def test_movement_that_slows_down_before_the_end_repeats_nothing():
    slowing = [*DRIFT[:40:4], *DRIFT[37:41]]
    assert not any(repeats_of(at_steps(noisy(slowing, 0.25))).values())


def test_a_small_change_in_a_still_picture_is_new():
    """A blink: some pixels of one corner."""
    pictures = [DRIFT[0].copy() for _ in range(4)]
    pictures[2][10:16, 20:30] += np.uint8(40)
    assert repeats_of(at_steps(pictures)) == {0: [4], 8: [], 12: []}


def creeping(step_px, count, noise=0.0):
    """A patch with the contrast of eyes that moves by a step per frame; the rest is still."""
    y, x = np.mgrid[:64, :64].astype(float)
    rng = np.random.default_rng(0)
    pictures = []
    for i in range(count):
        grey = np.full((192, 256), 110.0)
        grey[64:128, 96:160] += 70 * np.sin((x - step_px * i) / 3) * np.cos(y / 9)
        grey += rng.normal(0, noise, grey.shape)
        pictures.append(np.rint(grey).clip(0, 255).astype(np.uint8)[..., None].repeat(3, -1))
    return pictures


@pytest.mark.parametrize("step_px", [0.05, 0.1, 0.3])
@pytest.mark.parametrize(("noise", "crf"), [(0.0, None), (1.0, None), (0.0, 16), (1.0, 16)])
def test_what_moves_slowly_is_no_repeat(step_px, noise, crf, tmp_path):
    """No frame gets the rows of one that lags by more than 0.1 px, also after encoding."""
    pictures = creeping(step_px, 30, noise)
    frames = at_steps(pictures)
    if crf is not None:
        path = write_clip(tmp_path / "clip.mp4", pictures, crf=crf)
        frames = [(STEP * i, frame) for i, frame in enumerate(decode_plainly(path))]
    repeats = repeats_of(frames)
    behind = [(last - pts) / STEP * step_px for pts, again in repeats.items() for last in again]
    assert max(behind, default=0.0) <= 0.1
    assert len(behind) <= len(pictures) // 5


def test_a_picture_that_stands_still_is_looked_at_in_every_step_of_the_grid():
    """25 frames a second, steps of 20 pts: the first refresh comes 20 pts after the picture."""
    samples = list(frame_samples(at_steps([*DRIFT[:3], *[DRIFT[3]] * 20]), TB))
    assert [s.pts for s in samples] == [0, 4, 8, 12, 40, 60, 80]
    assert [s.number for s in samples] == [*range(7)]
    assert [s.frame for s in samples] == [s.pts // STEP for s in samples]
    assert [s.previous_pts for s in samples] == [None, 0, 4, 8, 12, 40, 60]


def test_the_sample_before_a_gap_a_cut_and_the_end_is_an_end():
    bright = [np.minimum(p.astype(int) + 120, 255).astype(np.uint8) for p in DRIFT[40:44]]
    frames = at_steps(DRIFT[:4]) + at_steps(DRIFT[4:8], 38) + at_steps(bright, 54)
    samples = list(frame_samples(frames, TB))
    assert [s.pts for s in samples if s.ends] == [12, 50, 66]  # 25 pts are one window
    assert [s.pts for s in samples if s.cut] == [54]
    near = at_steps(DRIFT[:4]) + at_steps(DRIFT[4:8], 37)
    assert [s.pts for s in frame_samples(near, TB) if s.ends] == [49]


def test_a_frame_with_other_boxes_is_no_repeat():
    frames = at_steps(shown(DRIFT[:3], [3]))
    given = {4: False}

    def same_boxes(frame, pts, other_frame, other_pts):
        return given.get(other_pts, True)

    assert repeats_of(frames, same_boxes=same_boxes) == {0: [], 4: [8], 12: [16, 20], 24: [28, 32]}


def test_a_change_of_size_is_new():
    small = [p[:48] for p in DRIFT[:2]]
    assert repeats_of(at_steps([DRIFT[0], DRIFT[0], small[0], small[0]])) == {0: [4], 8: [12]}


def test_a_change_of_size_is_a_cut():
    """The same picture at half the size: its coordinates differ."""
    small = [np.ascontiguousarray(p[::2, ::2]) for p in DRIFT[10:40:10]]
    samples = list(frame_samples(at_steps([*DRIFT[:3], *small]), TB))
    assert [s.pts for s in samples if s.cut] == [12]
    assert [s.pts for s in samples if s.ends] == [8, 20]


@pytest.mark.parametrize("seed", range(20))
def test_a_later_start_finds_the_same_samples(seed):
    """After the part of the overhang that repeats use."""
    rng = np.random.default_rng(seed)
    times = rng.choice([1, 1, 2, 3, 8, 20], 40)
    pictures = noisy(shown(DRIFT[:40], times), rng.choice([0.0, 0.4]))
    frames = at_steps(pictures)
    whole = repeats_of(frames)
    reach = (CONTEXT_SECONDS + 2 * REFRESH_SECONDS) / TB
    assert reach < OVERHANG_SECONDS / TB
    for first in rng.integers(1, len(frames) - 40, 8).tolist():
        late = repeats_of(frames[first:])
        start = frames[first][0] + reach
        settled = [pts for pts in whole if pts >= start]
        assert [pts for pts in late if pts >= start] == settled
        assert all(late[pts] == whole[pts] for pts in settled)
