from datetime import UTC, datetime, timedelta

from locks.models import Minute
from locks.picture import draw

NOW = datetime(2026, 3, 1, 12, 30, 40, tzinfo=UTC)


def _drawn(*minutes):
    rows = {}
    for ago, numbers in minutes:
        at = NOW.replace(second=0) - timedelta(minutes=ago)
        rows[at] = Minute(minute=at, **numbers)
    return draw(rows, NOW)


def test_an_hour_without_waits_says_so_and_has_no_bars():
    picture = draw({}, NOW)

    assert picture.bars == picture.lines == ()
    assert picture.says == "Nobody had to wait for a lock in the last hour."


def test_a_minute_in_which_only_somebody_skipped_is_no_contention():
    assert _drawn((5, {"skips": 100})).bars == ()


def test_what_asking_takes_by_itself_is_no_contention():
    picture = _drawn((5, {"waited_seconds": 0.004}))

    assert picture.bars == ()
    assert picture.says == "Nobody had to wait for a lock in the last hour."


def test_time_runs_from_left_to_right_and_the_present_minute_is_the_last():
    now, before, first = (_drawn((ago, {"waited_seconds": 1.0})).bars[0] for ago in (0, 1, 59))

    assert float(first.left) < float(before.left) < float(now.left)
    assert _drawn((60, {"waited_seconds": 1.0})).bars == ()
    assert (now.says[:9], first.says[:10]) == ("0 min ago", "59 min ago")


def test_a_bar_is_as_high_as_was_waited_and_none_leaves_the_picture():
    picture = _drawn((3, {"waited_seconds": 30.0}), (2, {"waited_seconds": 15.0}), (1, {"waited_seconds": 0.02}))
    high, half, short = (float(bar.height) for bar in picture.bars)

    assert abs(high - 2 * half) < 0.2
    assert short > 1
    for bar in picture.bars:
        assert float(bar.top) + float(bar.height) == picture.base
    assert [line.says for line in picture.lines] == ["15 s", "30 s"]


def test_more_than_any_scale_still_fits():
    (bar,) = _drawn((3, {"waited_seconds": 10.0**6})).bars

    assert float(bar.top) >= 0


def test_timeouts_and_losses_are_marked_and_said():
    picture = _drawn((3, {"timeouts": 2, "lost": 1, "waited_seconds": 31.0, "longest_wait": 15.0}))
    (bar,) = picture.bars

    assert (bar.timeouts, bar.lost) == (2, 1)
    assert bar.says == "3 min ago: waited 31.00 s, the longest 15.00 s, timeouts 2, lost 1"
    assert picture.says == (
        "In the last hour locks were waited for 31.00 s in all, 15.00 s at the longest; timeouts: 2, lost: 1."
    )
