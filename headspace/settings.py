"""Django's settings, in reading order: identity, apps, database, queue, pages, Headspace's own limits."""

import secrets
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from headspace.env import env_bool, env_choice, env_database, env_int, env_list, env_path, env_seconds, env_text
from headspace.kept_file import kept_text

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = env_path("HEADSPACE_DATA", BASE_DIR / ".headspace")


def _kept(name: str) -> str:
    """Return what an earlier start wrote into the data directory, or nothing."""
    try:
        return kept_text(DATA_DIR / name)
    except PermissionError:
        raise ImproperlyConfigured(f"{DATA_DIR} belongs to somebody else: name your own in HEADSPACE_DATA.") from None


# -- identity -----------------------------------------------------------------

DEBUG = env_bool("DEBUG", False)
# `manage.py up` keeps the key of the first run in the data directory; without one, each process gets its own.
SECRET_KEY = env_text("SECRET_KEY", "") or _kept("secret-key") or secrets.token_urlsafe(50)
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])

# -- apps ---------------------------------------------------------------------

INSTALLED_APPS = [
    "headspace",
    "agents",
    "locks",
    "rest_framework",
    "pgtrigger",
    "django_q",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "headspace.urls"
WSGI_APPLICATION = "headspace.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# -- database -----------------------------------------------------------------

# Without DATABASE_URL: the embedded server of the data directory, whose address `manage.py up` keeps there.
# Where neither is, commands that need no database (`--help`) still work.
_EMBEDDED = _kept("database-url") or "postgresql://headspace@127.0.0.1:1/headspace"
DATABASES = {
    "default": env_database("DATABASE_URL", _EMBEDDED)
    | {
        # Threads keep their connection. There is no pool: it is slower here, and forked workers would share it.
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": True,  # so that a transaction pooler may stand in between
        "TEST": {"NAME": env_text("TEST_DATABASE", "") or None},
    }
}
DATABASES["default"].setdefault("OPTIONS", {}).setdefault("application_name", "headspace")
LOCKS: dict[str, Any] = {"THREADS": env_int("HEADSPACE_WEB_THREADS", 8, least=1)}
# Where a pooler stands in between, migrations and session-scoped locks need a way around it.
if _DIRECT := env_text("DATABASE_DIRECT_URL", ""):
    DATABASES["direct"] = env_database("DATABASE_DIRECT_URL", _DIRECT) | {"TEST": {"MIRROR": "default"}}
    LOCKS["DIRECT"] = {"default": "direct"}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# -- queue --------------------------------------------------------------------

Q_CLUSTER: dict[str, Any] = {
    "name": "headspace",
    "orm": "default",
    # django-q2's own, that also lets whoever runs the cluster see that it works.
    "broker_class": "headspace.heartbeat.HeartbeatBroker",
    "workers": 2,
    "timeout": 120,
    # A lease starts when a task is fetched, not when it runs: it must outlast the whole prefetched queue.
    "retry": 600,
    "queue_limit": 2,
    "bulk": 1,
    "poll": 1,
    "guard_cycle": 2,
    "max_attempts": 3,
    "ack_failures": True,
    "catch_up": False,
    "save_limit": 100,
    "recycle": 500,
    "label": "Queue",
}

# -- pages and API ------------------------------------------------------------

STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # served from the apps: no collectstatic step stands between clone and page
WHITENOISE_AUTOREFRESH = DEBUG
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "/"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["agents.login.LoginAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "agents.problems.problem_of",
}
# The largest hook that is read; beyond it the answer is 413.
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024 * 1024

# -- logs ---------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": env_choice("LOG_LEVEL", "INFO", {"DEBUG", "INFO", "WARNING", "ERROR"})},
    # It tells of every task, and so of every heartbeat.
    "loggers": {"django-q": {"level": "WARNING"}},
}

# -- Headspace ----------------------------------------------------------------

HEADSPACE: dict[str, Any] = {
    "HOST": env_text("HEADSPACE_HOST", "127.0.0.1"),
    "PORT": env_int("HEADSPACE_PORT", 8642, most=65535),
    # Processes and threads of the web; each thread keeps a connection, and `manage.py up` takes fewer if need be.
    "WEB_WORKERS": env_int("HEADSPACE_WEB_WORKERS", 2, least=1),
    "WEB_THREADS": env_int("HEADSPACE_WEB_THREADS", 8, least=1),
    # How long a hook asks for its agent's lock before it is stored as pending.
    "BUSY_AFTER": env_seconds("HEADSPACE_BUSY_AFTER", 1.5),
    # How many hooks of one agent may wait in one web process; the next one is stored as pending at once.
    "WAITERS_PER_AGENT": env_int("HEADSPACE_WAITERS_PER_AGENT", 4, least=1),
    # Two equal payloads within this time are one event that was delivered twice.
    "DUPLICATE_WITHIN": env_seconds("HEADSPACE_DUPLICATE_WITHIN", 5),
    # A text longer than this is stored cut, with a mark and its length (characters).
    "TEXT_LIMIT": env_int("HEADSPACE_TEXT_LIMIT", 20_000, least=100),
    # An agent that was not heard for so long is shown as silent, then (without a living process) as unknown.
    "SILENT_AFTER": env_seconds("HEADSPACE_SILENT_AFTER", 300),
    "UNKNOWN_AFTER": env_seconds("HEADSPACE_UNKNOWN_AFTER", 1800),
    # The cycles that `manage.py up` keeps running.
    "REAP_EVERY": env_seconds("HEADSPACE_REAP_EVERY", 15),
    "DRAIN_EVERY": env_seconds("HEADSPACE_DRAIN_EVERY", 2),
}
