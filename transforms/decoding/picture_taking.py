"""One picture of a video, upright and scaled down, decoded from the nearest keyframe.

Runs in the decoding child only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from models.crops import square_affine, thumbnail_affine
from models.frame_pixels import FramePixels, upright_aspect
from schemas.errors import ContainerError
from schemas.records import Video
from transforms.decoding.frame_stream import FrameStream
from transforms.decoding.messages import MAX_SIDE_PX, Picture
from transforms.decoding.pictures import PictureRequest
from transforms.decoding.segment_plan import plan_segments
from transforms.decoding.video_source import first_packet_at, open_video

#: Frames decoded after the keyframe, at most.
_MAX_FRAMES: Final = 2000
#: Grey level where a square reaches beyond its frame.
_OUTSIDE: Final = 20


def take_picture(
    request: PictureRequest, max_pixels: int, on_frames: Callable[[int], None]
) -> tuple[Picture, bytes]:
    """Decodes from the previous keyframe to the frame; returns the answer and its body.

    Raises VideoError if the video cannot be opened, or has no frame there.
    """
    uri = request.video.uri
    video = Video(request.video.video_id, uri)
    with open_video(uri, max_pixels=max_pixels, stream_index=request.stream_index) as opened:
        whole = plan_segments(video, opened, math.inf)[0]
        pts = request.pts
        if pts is None:
            start, end = whole.metadata.start_pts, whole.metadata.end_pts
            pts = start if end is None else (start + end) // 2
        keyframe = first_packet_at(opened, pts)
    segment = replace(whole, seek_pts=None if keyframe is None else int(keyframe.pts))
    shown: tuple[int, Any] | None = None
    with open_video(uri, max_pixels=max_pixels, segment=segment) as opened:
        for count, shown in enumerate(FrameStream(segment, opened, max_pixels=max_pixels), 1):
            on_frames(count)
            if request.pts is None or shown[0] >= pts or count == _MAX_FRAMES:
                break
        if shown is None:
            raise ContainerError("no_frames", f"{uri}: no frame could be decoded at pts {pts}")
    frame, side = FramePixels(shown[1]), min(request.longest_side_px, MAX_SIDE_PX)
    aspect = float(upright_aspect(whole.metadata.sample_aspect_ratio, frame.rotation_deg))
    if request.box_xyxy_px is None:
        affine, width, height = thumbnail_affine(frame.width_px, frame.height_px, side, aspect)
    else:
        box, width, height = request.box_xyxy_px, side, side
        affine = square_affine(box, scale=1.0, size_px=side, pixel_aspect=aspect)
    pixels = frame.sample(affine, width, height)
    x, y = (np.arange(n) * affine[i, i] + affine[i, 2] for i, n in enumerate((width, height)))
    pixels[:, (x < -0.5) | (x > frame.width_px - 0.5)] = _OUTSIDE
    pixels[(y < -0.5) | (y > frame.height_px - 0.5)] = _OUTSIDE
    a, b, c, d, e, f = affine.ravel().tolist()
    return Picture(shown[0], width, height, (a, b, c, d, e, f)), pixels.tobytes()
