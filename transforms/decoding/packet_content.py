"""What a packet holds, by its bytes: a picture that needs no other, or no picture at all."""

from __future__ import annotations

from typing import Final

#: The first bit of a Theora packet: a header, as each part of a chained Ogg file has them.
_THEORA_HEADER: Final = 0x80
#: Types of NAL units without a picture: parameters, messages, delimiters, ends, padding.
_OTHER_UNITS: Final = {"h264": range(6, 14), "hevc": range(32, 41)}
#: Types of NAL units of pictures at which decoding can start.
_START_UNITS: Final = {"h264": range(5, 6), "hevc": range(16, 22)}


def has_no_picture(codec: str, packet: bytes) -> bool:
    """Whether a packet that a decoder refused consists of headers or messages only."""
    if codec == "theora":
        return packet[:1] >= bytes([_THEORA_HEADER])
    types = _unit_types(codec, packet)
    return bool(types) and all(kind in _OTHER_UNITS[codec] for kind in types)


def starts_decoding(codec: str, packet: bytes) -> bool:
    """Whether it is a key frame of H.264 or HEVC, however the container marks it."""
    return any(kind in _START_UNITS[codec] for kind in _unit_types(codec, packet))


def _unit_types(codec: str, packet: bytes) -> list[int]:
    """The types of a packet's NAL units, which follow their length (4 bytes) or a start code."""
    if codec not in _OTHER_UNITS:
        return []
    headers, at, length = [], 0, 1
    while at + 4 < len(packet) and length:
        headers.append(packet[at + 4])
        length = int.from_bytes(packet[at : at + 4], "big")
        at += 4 + length
    if at != len(packet) or not length:
        headers = [unit[0] for unit in packet.split(b"\0\0\1")[1:] if unit]
    return [byte & 31 if codec == "h264" else byte >> 1 & 63 for byte in headers]
