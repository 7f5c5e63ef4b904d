"""Answers of a decoding child: typed and in range, or refused with a ValueError."""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, replace
from fractions import Fraction

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from segments import make_segment

from schemas.reasons import REASONS
from schemas.records import Video
from transforms.decoding.frame_answer import Frame, Frames
from transforms.decoding.messages import (
    Answer,
    Done,
    Fault,
    Measured,
    NeedsCopy,
    Picture,
    Plan,
    Progress,
    Raised,
    Ready,
    Refusal,
    Windows,
    decode_answer,
    encode_answer,
    fitting_end,
    fitting_text,
)

PLAN = Plan.of([make_segment(0, 2, own=(None, 18)), make_segment(1, 2, seek=0, own=(18, None))])
ANSWERS: dict[str, Answer] = {
    "ready": Ready(),
    "progress": Progress(7),
    "done": Done(),
    "plan": PLAN,
    "windows": Windows(last=True),
    "measured": Measured(50, 0.25),
    "picture": Picture(7, 4, 3, (2.0, 0.0, 0.5, 0.0, 2.0, 0.5)),
    "frames": Frames(Frame(7, 90, True, 10, (1, 1), [(4, 6), (2, 3), (2, 3)], [0.5] * 12)),
    "needs copy": NeedsCopy(),
    "refusal": Refusal("no_frames", "clip.mp4: no frame could be decoded"),
    "raised": Raised("Traceback ...\nKeyError: 1"),
    "fault": Fault("the detector cannot be loaded"),
}
FIELDS = [(kind, name) for kind, answer in ANSWERS.items() for name in answer.__struct_fields__]
#: Values of every type and beyond every range that a captured child may put anywhere.
strange = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8)
    | st.sampled_from(["1/0", "-1", "9" * 30, "long", 2**63, -1, math.nan, math.inf, 1e300]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def framed(record: object) -> bytes:
    """Any record, as an honest child would send its own."""
    content = msgspec.msgpack.encode(record)
    content = len(content).to_bytes(8, "little") + content
    return content + bytes(-len(content) % 8)


def builtins(answer: Answer) -> dict[str, object]:
    """The bytes of an answer."""
    content = encode_answer(answer)
    return msgspec.msgpack.decode(content[8 : 8 + int.from_bytes(content[:8], "little")])


def check_sound(answer: Answer) -> None:
    """Later code relies on it: a plan's segments are contiguous and its numbers are usable."""
    if isinstance(answer, Plan):
        segments = answer.segments(Video("v", "/v.mp4"))
        assert segments[0].own_start_pts is None
        assert segments[-1].own_stop_pts is None
        for a, b in itertools.pairwise(segments):
            assert a.own_stop_pts == b.own_start_pts
            assert np.int64(b.own_start_pts)
        metadata = answer.metadata
        assert math.isfinite(metadata.duration_seconds or 0.0)
        assert math.isfinite(float(metadata.time_base * metadata.start_pts))
    if isinstance(answer, Picture):
        assert np.isfinite(np.linalg.inv(np.reshape(answer.affine, (2, 3))[:, :2])).all()
        assert min(answer.width_px, answer.height_px) >= 1
    if isinstance(answer, Frames) and answer.frame is not None:
        with pytest.raises(ValueError, match="expected"):
            answer.frame.planes(memoryview(b"1"), 10**7)
    if isinstance(answer, Refusal):
        assert answer.reason in REASONS
        answer.message.encode()


def read(content: bytes) -> Answer | None:
    """The answer, or None if it is refused; other errors propagate."""
    try:
        answer, _ = decode_answer(content)
    except ValueError:
        return None
    check_sound(answer)
    return answer


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("body", [b"", b"12345"])
def test_answers_come_back_as_they_were(kind, body):
    answer, rest = decode_answer(encode_answer(ANSWERS[kind], body))
    assert answer == ANSWERS[kind]
    assert bytes(rest) == body


def test_a_body_begins_where_arrays_may():
    content = encode_answer(Windows(last=False), np.arange(3, dtype=np.int64).tobytes())
    _, body = decode_answer(content)
    array = np.frombuffer(body, np.int64)
    assert array.flags.aligned
    assert array.tolist() == [0, 1, 2]


def test_a_plan_comes_back_with_the_video_of_who_asked():
    video = Video("other", "/other.mp4", fingerprint="size=1")
    got, _ = decode_answer(encode_answer(PLAN))
    segments = got.segments(video)
    assert {s.video for s in segments} == {video}
    assert [(s.index, s.count, s.seek_pts, s.own_start_pts, s.own_stop_pts) for s in segments] == [
        (0, 2, None, None, 18), (1, 2, 0, 18, None),
    ]  # fmt: skip
    assert segments[0].metadata == make_segment().metadata
    assert isinstance(segments[0].metadata.time_base, Fraction)


def test_no_frame_rate_stays_none():
    segment = make_segment()
    segment = replace(
        segment, metadata=replace(segment.metadata, average_fps=None, frames_expected=None)
    )
    got, _ = decode_answer(encode_answer(Plan.of([segment])))
    assert got.metadata == segment.metadata


@given(st.binary(max_size=300))
@example(b"")
@example(bytes(8))
@example((2**64 - 1).to_bytes(8, "little"))
def test_noise_is_refused(content):
    assert read(content) is None


@given(st.sampled_from(sorted(ANSWERS)), st.floats(0, 0.999), st.integers(1, 255))
def test_a_flipped_byte_or_a_cut_is_read_or_refused_and_nothing_else(kind, share, flip):
    content = bytearray(encode_answer(ANSWERS[kind]))
    place = int(share * len(content))
    read(bytes(content[:place]))
    content[place] ^= flip
    read(bytes(content))


@given(st.sampled_from(FIELDS), strange)
def test_a_strange_value_in_any_field_is_read_or_refused_and_nothing_else(field, value):
    kind, name = field
    read(framed(builtins(ANSWERS[kind]) | {name: value}))


@given(st.sampled_from(sorted(asdict(PLAN.metadata))), strange)
@example("duration_seconds", "long")
@example("time_base", "1/0")
@example("frames_expected", -1)
def test_a_strange_value_in_a_probe_is_read_or_refused_and_nothing_else(name, value):
    plan = builtins(PLAN)
    plan["metadata"] = plan["metadata"] | {name: value}
    read(framed(plan))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("duration_seconds", "long"), ("duration_seconds", -1.0), ("duration_seconds", math.nan),
        ("duration_seconds", math.inf), ("time_base", "0"), ("time_base", "-1/25"),
        ("time_base", "1/0"), ("time_base", 0.04), ("time_base", "1/99999999999"),
        ("average_fps", "0"), ("frames_expected", -1), ("frames_expected", 1.5),
        ("bytes_missing", -1), ("bytes_missing", True), ("start_pts", 2**63), ("codec", None),
        ("codec", "x" * 10_000), ("sample_aspect_ratio", "0/1"),
    ],
)  # fmt: skip
def test_a_probe_out_of_range_is_refused(name, value):
    plan = builtins(PLAN)
    plan["metadata"] = plan["metadata"] | {name: value}
    assert read(framed(plan)) is None


@pytest.mark.parametrize(
    "cuts",
    [
        [],
        [[None, 5, None]],
        [[None, None, 5]],
        [[None, None, 18], [0, 19, None]],
        [[None, None, 18], [None, 18, None]],
        [[None, None, 18], [20, 18, None]],
        [[None, None, 50], [40, 50, 30], [20, 30, None]],
        [[None, None, 18.5], [0, 18.5, None]],
        [[None, None, 2**63], [0, 2**63, None]],
        [[None, None]],
        {},
        "cuts",
    ],
)
def test_a_plan_whose_segments_do_not_meet_is_refused(cuts):
    assert read(framed(builtins(PLAN) | {"cuts": cuts})) is None


def test_what_is_told_has_an_end_and_is_text():
    told = Refusal("no_frames", fitting_text("caf\udce9 " + "x" * 100_000))
    assert told.message.startswith("caf\\udce9 x")
    answer, _ = decode_answer(encode_answer(told))
    assert answer == told
    assert len(answer.message) <= 8_000
    assert Raised(fitting_end("x" * 100_000 + "\nKeyError: 1")).last_line == "KeyError: 1"
    assert Raised("").last_line == "nothing"
