"""CVAT for video 1.1: one XML a video, a skeleton track a face.

Frames count from 0. CVAT's coordinates start at the corner of the top-left pixel, so half a pixel
is added to ours. Every row is a key frame; where a face has no row its skeleton is outside, so that
CVAT interpolates nothing. The task needs the label `face`, a skeleton of points `1` to `68`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt

from pipeline.exports.exported_video import ExportedVideo

_LABEL: Final = "face"
_HALF_PIXEL: Final = 0.5


def cvat_xml(video: ExportedVideo) -> bytes:
    """The XML of a video."""
    return "\n".join(_lines(video)).encode("utf-8", "replace")


def _lines(video: ExportedVideo) -> Iterator[str]:
    frames = max(video.frames, int(video.frame_index.max(initial=-1)) + 1)
    name = escape("".join(c for c in video.video_id if c.isprintable()))
    yield '<?xml version="1.0" encoding="utf-8"?>'
    yield "<annotations>"
    yield "<version>1.1</version>"
    yield f"<meta><task><name>{name}</name><size>{frames}</size><mode>interpolation</mode>"
    yield f"<original_size><width>{video.width_px}</width><height>{video.height_px}</height>"
    yield "</original_size><start_frame>0</start_frame>"
    yield f"<stop_frame>{max(0, frames - 1)}</stop_frame>"
    yield f"<labels><label><name>{_LABEL}</name><type>skeleton</type></label></labels>"
    yield "</task></meta>"
    for face, rows in video.by_face():
        yield f'<track id="{face}" label="{_LABEL}" source="file">'
        after, last = None, np.zeros((0, 2))
        for row in rows:
            frame = int(video.frame_index[row])
            points = video.landmarks_px[row] + _HALF_PIXEL
            if after is not None and frame > after:
                yield from _skeleton(after, last, outside=True)
            yield from _skeleton(frame, points, outside=False)
            after, last = frame + 1, points
        if after is not None and after < frames:
            yield from _skeleton(after, last, outside=True)
        yield "</track>"
    yield "</annotations>\n"


def _skeleton(frame: int, points: npt.NDArray[np.float64], *, outside: bool) -> Iterator[str]:
    state = f'keyframe="1" outside="{int(outside)}" occluded="0"'
    yield f'<skeleton frame="{frame}" {state} z_order="0">'
    for number, (x, y) in enumerate(points.tolist(), 1):
        yield f'<points label="{number}" {state} points="{x:.3f},{y:.3f}"></points>'
    yield "</skeleton>"
