"""MPEG-4 with packed B-frames, as DivX wrote it, and copies of packets into other containers.

coded     I  P  B  P  B       one packet each, in decoding order
packed    I  PB n  PB n       B is packed with P, and an uncoded picture takes its place
"""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from av.bitstream import BitStreamFilterContext

__all__ = ["remux", "write_packed"]

_PICTURE: Final = b"\x00\x00\x01\xb6"
_NOT_CODED: Final = _PICTURE + b"\x50\x4f"
_PACKED: Final = b"\x00\x00\x01\xb2DivX503b1393p\x00"
_RATE: Final = 25


def remux(source: Path, path: Path, bitstream_filter: str = "null") -> Path:
    """The packets of a video in the container of `path`, with their times as read."""
    with av.open(io.BytesIO(source.read_bytes())) as clip, av.open(str(path), "w") as out:
        stream = clip.streams.video[0]
        copy = out.add_stream_from_template(stream)
        change = BitStreamFilterContext(bitstream_filter, stream)
        for packet in filter(lambda packet: packet.size, clip.demux(stream)):
            for changed in change.filter(packet):
                changed.stream = copy
                out.mux_one(changed)
    return path


def write_packed(path: Path, pictures: list[np.ndarray], not_coded: int = 0) -> Path:
    """(H, W, 3) uint8 pictures, at 25 a second; their times begin with that of the second.

    `not_coded` uncoded pictures are added in the middle: the previous one stays.
    """
    packets: list[tuple[bytes, bool]] = []
    coded = _coded(pictures)
    for number, (pts, data, is_key) in enumerate(coded):
        shown_before = number > 0 and pts < max(at for at, *_ in coded[:number])
        if shown_before:
            packets[-1] = packets[-1][0] + data, packets[-1][1]
            packets.append((_NOT_CODED, False))
        else:
            if number == len(coded) // 2:
                packets += [(_NOT_CODED, False)] * not_coded
            packets.append((data, is_key))
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=_RATE)
        height, width = pictures[0].shape[:2]
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if path.suffix == ".avi":
            stream.codec_context.codec_tag = "XVID"
        else:
            stream.codec_context.extradata = coded[0][1][: coded[0][1].index(_PICTURE)]
        for number, (data, is_key) in enumerate(packets):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, _RATE)
            packet.dts, packet.pts, packet.is_keyframe = number, number + 1, is_key
            out.mux_one(packet)
    return path


def _coded(pictures: list[np.ndarray]) -> list[tuple[int, bytes, bool]]:
    """(pts, packet, whether it is a key frame) in decoding order: I P B P B, marked as packed."""
    height, width = pictures[0].shape[:2]
    encoder: Any = av.CodecContext.create("mpeg4", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, _RATE), Fraction(_RATE)
    encoder.max_b_frames, encoder.gop_size, encoder.bit_rate = 1, 12, 2_000_000
    encoder.options = {"b_strategy": "0"}
    packets: list[Any] = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, _RATE)
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    coded = [(int(p.pts), bytes(p), bool(p.is_keyframe)) for p in packets]
    pts, first, is_key = coded[0]
    at = first.index(_PICTURE)
    return [(pts, first[:at] + _PACKED + first[at:], is_key), *coded[1:]]
