"""A long segment is passed on in pieces, and resumes after the pieces of an earlier run."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from clips import drifting, write_clip
from segments import make_segment
from stages import outputs_of
from test_window_builder import SPEC, Boxes, moving, pictures

from schemas.errors import DecodingError
from schemas.records import Segment, SegmentLandmarks, SegmentWindows, Video
from transforms.decode_windows import DecodeWindows, rest_after
from transforms.decoding.child import ChildSettings, DecodingChild
from transforms.decoding.piece_builder import CropSpec
from transforms.decoding.window_builder import decode_windows
from transforms.storage.atomic_files import Folder
from transforms.storage.parts import part_url, save_part, saved_parts
from transforms.storage.run_output import RunOutput

#: A crop has 196,608 bytes: 43 of them fill a piece.
LARGE = CropSpec(size_px=256, scale=1.2, window_frames=3)
CROP_BYTES = 3 * SPEC.size_px**2
FRAMES = 150


def pieces_of(segment, pts, shots=(), piece_rows=10_000) -> list[SegmentWindows]:
    frames = pictures(pts, shots=shots)
    rows = piece_rows * CROP_BYTES
    return list(decode_windows(segment, frames, Boxes(moving), SPEC, piece_bytes=rows))


def seen(pieces: list[SegmentWindows]) -> list[tuple]:
    """Each row's frame, box, source and window, and each frame and cut."""
    told = []
    for piece in pieces:
        rows = piece.rows
        told += [("frame", pts) for pts in rows.frame_pts.tolist()]
        told += [("cut", pts) for pts in rows.cuts_pts.tolist()]
        for i, frame in enumerate(rows.frame.tolist()):
            row = rows.frame_pts[frame], rows.boxes_xyxy_px[i].tolist(), rows.box_source[i]
            told.append(("row", *row, piece.crops[piece.windows[i]].tobytes()))
    return sorted(told, key=repr)


@pytest.mark.parametrize("shots", [(), (24,), (44, 70)])
@pytest.mark.parametrize("piece_rows", [1, 50, 90])
def test_pieces_are_the_segment(piece_rows, shots):
    segment = make_segment(own=(None, 97))
    (whole,) = pieces_of(segment, range(120), shots)
    pieces = pieces_of(segment, range(120), shots, piece_rows)
    assert seen(pieces) == seen([whole])
    assert len(pieces) >= 3
    bounds = [(p.segment.own_start_pts, p.segment.own_stop_pts) for p in pieces]
    assert [start for start, _ in bounds] == [None, *(stop for _, stop in bounds[:-1])]
    assert bounds[-1][1] == 97
    for piece, following in pairwise(pieces):
        assert piece.seam.pts == following.segment.own_start_pts == following.rows.frame_pts[0]
        first = following.rows.frame == 0
        same = np.array_equal(piece.seam.track, following.rows.track[first])
        assert same or sorted(piece.seam.track) == sorted(following.rows.track[first])
        assert sorted(piece.seam.boxes_xyxy_px.tolist()) == sorted(
            following.rows.boxes_xyxy_px[first].tolist()
        )
    assert pieces[-1].seam.pts == whole.seam.pts


def test_a_piece_that_is_full_ends_soon_and_a_short_one_goes_on():
    """32 pts of 25 a second are the first to reach the warm-up of 1.25 s."""
    sizes = [len(p.rows.frame_pts) for p in pieces_of(make_segment(), range(100), piece_rows=1)]
    assert sizes == [32, 32, 32, 4]
    rows = [len(p.windows) for p in pieces_of(make_segment(), range(120), piece_rows=100)]
    assert all(100 <= count < 104 for count in rows[:-1])


@pytest.mark.parametrize("done", [1, 2, 3])
def test_what_is_left_after_some_pieces_gives_the_other_ones(done):
    segment = make_segment()
    pieces = pieces_of(segment, range(120), (44,), piece_rows=60)
    rest = rest_after(pieces[done - 1].segment, segment)
    others = pieces_of(rest, range(120), (44,), piece_rows=60)
    assert seen(others) == seen(pieces[done:])
    assert [p.segment for p in others] == [p.segment for p in pieces[done:]]


def test_a_segment_without_faces_comes_in_pieces_too():
    frames = pictures(range(40))
    many = ((pts, frames[pts % 40][1]) for pts in range(16_500))
    pieces = list(decode_windows(make_segment(), many, Boxes([]), SPEC))
    assert [len(p.rows.frame_pts) for p in pieces] == [16_384, 116]


SPARSE = {*range(0, 40, 3), *range(70, 76), 110}


@pytest.mark.parametrize("keyframes", [[25], [25, 50, 75], [40, 60, 62, 90]])
def test_sparse_given_boxes_are_cut_like_any_and_not_searched_to_the_end(keyframes):
    """Boxes on few frames: frames beyond the reach of any link are not waited for."""

    def rows(segment: Segment, first: int) -> tuple[list[tuple], int]:
        read = []

        def frames():
            for item in pictures(range(first, 140)):
                read.append(item[0])
                yield item

        boxes = Boxes(moving, source="given", keys=SPARSE)
        (windows,) = decode_windows(segment, frames(), boxes, SPEC)
        return seen([windows]), read[-1]

    edges = [None, *(k + 19 for k in keyframes), None]
    whole, _ = rows(make_segment(), 0)
    cut = []
    for i, seek in enumerate([0, *keyframes]):
        segment = make_segment(i, len(edges) - 1, seek=seek or None, own=(edges[i], edges[i + 1]))
        found, last_read = rows(segment, seek)
        cut += found
        assert edges[i + 1] is None or last_read <= edges[i + 1] + 3 * 13
    assert sorted(cut, key=repr) == whole
    assert any(entry[0] == "row" for entry in whole)


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Video:
    """Six seconds without an index, with boxes by frame number: one segment of four pieces."""
    folder = tmp_path_factory.mktemp("pieces")
    clip = write_clip(folder / "clip.h264", drifting(FRAMES, 96, 64), container_format="h264")
    rows = [f"{frame},{10 + frame % 7},10,50,50" for frame in range(FRAMES)]
    (folder / "boxes.csv").write_text("\n".join(["frame_index,x0,y0,x1,y1", *rows]))
    return Video("clip.h264", str(clip), boxes_uri=str(folder / "boxes.csv"))


@pytest.fixture(scope="module")
def child():
    handle = DecodingChild(ChildSettings(LARGE))
    yield handle
    handle.close()


def test_a_child_hands_on_pieces(child, raw):
    (segment,) = child.plan(raw)
    pieces = list(child.decode(segment))
    assert [len(p.windows) for p in pieces] == [43, 43, 43, FRAMES - 3 * 43]
    pts = np.concatenate([p.rows.frame_pts for p in pieces])
    assert len(set(np.diff(pts))) == 1
    for piece, following in pairwise(pieces):
        assert piece.segment.own_stop_pts == following.segment.own_start_pts
        assert piece.segment.own_stop_pts == following.rows.frame_pts[0]
    assert pieces[-1].segment.own_stop_pts is None
    assert all(p.stats.decode_seconds > 0 for p in pieces)


def test_a_child_that_is_not_heard_out_does_not_mix_up_answers(child, raw):
    (segment,) = child.plan(raw)
    pieces = child.decode(segment)
    first = next(pieces)
    assert child.plan(raw) == [segment]
    again = list(child.decode(segment))
    assert np.array_equal(again[0].crops, first.crops)
    assert len(again) == 4
    pieces.close()
    assert child.plan(raw) == [segment]


@pytest.mark.parametrize("what", ["a piece of nothing", "a piece without a seam"])
def test_a_piece_that_is_none_is_refused(what):
    module = "tests.transforms.decoding.misbehaving_server"
    child = DecodingChild(ChildSettings(LARGE, module=module))
    try:
        with pytest.raises(DecodingError, match="the decoder answered with garbage"):
            list(child.decode(make_segment(video=Video("v", what))))
    finally:
        child.close()


def landmarks(windows: SegmentWindows) -> SegmentLandmarks:
    points = np.zeros((len(windows.windows), 68, 2), np.float32)
    fields = ("segment", "geometry", "rows", "seam", "stats")
    told = {"landmarks_px": points, "spread_px": points[..., 0]}
    return SegmentLandmarks(**told, **{f: getattr(windows, f) for f in fields})


def test_a_segment_goes_on_after_the_pieces_that_a_run_left(child, raw, tmp_path):
    (segment,) = child.plan(raw)
    pieces = list(child.decode(segment))
    run_output = RunOutput(str(tmp_path), {})
    saved = [save_part(run_output.staging(raw), landmarks(p)) for p in pieces[:2]]
    stage = DecodeWindows(ChildSettings(LARGE), run_output)
    got = outputs_of([segment], stage, "windows", "failed", "saved")
    assert got["saved"] == saved
    assert got["failed"] == []
    assert [w.segment for w in got["windows"]] == [p.segment for p in pieces[2:]]
    for windows, piece in zip(got["windows"], pieces[2:], strict=True):
        assert np.array_equal(windows.crops[windows.windows], piece.crops[piece.windows])


def test_a_failure_owns_what_no_piece_brought(child, raw, tmp_path):
    (segment,) = child.plan(raw)
    run_output = RunOutput(str(tmp_path), {})
    (first, *_) = child.decode(segment)
    save_part(run_output.staging(raw), landmarks(first))
    gone = replace(segment, video=replace(raw, uri=str(Path(raw.uri).with_name("gone.h264"))))
    part = save_part(run_output.staging(gone.video), landmarks(replace(first, segment=gone)))
    Folder(part.url).remove()
    save_part(
        run_output.staging(gone.video),
        landmarks(replace(first, segment=replace(first.segment, video=gone.video))),
    )
    stage = DecodeWindows(ChildSettings(LARGE), run_output)
    got = outputs_of([gone], stage, "windows", "failed", "saved")
    (failure,) = got["failed"]
    assert failure.reason == "not_found"
    assert failure.segment.own_start_pts == first.segment.own_stop_pts
    assert len(got["saved"]) == 1


def own(index: int, start: int | None, stop: int | None) -> Segment:
    return make_segment(index, 3, own=(start, stop))


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ([], []),
        ([(None, None)], [(None, None)]),
        ([(None, 40), (80, None)], [(None, 40)]),
        ([(40, None)], []),
        ([(None, 40), (40, 80), (80, None)], [(None, 40), (40, 80), (80, None)]),
        ([(None, 20), (None, 40), (20, 30), (40, 80)], [(None, 40), (40, 80)]),
        ([(None, -3), (-3, 9)], [(None, -3), (-3, 9)]),
        ([(None, 7), (7, 7), (7, 2)], [(None, 7)]),
    ],
)
def test_saved_parts_are_those_from_the_start_on(tmp_path, there, expected):
    staging = Folder(str(tmp_path))
    for bounds in there:
        (tmp_path / Path(part_url(staging, own(0, *bounds))).name).touch()
    (tmp_path / "tracks-3-open-40.parquet").touch()
    (tmp_path / Path(part_url(staging, own(1, None, 99))).name).touch()
    found = saved_parts(staging, own(0, None, None))
    assert [(p.segment.own_start_pts, p.segment.own_stop_pts) for p in found] == expected
    assert [p.url for p in found] == [part_url(staging, p.segment) for p in found]


def test_parts_beyond_a_segment_are_not_its_own(tmp_path):
    staging = Folder(str(tmp_path))
    for bounds in [(30, 50), (30, 70), (50, 60), (50, None)]:
        (tmp_path / Path(part_url(staging, own(1, *bounds))).name).touch()
    found = saved_parts(staging, own(1, 30, 60))
    assert [p.segment.own_stop_pts for p in found] == [50, 60]
