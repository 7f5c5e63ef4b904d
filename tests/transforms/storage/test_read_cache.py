import pytest

from transforms.storage.read_cache import ReadCache
from transforms.storage.source_files import MIN_READ_BYTES, SourceFile

CONTENT = bytes(range(256)) * 4096  # 1 MiB


class Counting:
    """A file system of one file that records its reads."""

    def __init__(self) -> None:
        self.reads: list[tuple[int, int]] = []
        self._position = 0

    def open(self, path, mode, **options):
        return self

    def seek(self, position: int) -> None:
        self._position = position

    def read(self, size: int) -> bytes:
        content = CONTENT[self._position :][: None if size < 0 else size]
        self.reads.append((self._position, len(content)))
        return content

    def close(self) -> None:
        pass

    @property
    def bytes_read(self) -> int:
        return sum(count for _, count in self.reads)


def opened(fs: Counting, recent: ReadCache, etag: str = "1") -> SourceFile:
    return SourceFile(fs, "v", "s3://b/v", {"size": len(CONTENT), "ETag": etag}, recent)


def read_range(file: SourceFile, start: int, stop: int, step: int = 4096) -> bytes:
    file.seek(start)
    got = b""
    while len(got) < stop - start:
        got += file.read(min(step, stop - start - len(got)))
    return got


def test_stretches_are_found_by_any_byte_of_them():
    recent = ReadCache(100)
    recent.add("a", 10, b"0123456789")
    assert recent.at("a", 10) == recent.at("a", 19) == (10, b"0123456789")
    assert recent.at("a", 9) is recent.at("a", 20) is recent.at("b", 10) is None
    assert recent.next_start("a", 9) == 10
    assert recent.next_start("a", 10) is None
    assert recent.next_start("b", 0) is None


def test_the_longest_unused_goes_first():
    recent = ReadCache(10)
    recent.add("a", 0, b"1234")
    recent.add("a", 10, b"1234")
    assert recent.at("a", 0) is not None  # recently used
    recent.add("a", 20, b"1234")
    assert recent.at("a", 10) is None
    assert recent.at("a", 0) is not None
    recent.add("a", 0, b"12")
    recent.add("a", 30, b"1234")
    assert recent.at("a", 20) is not None  # 2 + 4 + 4 bytes


def test_nothing_is_read_twice():
    fs, recent = Counting(), ReadCache(1 << 20)
    for _ in range(3):
        with opened(fs, recent) as file:
            assert read_range(file, 0, len(CONTENT)) == CONTENT
    assert fs.bytes_read == len(CONTENT)


def test_what_lies_between_is_read_once_and_no_more():
    fs, recent = Counting(), ReadCache(1 << 20)
    with opened(fs, recent) as file:
        read_range(file, 300_000, 310_000)
        read_range(file, 200_000, 400_000)
        assert read_range(file, 0, len(CONTENT)) == CONTENT
    assert fs.bytes_read == len(CONTENT)


def test_another_version_is_another_file():
    fs, recent = Counting(), ReadCache(1 << 20)
    for etag in ("1", "2"):
        with opened(fs, recent, etag) as file:
            read_range(file, 0, 1000)
    assert fs.bytes_read == 2 * MIN_READ_BYTES


@pytest.mark.parametrize("stop", [500_000, 500_001])
def test_read_ahead_ends_where_the_reader_will(stop):
    fs = Counting()
    with opened(fs, ReadCache(0)) as file:
        file.expect_stop(stop)
        read_range(file, 100_000, 500_000)
    assert fs.bytes_read == stop - 100_000
    assert len(fs.reads) < 10


def test_who_reads_on_after_the_end_begins_small_again():
    fs = Counting()
    with opened(fs, ReadCache(0)) as file:
        file.expect_stop(500_000)
        assert read_range(file, 100_000, 501_000) == CONTENT[100_000:501_000]
    assert fs.reads[-1] == (500_000, MIN_READ_BYTES)


def test_a_jump_costs_little():
    fs = Counting()
    with opened(fs, ReadCache(0)) as file:
        read_range(file, 0, 600_000)
        before = fs.bytes_read
        read_range(file, 900_000, 900_100)
    assert fs.bytes_read - before == MIN_READ_BYTES
