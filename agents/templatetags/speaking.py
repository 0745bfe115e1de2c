"""How templates speak: instants as ages and as times of day, names as words."""

from datetime import datetime

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from agents.ages import spoken

register = template.Library()


@register.filter
def age(instant: datetime, now: datetime) -> SafeString:
    """Return how long ago an instant was, with the instant itself behind it."""
    return format_html('<time datetime="{}">{}</time>', instant.isoformat(), spoken(now - instant))


@register.filter
def clock(instant: datetime | None) -> SafeString | str:
    """Return an instant in UTC, for the browser to say it in its own zone; a dash where there is none."""
    if instant is None:
        return "-"
    shown = instant.strftime("%Y-%m-%d %H:%M:%S UTC")
    return format_html('<time datetime="{}" data-clock>{}</time>', instant.isoformat(), shown)


@register.filter
def words(name: str) -> str:
    """Return a name as words: ``awaiting_input`` as "awaiting input"."""
    return name.replace("_", " ")
