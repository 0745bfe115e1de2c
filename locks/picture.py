"""Contention over the last hour as a picture: a bar for each minute, as long as locks were waited for in it.

Pure: rows in, geometry out. Units are those of the picture's own grid.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from locks.durations import duration
from locks.models import Minute

MINUTES = 60
WIDTH, HEIGHT = 720, 210
_LEFT, _TOP, _BASE = 60, 16, 160
_STEP = (WIDTH - _LEFT) / MINUTES
_BAR = 7
_TIMEOUTS_AT, _LOSSES_AT = 172, 184
# Seconds: shorter waits are the statements' own time.
_SEEN_FROM = 0.01
# Seconds: what a scale may end at.
_ENDS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 18000, 36000)


@dataclass(frozen=True, slots=True)
class Bar:
    """One minute."""

    left: str
    middle: str
    top: str
    height: str
    says: str
    """What happened in it, for a person."""
    timeouts: int
    lost: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the scale."""

    y: str
    says: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment below the bars."""

    x: int
    anchor: str
    says: str


@dataclass(frozen=True, slots=True)
class Picture:
    """The hour."""

    bars: tuple[Bar, ...]
    """Only the minutes in which something happened, the oldest first."""
    lines: tuple[Line, ...]
    says: str
    """All of it in a sentence, for who does not see it."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    base: int = _BASE
    timeouts_at: int = _TIMEOUTS_AT
    losses_at: int = _LOSSES_AT
    middle: int = (_LEFT + WIDTH) // 2
    ticks: tuple[Tick, ...] = (
        Tick(_LEFT, "start", "an hour ago"),
        Tick((_LEFT + WIDTH) // 2, "middle", "30 min"),
        Tick(WIDTH, "end", "now"),
    )


def first_minute(now: datetime) -> datetime:
    """Return the oldest minute of the hour that ends now."""
    return now.replace(second=0, microsecond=0) - timedelta(minutes=MINUTES - 1)


def draw(minutes: Mapping[datetime, Minute], now: datetime) -> Picture:
    """Draw the last hour."""
    start = first_minute(now)
    shown = [minutes.get(start + timedelta(minutes=place)) for place in range(MINUTES)]
    end = _end(max((minute.waited_seconds for minute in shown if minute), default=0.0))
    bars = [_bar(place, minute, end) for place, minute in enumerate(shown) if minute and _is_worth_it(minute)]
    lines = tuple(Line(f"{_y(seconds, end):.1f}", _short(seconds)) for seconds in (end / 2, end))
    return Picture(tuple(bars), lines if bars else (), _sentence([minute for minute in shown if minute]))


def _bar(place: int, minute: Minute, end: float) -> Bar:
    left = _LEFT + place * _STEP + (_STEP - _BAR) / 2
    # A short wait is seen, too.
    height = max(_BASE - _y(minute.waited_seconds, end), 1.5 if minute.waited_seconds else 0)
    facts = [f"waited {duration(minute.waited_seconds)}, the longest {duration(minute.longest_wait)}"]
    facts += [f"timeouts {minute.timeouts}"] * bool(minute.timeouts) + [f"lost {minute.lost}"] * bool(minute.lost)
    return Bar(
        left=f"{left:.1f}",
        middle=f"{left + _BAR / 2:.1f}",
        top=f"{_BASE - height:.1f}",
        height=f"{height:.1f}",
        says=f"{MINUTES - 1 - place} min ago: {', '.join(facts)}",
        timeouts=minute.timeouts,
        lost=minute.lost,
    )


def _is_worth_it(minute: Minute) -> bool:
    return minute.waited_seconds >= _SEEN_FROM or bool(minute.timeouts or minute.lost)


def _y(seconds: float, end: float) -> float:
    return _BASE - (_BASE - _TOP) * min(seconds / end, 1)


def _end(longest: float) -> float:
    return next((end for end in _ENDS if end >= longest), longest)


def _short(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:g} s"
    return f"{seconds / 60:g} min" if seconds < 7200 else f"{seconds / 3600:g} h"


def _sentence(minutes: list[Minute]) -> str:
    waited = sum(minute.waited_seconds for minute in minutes)
    timeouts, lost = sum(minute.timeouts for minute in minutes), sum(minute.lost for minute in minutes)
    if waited < _SEEN_FROM and not timeouts and not lost:
        return "Nobody had to wait for a lock in the last hour."
    longest = max(minute.longest_wait for minute in minutes)
    return (
        f"In the last hour locks were waited for {duration(waited)} in all, {duration(longest)} at the longest; "
        f"timeouts: {timeouts}, lost: {lost}."
    )
