"""Other layouts of facial landmarks, and their conversion to the 68.

    ibug68         300-W; itself
    wflw98         WFLW (Wu et al. 2018): contour 0-32, brows 33-50, nose 51-59, eyes 60-75,
                   mouth 76-95, pupils
    jd106          JD-landmark (Liu et al. 2019) and LaPa (2020): contour 0-32, brows 33-50, nose
                   51-65, eyes 66-83, mouth 84-103, pupils. Not the order of InsightFace's 2d106det
    mediapipe478   MediaPipe's face mesh with irises

Most of the 68 are points of the other layout, some lie between two of them:

    wflw98, jd106   the lids 37, 38, 40, 41, 43, 44, 46, 47, at a third of the lid: between the
                    points at a quarter and at the half, 2 : 1
    mediapipe478    in the middle between two vertices: the brows' ends at the nose 21, 22, the
                    bridge of the nose 27, 28, the upper lip 49, 53

One curve has no counterparts: the jaw of the 68 is divided evenly, MediaPipe's face oval is not,
and lies on the head, not on its outline. So 1-7 and 9-15 of mediapipe478 are interpolated: equal
parts, by length, of the oval from each ear to the chin. Their spread is at least half the distance
to the next landmark of the jaw, about a tenth of the distance of the eyes, which is large: on the
mean face below the oval lies 0.10 to 0.15 of it outside the jaw.

Sources of the indices, which agree where not said otherwise:

* wflw98: the table that many public repositories have under WFLW_98_TO_DLIB_68_IDX_MAPPING (eight
  copies compared), and open-mmlab/mmpose, configs/face_2d_keypoint/rtmpose/face6. The first maps
  37 and 38 to the points at a quarter of the lid; the second says that they have no counterpart
  and lie around the point at the half. The interpolation here agrees with both.
* jd106: `kpt_68_to_106` and `mapping_wflw` of the same file of mmpose, its
  configs/_base_/datasets/lapa.py, and landmarks of two faces of LaPa.
* mediapipe478: PeizhiYan/Mediapipe_2_Dlib_Landmarks, and the canonical face model of
  google-ai-edge/mediapipe, whose vertices were compared with the mean of 68 manually labelled
  frontal faces (300-W's HELEN and LFPW). By that comparison the tip of the nose is vertex 1 and
  not 4, the ends of the brows are between the brow's edges, and the upper lip is between 39, which
  that repository takes, and 40, which others take: 0.2, 4.6 and 1.4 % of the distance of the eyes
  off, where the index alone is 7.7, 9.6 and 3.5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from schemas.landmarks import LANDMARK_COUNT

#: Source of one landmark: a point of the other layout, or two points and the weight of the first.
_Source = int | tuple[int, int, float]


@dataclasses.dataclass(frozen=True)
class LandmarkLayout:
    """Conversion of another layout to the 68 landmarks.

    Attributes:
        name: its name in cards.
        count: L, its points.
        sources: for each of the 68 a point, or two points and the weight of the first.
        curves: landmarks that are interpolated, in order, and the points that they lie on from
            one end to the other: the curve is cut in equal parts between its two ends.
    """

    name: str
    count: int
    sources: tuple[_Source, ...]
    curves: tuple[tuple[range, tuple[int, ...]], ...] = ()

    def to_ibug68(self, points: Tensor, spread: Tensor) -> Tensor:
        """The 68 with their spread.

        Args:
            points: (B, L, 2) floating, (x, y).
            spread: (B, L) in the same unit, NaN where unknown.

        Returns: (B, 68, 3) x, y, spread. Interpolated landmarks have a spread in any case. NaN
        in a point gives NaN in the landmarks computed from it.
        """
        triples = [s if isinstance(s, tuple) else (s, s, 1.0) for s in self.sources]
        first, second, weights = zip(*triples, strict=True)
        share = torch.tensor(weights, dtype=points.dtype, device=points.device)[:, None]
        values = torch.cat([points, spread[..., None]], dim=-1)  # (B, L, 3)
        found = share * values[:, list(first)] + (1 - share) * values[:, list(second)]
        for targets, along in self.curves:
            placed, part = _evenly(points[:, list(along)], len(targets) + 1)
            known = spread[:, list(along)].nan_to_num().mean(1)
            found[:, list(targets), :2] = placed
            found[:, list(targets), 2] = (part / 2).hypot(known)[:, None]
        return found


def _evenly(line: Tensor, parts: int) -> tuple[Tensor, Tensor]:
    """The inner points that cut lines (B, K, 2) in equal parts, and the length of a part.

    Returns: (B, parts - 1, 2); (B,).
    """
    steps = line.diff(dim=1).norm(dim=-1)  # (B, K - 1)
    ends = steps.cumsum(1)  # (B, K - 1)
    length = ends[:, -1:]
    at = length * torch.arange(1, parts, dtype=line.dtype, device=line.device) / parts
    piece = torch.searchsorted(ends, at).clamp(max=steps.shape[1] - 1)  # (B, parts - 1)
    step = steps.gather(1, piece)
    before = ends.gather(1, piece) - step
    share = ((at - before) / step.clamp(min=torch.finfo(line.dtype).tiny)).clamp(0.0, 1.0)
    index = piece[..., None].expand(-1, -1, 2)
    start, end = line.gather(1, index), line.gather(1, index + 1)
    return start + share[..., None] * (end - start), length[:, 0] / parts


def _lids(first: int) -> tuple[_Source, ...]:
    """The six of an eye, from one of eight points: a corner, and clockwise in the image."""
    upper_then_lower = [(1, 2), (3, 2), (5, 6), (7, 6)]
    a, b, c, d = ((first + quarter, first + half, 2 / 3) for quarter, half in upper_then_lower)
    return first, a, b, first + 4, c, d


_CONTOUR: Final = tuple(range(0, 33, 2))
_BROWS: Final = (*range(33, 38), *range(42, 47))
_WFLW98: Final = (*_CONTOUR, *_BROWS, *range(51, 60), *_lids(60), *_lids(68), *range(76, 96))
_JD106: Final = (
    *(*_CONTOUR, *_BROWS, *range(51, 55), *range(58, 63)),
    *(*_lids(66), *_lids(75), *range(84, 104)),
)

_RIGHT_OVAL: Final = (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152)
_LEFT_OVAL: Final = (152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356)
#: What the curves replace is here the vertex that lies nearest.
_MEDIAPIPE478: Final[tuple[_Source, ...]] = (
    *(127, 234, 93, 132, 58, 172, 150, 176, 152, 400, 379, 397, 288, 361, 323, 454, 356),
    *(70, 63, 105, 66, (107, 55, 0.5), (336, 285, 0.5), 296, 334, 293, 300),
    *((168, 6, 0.5), (197, 195, 0.5), 5, 1, 98, 97, 2, 326, 327),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, (39, 40, 0.5), 37, 0, 267, (269, 270, 0.5), 291, 321, 314, 17, 84, 91),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)

#: The layouts that a card may name.
LAYOUTS: Final[Mapping[str, LandmarkLayout]] = {
    layout.name: layout
    for layout in (
        LandmarkLayout("ibug68", LANDMARK_COUNT, tuple(range(LANDMARK_COUNT))),
        LandmarkLayout("wflw98", 98, _WFLW98),
        LandmarkLayout("jd106", 106, _JD106),
        LandmarkLayout(
            "mediapipe478",
            478,
            _MEDIAPIPE478,
            ((range(1, 8), _RIGHT_OVAL), (range(9, 16), _LEFT_OVAL)),
        ),
    )
}
