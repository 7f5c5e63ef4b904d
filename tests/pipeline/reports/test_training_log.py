import csv
from pathlib import Path

import cv2
import pytest

from pipeline.reports.training_log import add_epoch, can_draw, draw_training_curves, read_log
from schemas.errors import UsageError

_OLD = "epoch,elapsed_s,loss_percent,ytf68_val_nrmse_percent\n1,3.0,20.0000,30.0000\n"


def _epoch(number: int, error: str = "9.0", **more: str) -> dict[str, str]:
    values = {"epoch": str(number), "elapsed_s": "1.0", "learning_rate": "0.001"}
    return {**values, "loss_percent": "5.0", "ytf68_val_nrmse_percent": error, **more}


def test_rows_follow_each_other(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    assert read_log(log) == []
    add_epoch(log, _epoch(1))
    assert add_epoch(log, _epoch(2)) == read_log(log) == [_epoch(1), _epoch(2)]
    assert list(tmp_path.iterdir()) == [log]


def test_what_was_done_again_gives_way(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    for number in (1, 2, 3):
        add_epoch(log, _epoch(number))
    assert add_epoch(log, _epoch(2, "8.0")) == [_epoch(1), _epoch(2, "8.0")]


def test_a_log_of_before_gets_the_new_column(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(_OLD)
    add_epoch(log, _epoch(2))
    with log.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["learning_rate"] for row in rows] == ["", "0.001"]
    assert [row["ytf68_val_nrmse_percent"] for row in rows] == ["30.0000", "9.0"]


def test_another_validation_set_gets_its_own_column(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    add_epoch(log, _epoch(1))
    other = {"epoch": "2", "300vw_train_held_out_nrmse_percent": "4.0"}
    add_epoch(log, other)
    names = ["ytf68_val_nrmse_percent", "300vw_train_held_out_nrmse_percent"]
    assert [[row[name] for name in names] for row in read_log(log)] == [["9.0", ""], ["", "4.0"]]


def test_other_files_are_no_logs(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    for text in ("name,value\na,1\n", "epoch\n-\n"):
        log.write_text(text)
        with pytest.raises(UsageError, match=r"log\.csv: got a row without an epoch"):
            read_log(log)


def test_curves_are_drawn_whatever_rows_lack(tmp_path: Path) -> None:
    assert can_draw()
    log, picture = tmp_path / "log.csv", tmp_path / "curves.png"
    log.write_text(_OLD)
    draw_training_curves(picture, read_log(log))  # no learning rate at all
    first = cv2.imread(str(picture))
    draw_training_curves(picture, add_epoch(log, _epoch(2)))
    second = cv2.imread(str(picture))
    assert first is not None and first.shape == second.shape
    blue = [
        int((image[..., 0].astype(int) - image[..., 2] > 60).sum()) for image in (first, second)
    ]
    assert blue[1] > blue[0] + 100  # lines where there were points
