"""An offline smoother: two Rauch-Tung-Striebel passes in each mode of motion.

    first pass   every mode equally agile            -> how fast each mode moves, and when
    second pass  agile where a mode moves, stiff
                 where it rests                      -> landmarks

Each of the 136 modes moves with a speed that white acceleration changes, alone. Still faces
lose their jitter and fast ones keep their motion, without delay. Time is in seconds, so
frame rates may vary; lengths in units of the face, so faces may be large or small.

    held    |---- chunk ----|------- lookahead -------|   forward and backward over all of it
    returns |---------------|                             the chunk
    the next call starts at ---->|

Frames beyond the lookahead would change the chunk by less than 0.01 px (a test), so memory is
bounded by `CHUNK + LOOKAHEAD` frames for a track of any length.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from models.face_box import size_of_moments_px
from models.stabilization.landmark_guards import (
    FARTHEST_PX,
    SIZE_RATE,
    SMALLEST_SIZE_PX,
    fill_missing,
    is_jump,
)
from models.stabilization.mode_passes import Moments, smooth_modes, smooth_speeds
from schemas.landmarks import LANDMARK_COUNT

#: Frames that are returned at once. Each is computed (CHUNK + LOOKAHEAD) / CHUNK times.
CHUNK: Final = 120
LOOKAHEAD: Final = 70
#: How far the window over squared speeds reaches, in its deviations.
_WINDOW_REACH: Final = 3.0
#: Frames of the past that are kept for that window, whatever the frame rate.
_PAST_FRAMES: Final = 60

#: Differences of openings below this many standard deviations count as noise.
TRUSTED_DEVIATIONS: Final = 1.5
#: Upper lids, lower lids and corners of the right and the left eye, iBUG order.
_UPPER: Final = ((37, 38), (43, 44))
_LOWER: Final = ((40, 41), (46, 47))
_CORNERS: Final = ((36, 39), (42, 45))

_ONES: Final = np.ones(LANDMARK_COUNT)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SmootherParameters:
    """Parameters of a `ModeSmoother`. Agility is acceleration's density over the jitter, s^-3.

    eigenvectors: (136, 136), columns: the modes of motion.
    jitter: (136,) variance of the measurement of each mode, for a face of size 100.
    first_agility: of every mode in the first pass.
    rest_agility: of a mode at rest, in the second pass.
    agility_gain: what a mode's squared speed (over its jitter, s^-2) adds, s^-1.
    rest_speed2: squared speed that still counts as rest, s^-2.
    window_seconds: deviation of the window over which squared speeds are averaged.
    """

    eigenvectors: Array
    jitter: Array
    first_agility: float = 1e4
    rest_agility: float = 30.0
    agility_gain: float = 4.0
    rest_speed2: float = 10.0
    window_seconds: float = 0.2

    def __post_init__(self) -> None:
        modes = 2 * LANDMARK_COUNT
        if self.eigenvectors.shape != (modes, modes) or self.jitter.shape != (modes,):
            raise ValueError(
                f"got eigenvectors {self.eigenvectors.shape}, jitter {self.jitter.shape}; "
                f"expected ({modes}, {modes}) and ({modes},)"
            )
        if not (np.isfinite(self.eigenvectors).all() and (self.jitter > 0).all()):
            raise ValueError("expected finite eigenvectors and jitter above 0")
        if min(self.first_agility, self.rest_agility, self.window_seconds) <= 0:
            raise ValueError("expected agilities and a window above 0")


@dataclass(slots=True)
class _Past:
    """State between chunks: moments of each pass, and squared speeds for the window."""

    first: Moments | None = None
    second: Moments | None = None
    seconds: Array = field(default_factory=lambda: np.empty(0))  # (P,)
    speeds2: Array = field(default_factory=lambda: np.empty((0, 2 * LANDMARK_COUNT)))  # (P, 136)


class ModeSmoother:
    """Smooths one track with a delay of `LOOKAHEAD` frames or more.

    Its state is the frames it holds, and the moments before them.
    """

    def __init__(
        self, parameters: SmootherParameters, chunk: int = CHUNK, lookahead: int = LOOKAHEAD
    ) -> None:
        self.parameters = parameters
        self._chunk, self._lookahead = chunk, lookahead
        self._lid_noise = lid_noise(parameters.eigenvectors, parameters.jitter)
        self._seconds: list[float] = []
        self._new: list[Array] = []  # landmarks of frames whose modes are not known yet
        self._modes: Array = np.empty((0, 2 * LANDMARK_COUNT))  # of the frames before those
        self._sizes: list[float] = []
        self._size_px: float | None = None
        self._last: Array | None = None
        self._last_size_px = 0.0
        self._past = _Past()

    def push(self, seconds: float, landmarks_px: Array) -> list[Array]:
        """Takes a frame's (68, 2) landmarks; returns the frames that are final, oldest first."""
        square = float(np.vdot(landmarks_px, landmarks_px))
        if not square < FARTHEST_PX**2:
            landmarks_px = fill_missing(landmarks_px, self._last)
            square = float(np.vdot(landmarks_px, landmarks_px))
        ended: list[Array] = []
        if self._last is not None:
            moved = landmarks_px - self._last
            if is_jump(float(np.vdot(moved, moved)) / LANDMARK_COUNT, self._last_size_px):
                ended = self.flush()
        x, y = (_ONES @ landmarks_px).tolist()  # the sums
        self._last = landmarks_px
        self._last_size_px = size_of_moments_px(square, x, y, LANDMARK_COUNT)
        size = max(self._last_size_px, SMALLEST_SIZE_PX)
        before = size if self._size_px is None else self._size_px
        self._size_px = before + SIZE_RATE * (size - before)
        self._seconds.append(seconds)
        self._sizes.append(self._size_px)
        self._new.append(landmarks_px)
        if len(self._seconds) < self._chunk + self._lookahead:
            return ended
        return ended + self._settle(self._chunk)

    def flush(self) -> list[Array]:
        """Ends the track: the rest."""
        settled = self._settle(len(self._seconds)) if self._seconds else []
        self._past, self._size_px, self._last = _Past(), None, None
        return settled

    def _settle(self, count: int) -> list[Array]:
        new = np.reshape(self._new, (len(self._new), 2 * LANDMARK_COUNT))
        modes = np.concatenate([self._modes, new @ self.parameters.eigenvectors])
        self._new.clear()
        seconds, sizes = np.array(self._seconds), np.array(self._sizes)
        smooth, self._past = _smooth(modes, seconds, sizes, self.parameters, self._past, count)
        back = self.parameters.eigenvectors.T
        landmarks = (smooth @ back).reshape(count, LANDMARK_COUNT, 2)
        seen = (modes[:count] @ back).reshape(landmarks.shape)
        restore_lids(landmarks, seen, self._lid_noise * sizes[:count] / 100.0)
        self._modes = modes[count:].copy()  # not a view, which would keep and pickle all
        del self._seconds[:count], self._sizes[:count]
        return list(landmarks)


def _smooth(
    modes: Array,
    seconds: Array,
    sizes: Array,
    parameters: SmootherParameters,
    past: _Past,
    count: int,
) -> tuple[Array, _Past]:
    """Both passes over (T, 136) modes; the first `count` frames, and what the next needs."""
    known = np.concatenate([past.seconds, seconds])
    steps = np.diff(known, prepend=known[0])[-len(seconds) :]
    speeds, first = smooth_speeds(modes, steps, parameters.first_agility, past.first, count)
    variance = parameters.jitter * (sizes[:, None] / 100.0) ** 2
    speeds2 = np.concatenate([past.speeds2, speeds**2 / variance])
    gap = (seconds[:, None] - known) / parameters.window_seconds
    window = np.exp(-0.5 * gap**2) * (np.abs(gap) < _WINDOW_REACH)
    around = window @ speeds2 / window.sum(1, keepdims=True)
    moving = np.maximum(around - parameters.rest_speed2, 0.0)
    agility = parameters.rest_agility + parameters.agility_gain * moving
    smooth, second = smooth_modes(modes, steps, agility, past.second, count)
    done = len(past.seconds) + count
    reached = known[done - 1] - _WINDOW_REACH * parameters.window_seconds
    near = int(np.argmax(known[:done] > reached))
    kept = slice(max(near, done - _PAST_FRAMES), done)
    return smooth[:count], _Past(first, second, known[kept], speeds2[kept])


def lid_noise(eigenvectors: Array, variances: Array) -> float:
    """Deviation of an eye's opening along an axis, both eyes and axes alike.

    `eigenvectors`: (136, M), columns: modes of the landmarks' noise; `variances`: (M,) of each.
    """
    points = eigenvectors.reshape(-1, 2, len(variances))
    openings = [
        points[list(upper)].mean(0) - points[list(lower)].mean(0)  # (2, M)
        for upper, lower in zip(_UPPER, _LOWER, strict=True)
    ]
    return float(np.sqrt((np.square(openings) @ variances).mean()))


def restore_lids(smooth_px: Array, seen_px: Array, noise_px: Array) -> None:
    """Restores eyelid motion that a smoother removed, in place, as far as it exceeds noise.

    A blink lasts 3 to 8 frames, with shut lids on one or two, and moves 8 of 68 landmarks. A
    smoother with a window of a fifth of a second treats it almost as noise and leaves shut eyes
    open. So for each eye

        r  = opening as seen - opening as smoothed      (2,) px, upper lid minus lower lid
        restored: r max(0, 1 - (TRUSTED_DEVIATIONS noise / |r|)^2)

    distributed over both lids by their own differences, relative to the eye's corners. Noise alone
    stays smooth, and the restored motion starts at zero, so lids do not jump.

    Args:
        smooth_px, seen_px: (T, 68, 2) landmarks.
        noise_px: (T,) deviation of an opening along an axis.
    """
    apart = seen_px - smooth_px
    for upper, lower, corners in zip(_UPPER, _LOWER, _CORNERS, strict=True):
        eye = apart[:, corners].mean(1)  # (T, 2)
        lids = [apart[:, lid].mean(1) - eye for lid in (upper, lower)]
        length = np.linalg.norm(lids[0] - lids[1], axis=-1)
        trusted = TRUSTED_DEVIATIONS * noise_px
        share = np.maximum(0.0, 1.0 - (trusted / np.maximum(length, 1e-12)) ** 2)[:, None]
        for lid, moved in zip((upper, lower), lids, strict=True):
            smooth_px[:, lid] += (share * moved)[:, None]
