"""How long something lasts, as a person says it."""

from datetime import timedelta

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def spoken(span: timedelta) -> str:
    """Return a duration in its one or two largest units: ``12 s``, ``3 min``, ``2 h 5 min``, ``4 d 2 h``."""
    # Clocks of two machines differ: what lies a moment ahead has just happened.
    seconds = max(0, int(span.total_seconds()))
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min"
    if seconds < _DAY:
        return _two(seconds // _HOUR, "h", seconds % _HOUR // _MINUTE, "min")
    return _two(seconds // _DAY, "d", seconds % _DAY // _HOUR, "h")


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit} {small} {small_unit}" if small else f"{large} {large_unit}"
