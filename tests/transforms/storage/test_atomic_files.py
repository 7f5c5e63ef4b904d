import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import fsspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transforms.storage.atomic_files import (
    Folder,
    atomic_file,
    file_stem,
    sweep_all_temporaries,
    sweep_temporaries,
    temporary_file,
    write_bytes,
)


def test_a_file_is_there_when_the_block_has_ended_well(tmp_path):
    target = tmp_path / "new" / "folder" / "a.bin"
    with atomic_file(str(target)) as path:
        path.write_bytes(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert [p.name for p in target.parent.iterdir()] == ["a.bin"]


def test_an_exception_publishes_nothing_and_leaves_nothing(tmp_path):
    target = tmp_path / "a.bin"
    with pytest.raises(RuntimeError, match="halfway"), atomic_file(str(target)) as path:
        path.write_bytes(b"half")
        raise RuntimeError("halfway")
    assert list(tmp_path.iterdir()) == []


def test_an_exception_leaves_the_file_of_before(tmp_path):
    target = tmp_path / "a.bin"
    target.write_bytes(b"before")
    with pytest.raises(RuntimeError), atomic_file(str(target)) as path:
        path.write_bytes(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


def test_writing_twice_leaves_the_second(tmp_path):
    for content in (b"one", b"two"):
        write_bytes(str(tmp_path / "a"), content)
    assert (tmp_path / "a").read_bytes() == b"two"


def test_object_stores_get_one_whole_object():
    url = "memory://test-storage/deep/a.bin"
    with pytest.raises(RuntimeError), atomic_file(url) as path:
        path.write_bytes(b"half")
        raise RuntimeError
    assert not Folder(url).exists()
    write_bytes(url, b"whole")
    assert Folder(url).read_bytes() == b"whole"
    assert not path.exists()  # the local copy is removed too


def test_the_parts_of_a_write_are_not_listed(tmp_path):
    folder = Folder(str(tmp_path))
    write_bytes(f"{folder}/b", b"")
    with atomic_file(f"{folder}/a") as path:
        path.write_bytes(b"half")
        assert folder.names() == ["b"]
    assert folder.names() == ["a", "b"]


def test_a_process_about_to_end_sweeps_what_it_did_not_finish(tmp_path):
    writing = atomic_file(str(tmp_path / "a"))
    writing.__enter__().write_bytes(b"half")
    assert len(list(tmp_path.iterdir())) == 1
    sweep_temporaries()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        writing.__exit__(None, None, None)


def test_temporary_files_are_removed_after_use_and_before_the_process_ends():
    used, left = temporary_file(".csv"), temporary_file()
    paths = Path(used.name), Path(left.name)
    assert paths[0].suffix == ".csv"
    with used:
        used.write(b"x")
    del used
    assert [path.exists() for path in paths] == [False, True]
    sweep_temporaries()
    assert not paths[1].exists()
    left.close()


@pytest.mark.parametrize("root", ["memory://test-folder", "local"])
def test_a_folder_by_url(root, tmp_path):
    folder = Folder(str(tmp_path / "out") if root == "local" else root)
    assert not folder.exists()
    assert folder.names() == []
    write_bytes(str(folder / "inner" / "a"), b"1")
    write_bytes(str(folder / "b"), b"2")
    assert folder.names() == ["b", "inner"]
    assert (folder / "b").read_bytes() == b"2"
    (folder / "b").remove()
    (folder / "b").remove()
    assert folder.names() == ["inner"]
    folder.remove()
    assert not folder.exists()


def test_a_local_path_is_known_of_local_folders_only(tmp_path):
    assert Folder(str(tmp_path)).local_path() == str(tmp_path)
    assert Folder(f"file://{tmp_path}").local_path() == str(tmp_path)
    assert Folder("memory://a").local_path() is None


def test_what_a_killed_run_left_in_the_making_is_swept(tmp_path):
    """A killed process cannot clean up; the next run does."""
    unfinished = "import os, sys, transforms.storage.atomic_files as s\n" + (
        "with s.atomic_file(sys.argv[1]) as path:\n    path.write_bytes(b'half')\n    os._exit(9)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    for name in ("a", "deep/b"):
        command = [sys.executable, "-c", unfinished, str(tmp_path / name)]
        assert subprocess.run(command, env=environment, check=False).returncode == 9
    write_bytes(str(tmp_path / "deep" / "c"), b"whole")
    assert len([p for p in tmp_path.rglob("*") if p.is_file()]) == 3
    sweep_all_temporaries(str(tmp_path))
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["c"]


def test_a_trailing_slash_is_no_part_of_the_url():
    assert str(Folder("memory://a/") / "b") == "memory://a/b"


NASTY = st.one_of(
    st.text(max_size=200),
    st.text(alphabet="./\\%\n\0 -_aé漢😀\ud800", max_size=60),
    st.builds(lambda a, b: f"../{a}/../{b}", st.text(max_size=20), st.text(max_size=20)),
)


@given(NASTY)
@example("../../etc/passwd")
@example(".hidden")
@example("..")
@example("")
@example("漢" * 90)
@example("a" * 131)
@example("100%\nnew line")
def test_a_stem_is_a_plain_short_visible_name(video_id):
    stem = file_stem(video_id)
    assert stem
    assert not set(stem) & set("/\\\0\n%")
    assert not stem.startswith(".")
    assert len(stem.encode()) <= 130
    assert stem == file_stem(video_id)


@given(NASTY, NASTY)
@example("a b", "a_b")
@example("a" * 121, "a" * 122)
@example("a/b", "a\\b")
@example("e\u0301", "é")
def test_two_ids_never_share_a_stem(one, other):
    if one != other:
        assert file_stem(one) != file_stem(other)


@given(NASTY)
@example("a b")
@example("../x")
def test_not_even_an_id_that_looks_like_a_stem_shares_one(video_id):
    stem = file_stem(video_id)
    if stem != video_id:
        assert file_stem(stem) != stem


@pytest.mark.parametrize("video_id", ["clip.mp4", "a-b_c.d", "0", "Ähre.mp4", "漢字"])
def test_a_plain_id_is_its_own_stem(video_id):
    assert file_stem(video_id) == unicodedata.normalize("NFC", video_id)


@given(NASTY)
def test_a_stem_can_be_written(tmp_path_factory, video_id):
    folder = Path(tmp_path_factory.getbasetemp()) / "stems"
    url = f"{folder}/{file_stem(video_id)}.parquet"
    write_bytes(url, b"x")
    fs, path = fsspec.core.url_to_fs(url)
    assert fs.cat_file(path) == b"x"
    assert Path(path).parent == folder
