"""Found videos are in a file; iteration gives the same results as lists and dicts of all."""

import tracemalloc
from collections import Counter
from dataclasses import replace
from itertools import islice, pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.found_videos import FoundVideos, with_hash
from schemas.records import Video

NAMES = st.sampled_from(["a", "b", "c", "\udcff.mp4", "𝄞"])
FOUND = st.builds(Video, NAMES, NAMES.map("in/{}".format), st.sampled_from([None, 0.1]))


@given(st.lists(st.tuples(FOUND, st.sampled_from(["", "in"]))), st.none() | st.integers(0, 9))
def test_each_once_in_order_with_distinct_ids(found, limit):
    folders = {}
    for video, folder in found:
        folders.setdefault(video, folder)
    uses = Counter(video.video_id for video in folders)
    expected = [with_hash(v, f) if uses[v.video_id] > 1 else v for v, f in folders.items()]
    videos = FoundVideos(found, limit)
    assert list(videos) == expected[:limit]
    assert len(videos) == len(expected[:limit])
    assert videos.twice == len(found) - len(folders)
    assert all(video in videos for video in expected[:limit])
    assert not expected or replace(expected[0], uri="else") not in videos


def corpus(count: int):
    return (
        (Video(f"video-{n:06d}.mp4", f"s3://bucket/video-{n:06d}.mp4"), "") for n in range(count)
    )


def test_some_are_taken_out_for_a_reason():
    videos = FoundVideos(corpus(30))
    assert videos.refuse(lambda video: video.uri if video.uri.endswith("3.mp4") else None) == [
        f"s3://bucket/video-{n:06d}.mp4" for n in (3, 13, 23)
    ]
    assert len(videos) == len(list(videos)) == 27
    assert videos.refuse(lambda video: None) == []


def test_two_walk_at_the_same_time():
    videos = FoundVideos(corpus(10_000))
    one, other = iter(videos), iter(videos)
    assert list(islice(one, 5_000)) == list(islice(other, 5_000))
    assert [*one] == [*other] == list(islice(videos, 5_000, None))
    assert all(a.video_id < b.video_id for a, b in pairwise(videos))


def test_memory_of_many_is_some_bytes_each():
    """A Video and its two texts take 300 bytes; here are two digests and what sorts them."""
    FoundVideos(corpus(100))  # so that late imports are done
    tracemalloc.start()
    videos = FoundVideos(corpus(40_000))
    assert len(videos) == sum(1 for _ in videos) == 40_000
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 40_000 * 120 + (4 << 20)
