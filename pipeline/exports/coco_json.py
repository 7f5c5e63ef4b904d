"""COCO keypoints: one JSON a video, an image a frame that has rows.

Image ids are frame numbers from 1, as ids must not be 0; `frame_index` counts from 0. File names
are those that `ffmpeg -i VIDEO -fps_mode passthrough {stem}/%06d.jpg` writes, where all frames of
the video were annotated. Coordinates are as ours; `track_id` is our face_id.
"""

from __future__ import annotations

import itertools
from typing import Any, Final

from pipeline.exports.exported_video import ExportedVideo
from pipeline.text_files import json_text, rounded
from schemas.landmarks import CONTOURS, LANDMARK_COUNT, LANDMARKS

_FACE: Final = 1
_VISIBLE: Final = 2


def skeleton_edges() -> list[tuple[int, int]]:
    """The pairs of landmarks, from 0, that a drawing joins."""
    edges: list[tuple[int, int]] = []
    for points, closed in CONTOURS.values():
        edges += itertools.pairwise(points)
        edges += [(points[-1], points[0])] if closed else []
    return edges


def coco_json(video: ExportedVideo) -> bytes:
    """The JSON of a video."""
    images: list[dict[str, Any]] = []
    faces: list[dict[str, Any]] = []
    for frame, rows in video.by_frame():
        images.append(
            {
                "id": frame + 1,
                "file_name": f"{video.stem}/{frame + 1:06d}.jpg",
                "width": video.width_px,
                "height": video.height_px,
                "frame_index": frame,
                "timestamp": float(video.pts_seconds[rows[0]]),
            }
        )
        faces += [_face(video, int(row), frame + 1) for row in rows]
    content = {
        "info": {"description": video.video_id, "uri": video.uri},
        "licenses": [],
        "images": images,
        "annotations": faces,
        "categories": [
            {
                "id": _FACE,
                "name": "face",
                "supercategory": "person",
                "keypoints": list(LANDMARKS.names()),
                "skeleton": [[a + 1, b + 1] for a, b in skeleton_edges()],
            }
        ],
    }
    return json_text(content)


def _face(video: ExportedVideo, row: int, image_id: int) -> dict[str, Any]:
    left, top, right, bottom = video.boxes_xyxy_px[row].round(3).tolist()
    width, height = round(right - left, 3), round(bottom - top, 3)
    points = rounded(video.landmarks_px[row])
    return {
        "id": row + 1,
        "image_id": image_id,
        "category_id": _FACE,
        "track_id": int(video.face_id[row]),
        "bbox": [left, top, width, height],
        "area": round(width * height, 3),
        "iscrowd": 0,
        "keypoints": [number for x, y in points for number in (x, y, _VISIBLE)],
        "num_keypoints": LANDMARK_COUNT,
        "score": round(float(video.score[row]), 4),
    }
