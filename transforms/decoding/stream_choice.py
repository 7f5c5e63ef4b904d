"""Choice of a container's video stream: the one that a player would show.

A file may hold a cover picture, a thumbnail, an alpha plane, or a stream that is announced and
never sent. With more than one stream, the first packets show which of them are moving pictures.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any, Final

import av
from av.error import FFmpegError

from schemas.errors import ContainerError

_STILLS: Final = (
    av.stream.Disposition.attached_pic
    | av.stream.Disposition.still_image
    | av.stream.Disposition.timed_thumbnails
)
#: A stream with this many packets is a moving picture.
_MOVING_PACKETS: Final = 2
#: Packets, and bytes of them, that are read to find moving pictures.
_MAX_PACKETS: Final = 2000
_MAX_BYTES: Final = 16 << 20


def choose_stream(uri: str, container: Any, wanted: int | None = None) -> Any:
    """The video stream to annotate, of an av.container.InputContainer.

    `wanted` is the index of a stream among all of the container. Without it: no attached or
    still picture; of the rest the one that sends more than one packet, is the default, is in
    colour, has more pixels, more frames, and comes first, in this order. May read packets: the
    position of the container is undefined afterwards.

    Raises ContainerError, reason no_video_stream, or not_a_video if there is no decoder.
    """
    if wanted is not None:
        return _asked_for(uri, container, wanted)
    streams = [s for s in container.streams.video if not s.disposition & _STILLS]
    if not streams:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "none"
        message = f"{uri}: no video stream; the streams it has: {kinds}"
        raise ContainerError("no_video_stream", message)
    known = [s for s in streams if s.codec_context is not None]
    if not known:
        raise ContainerError("not_a_video", f"{uri}: no decoder for its video stream")
    if len(known) == 1:
        return known[0]
    seen = _packets_seen(container, known)

    def rank(stream: Any) -> tuple[Any, ...]:
        context = stream.codec_context
        packets = max(seen[stream.index], stream.frames, len(stream.index_entries))
        default = bool(stream.disposition & av.stream.Disposition.default)
        colour = not (context.pix_fmt or "").startswith("gray")
        pixels = context.width * context.height
        moving = min(packets, _MOVING_PACKETS)
        return moving, default, colour, pixels, stream.frames, -stream.index

    return max(known, key=rank)


def _asked_for(uri: str, container: Any, wanted: int) -> Any:
    videos = {s.index: s for s in container.streams.video if s.codec_context is not None}
    if wanted in videos:
        return videos[wanted]
    there = ", ".join(map(str, videos)) or "none"
    message = f"{uri}: got stream {wanted}, expected a video stream; those it has: {there}"
    raise ContainerError("no_video_stream", message)


def _packets_seen(container: Any, streams: list[Any]) -> Counter[int]:
    """Packets of each stream, by its index, in the first stretch of the file.

    Stops once all of them are moving pictures.
    """
    seen: Counter[int] = Counter()
    size = 0
    # IndexError: a stream that appears midway
    with contextlib.suppress(FFmpegError, IndexError):
        for count, packet in enumerate(container.demux(streams)):
            if packet.size:
                seen[packet.stream_index] += 1
                size += packet.size
            all_move = all(seen[s.index] >= _MOVING_PACKETS for s in streams)
            if all_move or count >= _MAX_PACKETS or size >= _MAX_BYTES:
                break
    return seen
