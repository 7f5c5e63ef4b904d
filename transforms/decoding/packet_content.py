"""What a packet holds, by its bytes: a picture that needs no other, or no picture at all."""

from __future__ import annotations

from typing import Final

#: The first bit of a Theora packet: a header, as each part of a chained Ogg file has them.
_THEORA_HEADER: Final = 0x80
#: Types of NAL units without a picture: parameters, messages, delimiters, ends, padding.
_OTHER_UNITS: Final = {"h264": range(6, 14), "hevc": range(32, 41)}
#: Types of NAL units of messages (SEI) before a picture, and the bytes of their headers.
_MESSAGE_UNITS: Final = {"h264": (6, 1), "hevc": (39, 2)}
_DISPLAY_ORIENTATION: Final = 47
#: Types of NAL units of pictures at which decoding can start.
_START_UNITS: Final = {"h264": range(5, 6), "hevc": range(16, 22)}


def has_no_picture(codec: str, packet: bytes) -> bool:
    """Whether a packet that a decoder refused consists of headers or messages only."""
    if codec == "theora":
        return packet[:1] >= bytes([_THEORA_HEADER])
    units = _units(codec, packet)
    return bool(units) and all(kind in _OTHER_UNITS[codec] for kind, _ in units)


def starts_decoding(codec: str, packet: bytes) -> bool:
    """Whether it is a key frame of H.264 or HEVC, however the container marks it."""
    return any(kind in _START_UNITS[codec] for kind, _ in _units(codec, packet))


def _units(codec: str, packet: bytes) -> list[tuple[int, bytes]]:
    """A packet's NAL units, with their types; a length (4 bytes) or start code precedes each."""
    if codec not in _OTHER_UNITS:
        return []
    units, at, length = [], 0, 1
    while at + 4 < len(packet) and length:
        length = int.from_bytes(packet[at : at + 4], "big")
        units.append(packet[at + 4 : at + 4 + length])
        at += 4 + length
    if at != len(packet) or not length:
        units = [unit for unit in packet.split(b"\0\0\1")[1:] if unit]
    return [(unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63, unit) for unit in units]


def orients_frames(codec: str, packet: bytes) -> bool:
    """Whether a message of H.264 or HEVC in it tells how frames are to be turned."""
    if codec not in _MESSAGE_UNITS:
        return False
    message, header_bytes = _MESSAGE_UNITS[codec]
    return any(
        kind == message and _DISPLAY_ORIENTATION in _message_types(unit[header_bytes:])
        for kind, unit in _units(codec, packet)
    )


def _message_types(messages: bytes) -> list[int]:
    """The types of the messages in a unit: each has its type and size, in bytes up to 255."""
    messages = messages.replace(b"\0\0\3", b"\0\0")
    types, at = [], 0
    while at + 1 < len(messages):
        numbers = []
        for _ in range(2):
            number = 0
            while at < len(messages) and messages[at] == 255:
                number, at = number + 255, at + 1
            numbers.append(number + (messages[at] if at < len(messages) else 0))
            at += 1
        types.append(numbers[0])
        at += numbers[1]
    return types
