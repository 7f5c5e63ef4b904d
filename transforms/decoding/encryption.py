"""Detects encrypted video by the metadata of the container.

MP4          each packet carries its encryption (Common Encryption); sample entry encv, drmi
Matroska     FFmpeg keeps the id of a track's key (WebM encryption)
MPEG-TS      two bits in the header of each packet of the stream
ASF          an object of its own in the header (Windows Media DRM)
"""

from __future__ import annotations

import itertools
from typing import Any, Final

from av.error import FFmpegError

from schemas.errors import ContainerError
from transforms.storage.source_files import read_head

_PACKETS: Final = 8
_HEAD_BYTES: Final = 256 << 10
_SAMPLE_ENTRIES: Final = ("encv", "drmi")
#: The GUIDs of ASF's (Extended) Content Encryption Object.
_ASF_OBJECTS: Final = (
    bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e"),
    bytes.fromhex("14e68a292226174cb935dae07ee9289c"),
)
_TS_PACKET_BYTES: Final = 188
_TS_SYNC: Final = 0x47
_TS_SCRAMBLING: Final = 0xC0
_TS_HAS_PAYLOAD: Final = 0x10


def refuse_encrypted(uri: str, container: Any, stream: Any) -> None:
    """Reads at most eight packets of the stream, up to the first one that is not encrypted.

    Raises ContainerError, reason `encrypted`, if all of them are.
    """
    kind = container.format.name
    if (
        stream.codec_context.codec_tag in _SAMPLE_ENTRIES
        or "enc_key_id" in stream.metadata
        or (kind == "mpegts" and _is_scrambled(read_head(uri, _HEAD_BYTES), stream.id))
        or (kind == "asf" and _names_encryption(read_head(uri, _HEAD_BYTES)))
        or ("mp4" in kind and _packets_are_encrypted(container, stream))
    ):
        message = f"{uri}: its pictures are encrypted; expected a video that needs no key"
        raise ContainerError("encrypted", message)


def _packets_are_encrypted(container: Any, stream: Any) -> bool:
    encrypted = False
    try:
        for packet in itertools.islice(container.demux(stream), _PACKETS):
            if packet.size:
                encrypted = packet.has_sidedata("encryption_info")
                if not encrypted:  # read no further: packets may be large, and the source remote
                    break
    except (FFmpegError, IndexError):
        return False
    return encrypted


def _is_scrambled(head: bytes, pid: int) -> bool:
    """Whether all packets of a stream that carry anything are scrambled."""
    start = head.find(_TS_SYNC)
    packets = [
        head[at : at + 4]
        for at in range(max(0, start), len(head) - 4, _TS_PACKET_BYTES)
        if head[at] == _TS_SYNC
    ]
    own = [p for p in packets if int.from_bytes(p[1:3], "big") & 0x1FFF == pid]
    loaded = [p for p in own if p[3] & _TS_HAS_PAYLOAD]
    return bool(loaded) and all(p[3] & _TS_SCRAMBLING for p in loaded)


def _names_encryption(head: bytes) -> bool:
    return any(guid in head for guid in _ASF_OBJECTS)
