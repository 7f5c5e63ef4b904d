"""Arrow's threads must not touch Python objects: they could do so at interpreter shutdown."""

import io
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.storage.table_reading import open_parquet, read_csv, read_parquet

TABLE = pa.table({"number": list(range(3000)), "name": [f"n{i}" for i in range(3000)]})


class Watched(io.BytesIO):
    """A file that records the threads that read it."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.readers: set[int] = set()

    def read(self, *args):
        self.readers.add(threading.get_ident())
        return super().read(*args)


@pytest.fixture()
def file() -> Watched:
    content = io.BytesIO()
    pq.write_table(TABLE, content, row_group_size=1000)
    return Watched(content.getvalue())


def test_a_parquet_table_is_read_by_who_asks(file):
    assert read_parquet(file).equals(TABLE)
    assert file.readers == {threading.get_ident()}


def test_some_columns_and_one_that_is_missing(file):
    assert read_parquet(file, ["number"]).equals(TABLE.select(["number"]))
    with pytest.raises(pa.ArrowInvalid, match="got columns number, name; missing other"):
        read_parquet(file, ["number", "other"])


def test_a_row_group_is_read_by_who_asks(file):
    group = open_parquet(file).read_row_group(1, use_threads=False)
    assert group.equals(TABLE.slice(1000, 1000))
    assert file.readers == {threading.get_ident()}


def test_csv():
    table = read_csv(b"id,x\na,1.5\nb,2\n")
    assert table.to_pydict() == {"id": ["a", "b"], "x": [1.5, 2.0]}
    with pytest.raises(pa.ArrowException):
        read_csv(b"")
