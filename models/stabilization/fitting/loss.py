"""The loss of stabilizers (FHR, Eq. 11-15), and its gradient.

Lengths are in units of a face of size 100, which makes the three terms of one order of
magnitude, as the paper asks, whatever the size of the face in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.stabilization.fitting.track_batch import TrackBatch
from schemas.landmarks import LANDMARK_COUNT

#: |dp|^2 at which the time-delay term fades out: landmarks that move by half a unit a frame.
#: Without it a still face, whose direction of motion means nothing, would dominate.
_STILL: Final = LANDMARK_COUNT * 0.5**2

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LossWeights:
    """lambda_1 (smoothness), lambda_2 (time delay), lambda_3 (freedom along the path), evenness.

    Tracks are weighted by their mean square raw error to the power -evenness. At 0, as in the
    paper, all frames have equal weight, so the few tracks with large errors dominate; at 1 the
    quietest track has as much influence as the noisiest.
    """

    smooth: float = 1.0
    delay: float = 10.0
    midpoint: float = 1.0
    evenness: float = 0.0


class StabilizerLoss:
    """L = L_reg + lambda_1 L_tm of stabilized tracks, against their truth.

    Args:
        batch: the tracks.
        weights: the lambdas; `midpoint` may be infinite (Eq. 15).
        basis: (136, 136), orthonormal columns; landmarks are in it then. The loss is the same.
    """

    def __init__(
        self,
        batch: TrackBatch,
        weights: LossWeights = LossWeights(),
        basis: Array | None = None,
    ) -> None:
        self.weights = weights
        lengths = batch.lengths.tolist()
        self._truths = [
            truth[:length].reshape(length, -1)
            for truth, length in zip(batch.truth, lengths, strict=True)
        ]
        self._frames = sum(lengths)
        self._later = self._frames - len(batch)  # t >= 2
        self._inner = self._later - len(batch)  # t >= 2 of which t + 1 is there
        self._pseudo_inverses = [_pseudo_inverse(truth) for truth in self._truths]
        self._counts = _counts(batch, weights.evenness)
        if basis is not None:
            self._truths = [truth @ basis for truth in self._truths]
            self._pseudo_inverses = [inverse @ basis for inverse in self._pseudo_inverses]

    def __call__(self, stabilized: Array, gradient: Array | None = None) -> float:
        """The loss of (B, T, 136) or (B, T, 68, 2) landmarks.

        `gradient`, (B, T, 136), is set to its derivative.
        """
        if gradient is not None:
            gradient[...] = 0.0
        total = 0.0
        for track, truth in enumerate(self._truths):
            x = stabilized[track, : len(truth)].reshape(truth.shape)
            g = None if gradient is None else gradient[track, : len(truth)]
            count = float(self._counts[track])
            total += count * (self._near_truth(track, x, g) + self._rough(x, g))
            if g is not None:
                g *= count
        return total

    def _near_truth(self, track: int, x: Array, gradient: Array | None) -> float:
        """Eq. 12 of one track: the Euclidean and the time-delay term."""
        off = x[1:] - self._truths[track][1:]
        inverse = self._pseudo_inverses[track]
        delayed = _dot(inverse, off)
        by_frame, by_step = 1 / self._frames, self.weights.delay / self._later
        if gradient is not None:
            gradient[1:] += (2 * by_frame) * off
            gradient[1:] += (2 * by_step * delayed)[:, None] * inverse
        return float(by_frame * np.vdot(off, off) + by_step * np.vdot(delayed, delayed))

    def _rough(self, x: Array, gradient: Array | None) -> float:
        """Eq. 13 of one track, each frame with its best q, in closed form."""
        scale, stiffness = self.weights.smooth / self._inner, self.weights.midpoint
        chord, step = x[:-2] - x[2:], x[1:-1] - x[2:]
        free = 0.0
        if np.isinf(stiffness):
            q = np.full(len(chord), 0.5)
        else:
            along = _dot(step, chord) + stiffness / 2
            q = along / (_dot(chord, chord) + stiffness + 1e-12)
            free = stiffness * float(((q - 0.5) ** 2).sum())
        aside = np.multiply(q[:, None], chord, out=chord)
        np.subtract(step, aside, out=aside)
        total = float(scale * (np.vdot(aside, aside) + free))
        if gradient is not None:  # q is at its best, so that x moves it costs nothing
            aside *= 2 * scale
            gradient[1:-1] += aside
            before = q[:, None] * aside
            gradient[:-2] -= before
            aside -= before
            gradient[2:] -= aside
        return total


def _counts(batch: TrackBatch, evenness: float) -> Array:
    """(B,): what a track counts; the raw tracks' squared errors keep their sum."""
    squares = ((batch.raw - batch.truth) ** 2).sum((-1, -2))
    each = (squares * batch.frames).sum(1) / batch.lengths
    if evenness == 0 or not each.any():
        return np.ones(len(batch))
    each = np.maximum(each, 1e-3 * each.mean())
    counts = each**-evenness
    return np.asarray(counts * (each @ batch.lengths) / ((counts * each) @ batch.lengths))


def _pseudo_inverse(truth: Array) -> Array:
    """(T-1, 136): (p_t - p_{t-1})^+ of Eq. 12, safe for still faces."""
    changes = np.diff(truth, axis=0)
    return np.asarray(changes / (_dot(changes, changes) + _STILL)[:, None])


def _dot(a: Array, b: Array) -> Array:
    """(T,): the product of each row of (T, D) with its own."""
    return np.asarray(np.einsum("td,td->t", a, b))
