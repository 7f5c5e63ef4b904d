import io
import json
import pickletools
from dataclasses import replace

import numpy as np
import pytest
from segments import box_at, make_part, make_segment

from schemas.records import SegmentLandmarks, SegmentStats
from transforms.storage.atomic_files import Folder
from transforms.storage.parts import part_url, read_part, save_part

PARTS = {
    "faces and a seam": make_part(
        make_segment(1, 3, seek=25, own=(43, 68)),
        {43: {0: box_at(3), 1: box_at(50)}, 44: {0: box_at(4)}, 45: {}},
        seam=(68, {0: box_at(9), 7: box_at(60)}),
        cuts=[44],
        stats=SegmentStats(1.5, 0.25, 0.125, 3.0, 2),
    ),
    "a seam without faces": make_part(make_segment(), {0: {0: box_at(1)}}, seam=(1, {})),
    "no face": make_part(make_segment(), {0: {}, 1: {}}),
    "no frame": make_part(make_segment(), {}),
    "no geometry": replace(make_part(make_segment(), {}), geometry=None),
}


def assert_same(got: SegmentLandmarks, expected: SegmentLandmarks) -> None:
    assert (got.segment, got.geometry, got.stats) == (
        expected.segment,
        expected.geometry,
        expected.stats,
    )
    pairs = [(got.landmarks_px, expected.landmarks_px)]
    for name in expected.rows.__dataclass_fields__:
        pairs.append((getattr(got.rows, name), getattr(expected.rows, name)))
    assert (got.seam is None) == (expected.seam is None)
    if got.seam is not None and expected.seam is not None:
        assert got.seam.pts == expected.seam.pts
        pairs.append((got.seam.track, expected.seam.track))
        pairs.append((got.seam.boxes_xyxy_px, expected.seam.boxes_xyxy_px))
    for a, b in pairs:
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert np.array_equal(a, b)


@pytest.mark.parametrize("name", sorted(PARTS))
@pytest.mark.parametrize("root", ["memory://test-parts", "local"])
def test_what_is_read_is_what_was_saved(name, root, tmp_path):
    staging = Folder(str(tmp_path) if root == "local" else root)
    assert_same(read_part(save_part(staging, PARTS[name])), PARTS[name])


def test_arrays_that_are_views_are_saved_as_they_look(tmp_path):
    part = PARTS["faces and a seam"]
    turned = replace(part, landmarks_px=np.asfortranarray(part.landmarks_px)[:, ::-1])
    got = read_part(save_part(Folder(str(tmp_path)), turned))
    assert np.array_equal(got.landmarks_px, part.landmarks_px[:, ::-1])


def test_a_part_is_named_by_what_it_owns(tmp_path):
    staging = Folder(str(tmp_path))
    names = {
        part_url(staging, make_segment(index, 3, own=own))
        for index, own in [(0, (None, 5)), (1, (5, 9)), (1, (5, 8)), (1, (4, 9)), (2, (9, None))]
    }
    assert len(names) == 5
    assert part_url(staging, make_segment(1, 3, own=(5, 9))) in names


def test_saving_twice_is_harmless(tmp_path):
    staging, part = Folder(str(tmp_path)), PARTS["faces and a seam"]
    assert save_part(staging, part) == save_part(staging, part)
    assert len(staging.names()) == 1


def test_nothing_is_pickled(tmp_path):
    """The file is a length, a JSON header and bare arrays; no part of it is a pickle."""
    part = save_part(Folder(str(tmp_path)), PARTS["faces and a seam"])
    content = Folder(part.url).read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    meta = header.pop("__metadata__")
    assert json.loads(meta["facetracks"])["seam_pts"] == 68
    assert {entry["dtype"] for entry in header.values()} <= {"I64", "I32", "F32", "U8"}
    with pytest.raises(ValueError):
        pickletools.dis(content, out=io.StringIO())


def test_a_damaged_part_is_told(tmp_path):
    part = save_part(Folder(str(tmp_path)), PARTS["no face"])
    (tmp_path / Folder(str(tmp_path)).names()[0]).write_bytes(b"\x80\x04garbage" * 9)
    with pytest.raises(ValueError):
        read_part(part)
