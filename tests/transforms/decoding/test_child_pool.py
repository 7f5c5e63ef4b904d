import threading

import pytest

from transforms.decoding.child import ChildSettings, DecodingChild
from transforms.decoding.child_pool import enter_pool, kept_children, leave_pool, lent_child
from transforms.decoding.piece_builder import CropSpec

SETTINGS = ChildSettings(CropSpec(16, 1.2, 3))
OTHERS = ChildSettings(CropSpec(16, 1.2, 3), stall_seconds=5.0)


class Closings:
    """Stands for a child without a process, and counts how often it is closed."""

    def __init__(self, child: DecodingChild) -> None:
        self.count = 0
        self._close = child.close
        child.close = self  # type: ignore[method-assign]

    def __call__(self) -> None:
        self.count += 1
        self._close()


def test_a_child_goes_from_request_to_request_until_the_last_user_leaves():
    enter_pool()
    with lent_child(SETTINGS) as first:
        closings = Closings(first)
    enter_pool()
    with lent_child(SETTINGS) as second:
        assert second is first
    leave_pool()
    assert closings.count == 0
    leave_pool()
    assert closings.count == 1


def test_children_are_kept_from_one_pipeline_to_the_next():
    with kept_children():
        enter_pool()
        with lent_child(SETTINGS) as first:
            closings = Closings(first)
        leave_pool()
        assert closings.count == 0
        with lent_child(SETTINGS) as second:
            assert second is first
    assert closings.count == 1


def test_two_requests_at_once_have_a_child_each():
    with kept_children(), lent_child(SETTINGS) as one, lent_child(SETTINGS) as other:
        assert one is not other


def test_a_child_serves_only_the_settings_it_was_told():
    with kept_children():
        with lent_child(SETTINGS) as one:
            pass
        with lent_child(OTHERS) as other:
            assert other is not one
        with lent_child(SETTINGS) as again:
            assert again is one


def test_without_a_user_a_child_ends_with_its_request():
    with lent_child(SETTINGS) as child:
        closings = Closings(child)
    assert closings.count == 1


def test_a_request_that_fails_gives_its_child_back():
    with kept_children():
        with pytest.raises(ValueError), lent_child(SETTINGS) as one:
            raise ValueError
        with lent_child(SETTINGS) as again:
            assert again is one


def test_threads_never_share_a_child():
    """Sixteen threads take and return children; no child is used twice at once."""
    in_hands, shared, most = set(), [], []
    start = threading.Barrier(16)

    def work() -> None:
        start.wait()
        for _ in range(50):
            with lent_child(SETTINGS) as child:
                if id(child) in in_hands:
                    shared.append(child)
                in_hands.add(id(child))
                most.append(len(in_hands))
                in_hands.discard(id(child))

    with kept_children():
        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert shared == []
    assert max(most) <= 16
