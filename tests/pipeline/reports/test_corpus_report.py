"""The report: its contents, and its display in a browser."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import open_page
from clips import drifting, write_clip
from segments import box_at, split_parts

from pipeline.reports.corpus_report import report
from pipeline.reports.report_page import ADVICE, FIELDS, json_for_page, write_page
from schemas.errors import OutputError
from schemas.reasons import REASONS
from schemas.records import Video, VideoFailure
from transforms.stabilize_tracks import stabilize_segments
from transforms.storage.parts import save_part
from transforms.storage.run_output import RunOutput
from transforms.write_tracks import failure_row, write_video

OWNED = (
    """</script><script>document.title='owned'</script>"><img src=x onerror="document.title='o'">"""
)
COUNT = 10_000


def add_tracks(run_output: RunOutput, name: str, uri: str) -> None:
    """30 frames of a face that shakes from the 20th on."""
    boxes = {pts: {0: box_at(40 + (pts % 2) * (pts > 20), 10, 30)} for pts in range(30)}
    parts = split_parts(boxes, [], video=Video(name, uri))
    saved = [save_part(run_output.staging(parts[0].segment.video), part) for part in parts]
    write_video(stabilize_segments(saved, run_output, "none"), run_output)


def add_failure(run_output: RunOutput, name: str, reason: str) -> None:
    video = Video(name, f"/in/{name}")
    failure = VideoFailure(video, reason, f"{name}: {OWNED}")
    run_output.write_status(video, failure_row(failure, "0" * 16))


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    """An existing video, a removed one, two failed ones; names with HTML injections."""
    folder = tmp_path_factory.mktemp("report")
    clip = write_clip(folder / "there.avi", drifting(30, 96, 64), codec="mpeg4")  # pts in 1/25 s
    run_output = RunOutput(str(folder / "out"), {})
    add_tracks(run_output, "there.avi", str(clip))
    add_tracks(run_output, f"gone {OWNED}.avi", "/in/gone.avi")
    add_failure(run_output, f"text {OWNED}.mp4", "not_a_video")
    add_failure(run_output, "hung.mp4", "decoder_hung")
    (folder / "out" / "run.json").write_text(
        json.dumps({"licences": {"landmarks": OWNED}, "versions": {"av": "1"}, "runner": OWNED})
    )
    return folder / "out"


@pytest.fixture(scope="module")
def page(output) -> Path:
    made = report(output)
    assert made.file == str(output / "report.html")
    assert (made.inputs, made.thumbnails) == (4, 1)
    assert made.bytes == Path(made.file).stat().st_size
    return Path(made.file)


class Tags(HTMLParser):
    """The elements of a page, and the texts of scripts by id."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, str] = {}
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        tag, attributes = self.found[-1] if self.found else ("", {})
        if tag == "script":
            key = attributes.get("id", "script")
            self.texts[key] = self.texts.get(key, "") + data


def test_a_page_needs_nothing_else_and_holds_no_markup_of_the_tables(page):
    tags = Tags(page)
    assert [t for t, _ in tags.found if t in ("link", "iframe", "object", "base")] == []
    for tag, attributes in tags.found:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, attributes)
    assert [a.get("id") for t, a in tags.found if t == "script"] == [
        "fields", "rows", "pictures", None,
    ]  # fmt: skip
    assert not re.search(r"https?:", tags.texts["script"])
    policy = next(a["content"] for t, a in tags.found if "http-equiv" in a)
    assert "default-src 'none'" in policy
    names = [field.name for field in FIELDS]
    rows = [dict(zip(names, row, strict=True)) for row in json.loads(tags.texts["rows"])]
    assert {row["video_id"] for row in rows} == {
        "there.avi", "hung.mp4", f"gone {OWNED}.avi", f"text {OWNED}.mp4",
    }  # fmt: skip
    there = next(row for row in rows if row["video_id"] == "there.avi")
    assert (there["status"], there["frames"], there["faces"], there["rows"]) == ("ok", 30, 1, 30)
    assert there["score"] == 0.75


def test_what_failed_comes_with_what_to_do(page):
    text = page.read_text()
    for reason in ("not_a_video", "decoder_hung"):
        assert f'data-reason="{reason}"' in text
    assert "<code>--retry</code> decoder_hung" in text
    assert ADVICE.keys() == REASONS.keys()


def test_pictures_have_landmarks_where_the_video_is_there(page):
    tags = Tags(page)
    ((_, uri),) = json.loads(tags.texts["pictures"]).items()
    shown = [a["src"] for t, a in tags.found if t == "img"]
    assert len(shown) == 2  # the track by jitter and by spread; the other video was removed
    assert page.read_text().count('class="no-picture"') == 2
    for picture in (uri, *shown):
        jpeg = base64.b64decode(picture.removeprefix("data:image/jpeg;base64,"))
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).astype(int)
        assert max(image.shape) <= 240
        green = image[..., 1] - image[..., [0, 2]].max(-1)
        assert (green > 60).sum() > 20  # drifting colours are never so green


def test_a_browser_shows_ids_as_text_and_filters_and_sorts(page):
    with open_page(page) as browser:
        ids = "[...document.querySelectorAll('.body .id')].map((e) => e.textContent)"
        assert sorted(browser.evaluate(ids)) == sorted(
            ["there.avi", "hung.mp4", f"gone {OWNED}.avi", f"text {OWNED}.mp4"]
        )
        assert browser.evaluate("document.title").endswith("facetracks report")
        browser.evaluate("document.querySelector('[data-reason=decoder_hung]').click()")
        assert browser.evaluate(ids) == ["hung.mp4"]
        assert browser.evaluate("document.getElementById('told').textContent") == "1 of 4"
        browser.evaluate(
            "document.getElementById('reason').value = '';"
            "document.querySelector('[data-sort=frames]').click()"
        )
        assert set(browser.evaluate(ids)[:2]) == {"there.avi", f"gone {OWNED}.avi"}
        browser.evaluate("document.querySelector('[data-sort=video_id]').click()")
        assert browser.evaluate(ids) == sorted(browser.evaluate(ids))
        browser.evaluate("document.querySelectorAll('.body .row')[0].click()")
        assert browser.evaluate("document.querySelector('dialog').open")
        assert browser.evaluate("document.querySelector('dialog h3').textContent").startswith(
            "gone"
        )
        assert browser.evaluate("document.scripts.length") == 4
        looks = {
            (width, dark): browser.show(width=width, height=700, dark=dark)
            for width in (390, 1280)
            for dark in (False, True)
        }
        assert len(set(looks.values())) == 4
        assert browser.evaluate("document.title").endswith("facetracks report")
        assert browser.messages == []


def test_ten_thousand_inputs_stay_usable(tmp_path):
    page = tmp_path / "many.html"
    values = dict.fromkeys(field.name for field in FIELDS)
    rows = (
        json_for_page(list((values | {
            "video_id": f"clip {number:05}", "status": "ok", "frames": number * 7919 % COUNT,
        }).values()))
        for number in range(COUNT)
    )  # fmt: skip
    with page.open("w") as out:
        write_page(
            out, title="many", tiles={}, reasons=[], rows=rows, pictures=[], picture_note="",
            histograms=[], worst={}, speeds=[], speed_note="", facts={}, record={},
        )  # fmt: skip
    with open_page(page) as browser:
        shown = "document.querySelectorAll('.body .row').length"
        last = "[...document.querySelectorAll('.body .id')].at(-1).textContent"
        assert 5 < browser.evaluate(shown) < 100
        browser.evaluate("scroller.scrollTop = scroller.scrollHeight")
        browser.evaluate("scroller.dispatchEvent(new Event('scroll'))")
        assert browser.evaluate(last) == f"clip {COUNT - 1:05}"
        assert 5 < browser.evaluate(shown) < 100
        browser.evaluate("document.querySelector('[data-sort=frames]').click()")
        browser.evaluate("document.querySelector('[data-sort=frames]').click()")
        frames = "[...document.querySelectorAll('.body .n:nth-child(5)')].map((e) => e.textContent)"
        assert browser.evaluate(frames)[:3] == ["0", "1", "2"]
        browser.evaluate("search.value = '0999'; search.dispatchEvent(new Event('input'))")
        assert browser.evaluate("told.textContent") == f"11 of {COUNT}"


def test_text_cannot_end_a_script_element():
    made = json_for_page({"a": OWNED, "b": None, "c": [1.5]})
    assert "<" not in made
    assert json.loads(made) == {"a": OWNED, "b": None, "c": [1.5]}
    with pytest.raises(ValueError, match="JSON"):
        json_for_page(float("nan"))


def test_thumbnails_are_as_many_as_asked_for_spread_over_all(tmp_path):
    run_output = RunOutput("memory://test-report/out", {})
    for number in range(9):
        add_tracks(run_output, f"{number}.avi", "/in/gone.avi")
    made = report("memory://test-report/out", tmp_path / "page.html", thumbnails=0)
    assert (made.inputs, made.thumbnails) == (9, 0)
    assert 'class="no-picture"' not in (tmp_path / "page.html").read_text()
    made = report("memory://test-report/out", thumbnails=2)
    assert made.file == "memory://test-report/out/report.html"
    run_output.folder.report.remove()


def test_a_folder_without_an_output(facetracks, tmp_path):
    with pytest.raises(OutputError, match="expected the output of annotate"):
        report(tmp_path)
    ended = facetracks("report", tmp_path)
    assert ended.status == 2
    assert io.StringIO(ended.err).readline().startswith("facetracks: ")
