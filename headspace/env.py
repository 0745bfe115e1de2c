"""The environment, read once and refused when it cannot be meant.

The only reader of ``os.environ``. Every refusal is an ``ImproperlyConfigured`` that names the variable.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


def env_text(name: str, default: str) -> str:
    """Return the variable's text, or the default where it is absent or empty."""
    return os.environ.get(name) or default


def env_bool(name: str, default: bool) -> bool:
    """Return a truth value; anything but the usual words is refused, never taken for false."""
    text = os.environ.get(name)
    if text is None:
        return default
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ImproperlyConfigured(f"{name} must be true or false, not {text!r}.")


def env_choice(name: str, default: str, choices: set[str]) -> str:
    """Return one of the words."""
    text = os.environ.get(name) or default
    if text not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(sorted(choices))}, not {text!r}.")
    return text


def env_int(name: str, default: int, *, least: int = 0, most: int = 10**9) -> int:
    """Return a whole number from ``least`` to ``most``."""
    text = os.environ.get(name) or str(default)
    if not text.removeprefix("-").isdecimal():
        raise ImproperlyConfigured(f"{name} must be a whole number, not {text!r}.")
    if int(text) < least:
        raise ImproperlyConfigured(f"{name} must be at least {least}, not {text}.")
    if int(text) > most:
        raise ImproperlyConfigured(f"{name} must be at most {most}, not {text}.")
    return int(text)


def env_seconds(name: str, default: float) -> timedelta:
    """Return a duration that is given in seconds and is longer than nothing."""
    text = os.environ.get(name) or str(default)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 10**9:
        raise ImproperlyConfigured(f"{name} must be a number of seconds above 0, not {text!r}.")
    return timedelta(seconds=seconds)


def env_list(name: str, default: list[str]) -> list[str]:
    """Return comma-separated words."""
    words = [word.strip() for word in os.environ.get(name, "").split(",")]
    return [word for word in words if word] or default


def env_path(name: str, default: Path) -> Path:
    """Return an absolute path; a relative one starts at the working directory."""
    return Path(os.environ.get(name) or default).expanduser().absolute()


def env_database(name: str, default: str) -> dict[str, Any]:
    """Return Django's settings for the PostgreSQL database of a URL."""
    text = os.environ.get(name) or default
    try:
        settings = dict(environ.Env.db_url_config(text))
    except (ValueError, ImproperlyConfigured):
        raise ImproperlyConfigured(f"{name} is not a database URL.") from None
    if settings.get("ENGINE") != "django.db.backends.postgresql":
        raise ImproperlyConfigured(f"{name} must be a postgres:// URL: Headspace runs on PostgreSQL alone.")
    return settings


def child_environment() -> dict[str, str]:
    """Return the environment that a process of ours inherits, to be added to."""
    return dict(os.environ)
