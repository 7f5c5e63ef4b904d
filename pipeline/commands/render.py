"""`facetracks render`: tracks drawn over their video, to judge them by eye.

    FILE.mp4    every frame, with landmarks, boxes, ids and times
    FILE.png    a contact sheet: some frames, close around a face

The video is decoded once and never held: a contact sheet keeps its tiles only.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np

from models.crops import Affine, fit_affine, image_to_crop, square_affine
from models.frame_pixels import FramePixels
from pipeline.reports.overlay import FaceOverlay, Image, draw_caption, draw_face, encode_image
from pipeline.videos.track_file import TrackRows, find_track_file, read_track_file
from pipeline.videos.upright_frames import (
    check_tracks_match,
    pixel_aspect,
    tracked_frames,
    upright_frames,
    whole_video,
)
from pipeline.videos.video_writer import VideoWriter
from schemas.errors import ContainerError, UsageError
from schemas.records import StreamMetadata
from transforms.decoding.child_pool import kept_children
from transforms.storage.atomic_files import atomic_file

_TILE_PX: Final = 360
_TILE_MARGIN: Final = 1.25
_CAPTION_PX: Final = 22
_OUTSIDE: Final = 20  # grey level around frames and tiles
_SMALLEST_SIDE_PX: Final = 480
_LONGEST_SIDE_PX: Final = 8192


def run(args: argparse.Namespace) -> int:
    """Runs `facetracks render`; returns the exit status."""
    tracks = read_track_file(find_track_file(args.tracks, args.video))
    if args.raw:
        tracks.need_raw("--raw")
    if args.to.suffix.lower() == ".mp4":
        frames = render_video(args.video, tracks, args.to, raw=args.raw, progress=True)
        print(f"{args.to}: {frames} frames")
    else:
        tiles = render_contact_sheet(
            args.video,
            tracks,
            args.to,
            frames=args.frames,
            columns=args.columns,
            raw=args.raw,
            progress=True,
        )
        print(f"{args.to}: {tiles} tiles")
    return 0


@kept_children()
def render_video(
    video: str, tracks: TrackRows, to: Path, *, raw: bool = False, progress: bool = False
) -> int:
    """Writes every frame of `video` with its faces to an .mp4; returns how many frames.

    Timestamps and their unit are those of the video, so a variable rate stays in sync.
    Frames are upright, with square pixels; small ones are enlarged by a whole factor.

    Raises:
        VideoError: the video cannot be opened, or holds no frame.
        UsageError: most faces of the tracks are at no frame of this video.
    """
    rows = tracks.by_pts()
    whole = whole_video(video, tracks.stream_index)
    stream = whole.metadata
    with atomic_file(str(to)) as part:
        first, source = tracked_frames(whole, rows, progress=progress)
        width, height = shown_size(first, pixel_aspect(stream, first))
        with VideoWriter(part, ".mp4", stream, width, height) as out:
            for index, (pts, pixels) in enumerate(source):
                affine = fit_affine(
                    pixels.width_px, pixels.height_px, out_width_px=width, out_height_px=height
                )
                image = pixels.sample(affine, width, height)
                faces = rows.get(pts, [])
                for row in faces:
                    draw_face(image, _overlay(tracks, row, affine), raw=raw)
                seconds = float(pts * stream.time_base)
                number = int(tracks.frame_index[faces[0]]) if faces else index
                draw_caption(image, _caption(number, seconds, tracks.face_id[faces].tolist()))
                out.write(pts, image)
    return index + 1


@kept_children()
def render_contact_sheet(
    video: str,
    tracks: TrackRows,
    to: Path,
    *,
    frames: int = 12,
    columns: int = 4,
    raw: bool = False,
    progress: bool = False,
) -> int:
    """Writes a .png of `frames` tiles, each close around a face; returns how many tiles.

    The frames are spread over those that have faces; where one has several, the tiles
    take turns. Without any face the sheet shows whole frames and says so.

    Raises:
        VideoError: the video cannot be opened, or holds no frame.
        UsageError: most faces of the tracks are at no frame of this video; no tiles asked for.
    """
    if frames < 1 or columns < 1:
        raise UsageError(f"got {frames} frames in {columns} columns, expected one or more of each")
    rows = tracks.by_pts()
    whole = whole_video(video, tracks.stream_index)
    source = upright_frames(whole, progress=progress)
    if rows:
        tiles = _face_tiles(tracks, rows, source, whole.metadata, frames, raw=raw)
        check_tracks_match(video, rows, len(tiles) / min(frames, len(rows)))
    else:
        tiles = _faceless_tiles(source, whole.metadata, frames)
    if not tiles:
        raise ContainerError("no_frames", f"{video}: no frame could be decoded")
    blank = np.full_like(tiles[0], _OUTSIDE)
    tiles += [blank] * (-len(tiles) % min(columns, len(tiles)))
    wide = min(columns, len(tiles))
    sheet = np.vstack([np.hstack(tiles[i : i + wide]) for i in range(0, len(tiles), wide)])
    with atomic_file(str(to)) as part:
        part.write_bytes(encode_image(sheet, ".png"))
    return sum(tile is not blank for tile in tiles)


def _face_tiles(
    tracks: TrackRows,
    rows: dict[int, list[int]],
    source: Iterator[tuple[int, FramePixels]],
    stream: StreamMetadata,
    count: int,
    *,
    raw: bool,
) -> list[Image]:
    times = sorted(rows)
    chosen = np.unique(np.linspace(0, len(times) - 1, count).round().astype(int))
    turn = {times[place]: number for number, place in enumerate(chosen)}
    tiles: list[Image] = []
    for pts, pixels in source:
        if pts not in turn:
            continue
        faces = rows[pts]
        row = faces[turn[pts] % len(faces)]
        affine = _around_face(tracks, row, float(pixel_aspect(stream, pixels)))
        image = _sample_tile(pixels, affine)
        for other in faces:
            draw_face(image, _overlay(tracks, other, affine), raw=raw)
        seconds = float(pts * stream.time_base)
        caption = _caption(int(tracks.frame_index[row]), seconds, [int(tracks.face_id[row])])
        tiles.append(_with_caption(image, caption))
        if len(tiles) == len(turn):
            break
    return tiles


def _faceless_tiles(
    source: Iterator[tuple[int, FramePixels]], stream: StreamMetadata, count: int
) -> list[Image]:
    """Whole frames spread over a video of unknown length, from a bounded store."""
    kept: list[Image] = []
    every = 1
    for index, (pts, pixels) in enumerate(source):
        if index % every:
            continue
        aspect = float(pixel_aspect(stream, pixels))
        box = (-0.5, -0.5, pixels.width_px - 0.5, pixels.height_px - 0.5)
        affine = square_affine(box, scale=1.0, size_px=_TILE_PX, pixel_aspect=aspect)
        image = _sample_tile(pixels, affine)
        kept.append(_with_caption(image, _caption(index, float(pts * stream.time_base), [])))
        if len(kept) == 2 * count:
            kept, every = kept[::2], 2 * every
    if not kept:
        return []
    return [kept[i] for i in np.unique(np.linspace(0, len(kept) - 1, count).round().astype(int))]


def _around_face(tracks: TrackRows, row: int, aspect: float) -> Affine:
    """The square around a face's box and landmarks, with a margin."""
    box, points = tracks.boxes_xyxy_px[row], tracks.landmarks_px[row]
    corners = np.vstack([box.reshape(2, 2), points])
    corners = corners[np.isfinite(corners).all(-1)]
    around = np.concatenate([corners.min(0), corners.max(0)])
    return square_affine(around, scale=_TILE_MARGIN, size_px=_TILE_PX, pixel_aspect=aspect)


def _overlay(tracks: TrackRows, row: int, affine: Affine) -> FaceOverlay:
    box = image_to_crop(tracks.boxes_xyxy_px[row].reshape(2, 2), affine)
    return FaceOverlay(
        face_id=int(tracks.face_id[row]),
        box_xyxy_px=box.ravel(),
        box_source=tracks.box_source[row],
        landmarks_px=image_to_crop(tracks.landmarks_px[row], affine),
        raw_landmarks_px=image_to_crop(tracks.raw_landmarks_px[row], affine),
    )


def _sample_tile(pixels: FramePixels, affine: Affine) -> Image:
    """The square under an unrotated crop; grey where the frame ends."""
    tile = pixels.sample(affine, _TILE_PX, _TILE_PX)
    x, y = np.arange(_TILE_PX) * affine.diagonal()[:, None] + affine[:, 2:]
    tile[:, (x < -0.5) | (x > pixels.width_px - 0.5)] = _OUTSIDE
    tile[(y < -0.5) | (y > pixels.height_px - 0.5)] = _OUTSIDE
    return tile


def _with_caption(image: Image, text: str) -> Image:
    """The image with a strip of its own below it for the text."""
    strip = np.full((_CAPTION_PX, image.shape[1], 3), 80, np.uint8)
    tile = np.vstack([image, strip])
    draw_caption(tile, text, height_px=_CAPTION_PX)
    return tile


def _caption(index: int, seconds: float, faces: list[int]) -> str:
    who = ", ".join(f"face {face}" for face in faces) or "no face"
    return f"frame {index}   {seconds:.3f} s   {who}"


def shown_size(pixels: FramePixels, aspect: Fraction) -> tuple[int, int]:
    """Even width and height with square pixels: the shorter side at least 480 or nearly, the
    longer one at most 8192, whatever shape of pixels a header claims."""
    width, height = float(pixels.width_px * aspect), float(pixels.height_px)
    scale = float(max(1, round(_SMALLEST_SIDE_PX / min(width, height))))
    scale = min(scale, _LONGEST_SIDE_PX / max(width, height))
    return (max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2))
