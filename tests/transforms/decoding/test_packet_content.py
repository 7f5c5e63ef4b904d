"""NAL units are told apart by their types, whether lengths or start codes separate them."""

import pytest

from transforms.decoding.packet_content import has_no_picture, orients_frames, starts_decoding


@pytest.mark.parametrize(
    ("codec", "data", "none", "starts"),
    [
        ("h264", "0000000209f0 00000007062f0308000980", True, False),  # a delimiter, a message
        ("h264", "0000000109f0 000001062f0308000980", True, False),  # the same with start codes
        ("h264", "00000007062f0308000980 00000002419a", False, False),  # a message, a picture
        ("h264", "000001419a00", False, False),
        ("h264", "0000000106 0000000265b8", False, True),
        ("h264", "00000165b800", False, True),
        ("h264", "0000000000000000", False, False),  # erased
        ("h264", "000000040000000000", False, False),  # erased but for its length
        ("h264", "", False, False),
        ("hevc", "000000034601500000000448010000", True, False),
        ("hevc", "000000034601500000000402010000", False, False),
        ("hevc", "00000001460150000000012a01", False, True),  # CRA
        ("mpeg4", "000001b0", False, False),
        ("theora", "8174", True, False),
        ("theora", "3f00", False, False),
    ],
)
def test_pictures_in_packets(codec, data, none, starts):
    packet = bytes.fromhex(data)
    assert has_no_picture(codec, packet) == none
    assert starts_decoding(codec, packet) == starts


@pytest.mark.parametrize(
    ("codec", "data", "orients"),
    [
        ("h264", "00000007062f0308000980", True),
        ("h264", "0000000a0605020a0b2f03080009", True),  # after another message
        ("h264", "00000007060503082f0980", False),  # 47 inside another message
        ("h264", "000001062f0308000980", True),
        ("h264", "0000000265b8", False),
        ("hevc", "000000084e012f0308000980", True),
        ("mpeg4", "000001062f03", False),
    ],
)
def test_messages_that_turn_frames(codec, data, orients):
    assert orients_frames(codec, bytes.fromhex(data)) == orients
