"""Sizes stated in containers."""

import struct

import pytest

from transforms.decoding.container_sizes import declared_bytes

MOVI = 100_000


def declared(content: bytes) -> int | None:
    return declared_bytes(lambda count, start: content[start : start + count])


def riff(whole: int, movi: int) -> bytes:
    """The head of an AVI with these two sizes."""
    header = struct.pack("<4sI4s", b"LIST", 40, b"hdrl") + bytes(36)
    return (
        struct.pack("<4sI4s", b"RIFF", whole, b"AVI ")
        + header
        + struct.pack("<4sI4s", b"LIST", movi, b"movi")
    )


#: Start of the list of pictures, after RIFF and LIST hdrl.
START = 12 + 48 + 8


def test_the_pictures_end_where_their_list_does():
    got = declared(riff(START + MOVI + 500, MOVI))
    assert START + MOVI - 64 <= got <= START + MOVI


@pytest.mark.parametrize("off", [-60, -8, 0, 8])
def test_the_whole_may_be_off_by_some_bytes(off):
    got = declared(riff(START + MOVI - 8 + off, MOVI))
    assert got <= START + MOVI


@pytest.mark.parametrize(
    ("whole", "movi"),
    [
        (0xFFFF_FFFF, 0xFFFF_FFFF),
        (0x7FFF_FFFF, 0x7FFF_FFFF),
        (0xFFFF_FFFF, 0x7FFF_F000),
        (0, 0),
        (0, MOVI),
        (START + MOVI, 0),
        (1000, MOVI),
    ],
)
def test_placeholders_say_nothing(whole, movi):
    assert declared(riff(whole, movi)) is None


def test_a_head_without_pictures_says_nothing():
    assert declared(b"RIFF" + bytes(8)) is None


def opendml(*sizes: int) -> bytes:
    """The content of an AVI of several RIFF chunks with the given stated sizes."""
    kinds = [b"AVI ", *[b"AVIX"] * (len(sizes) - 1)]
    parts = (
        struct.pack("<4sI4s", b"RIFF", size, kind) for size, kind in zip(sizes, kinds, strict=True)
    )
    return b"".join(part + bytes(996) for part in parts)


@pytest.mark.parametrize(
    ("sizes", "end"),
    [
        ((1000,), None),
        ((1000, 1000), 2 * 1008 - 64),
        ((1000, 1000, 5000), 2 * 1008 + 5008 - 64),  # truncated: it has 1,008 of these bytes
        ((1000, 1000, 0), None),  # an interrupted writer
        ((1000, 0xFFFF_FFFF), None),
        ((0, 1000), None),
    ],
)
def test_a_large_avi_goes_on_in_further_chunks(sizes, end):
    assert declared(opendml(*sizes)) == end
