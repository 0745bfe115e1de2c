"""Headspace's settings with the gate's migrations, for processes."""

from headspace.settings import *  # noqa: F403
from headspace.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.locks.gate"]
