"""Who asks a worker to stop, by when, and what taking that back leaves behind."""

from tests.support.processes import PATIENCE_S
from worker.stop_wish import StopWish

ONE, OTHER = "http://10.0.0.1:21001", "http://10.0.0.2:21001"


async def test_a_wish_after_one_that_was_taken_back_too_late_has_a_time_of_its_own() -> None:
    stop = StopWish()
    stop.wish(ONE, 0.0)
    await stop.hurry.wait()
    assert stop.take_back(ONE)
    stop.wish(ONE, PATIENCE_S)
    assert (stop.stands, stop.hurry.is_set(), stop.stay.is_set()) == (True, False, False)


async def test_it_goes_on_when_all_who_asked_have_taken_it_back() -> None:
    stop = StopWish()
    stop.wish(ONE, PATIENCE_S)
    stop.wish(OTHER, PATIENCE_S)
    assert not stop.take_back(ONE)
    assert stop.stands
    assert stop.take_back(OTHER)
    assert (stop.stands, stop.stay.is_set()) == (False, True)


async def test_a_signal_is_not_taken_back_by_controllers_and_a_second_one_does_not_wait() -> None:
    stop = StopWish()
    stop.wish(ONE, PATIENCE_S)
    stop.signal(PATIENCE_S)
    assert not stop.take_back(ONE)
    assert (stop.stands, stop.hurry.is_set()) == (True, False)
    stop.signal(PATIENCE_S)
    assert stop.hurry.is_set()
