"""Machines and their tokens: 32 random bytes, shown once, kept as a digest."""

import hashlib
import secrets
from datetime import datetime

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Greatest
from django.utils import timezone

from agents.models import Host

_PREFIX = "hs_"


def token_digest(token: str) -> str:
    """Return what is kept of a token. A fast hash is right here: the token has 256 random bits."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def add_host(name: str, now: datetime | None = None) -> tuple[Host, str]:
    """Add a machine; return it with its token. Raises ``IntegrityError`` when the name is taken."""
    token = _new_token()
    with transaction.atomic():
        host = Host.objects.create(
            name=name, token_digest=token_digest(token), token_hint=token[:8], created_at=now or timezone.now()
        )
    return host, token


def rotate_token(host: Host, now: datetime | None = None) -> str:
    """Give a machine a new token, also one that was revoked; the old one stops working everywhere at once (L2)."""
    token = _new_token()
    Host.objects.filter(pk=host.pk).update(
        token_digest=token_digest(token), token_hint=token[:8], rotated_at=now or timezone.now(), revoked_at=None
    )
    return token


def revoke_token(host: Host, now: datetime | None = None) -> None:
    """Stop a machine's token everywhere at once; revoking it again changes nothing."""
    # A clock that was put back must not keep a token alive.
    revoked_at = Greatest(F("created_at"), Value(now or timezone.now()))
    Host.objects.filter(pk=host.pk, revoked_at=None).update(revoked_at=revoked_at)


def _new_token() -> str:
    return _PREFIX + secrets.token_urlsafe(32)
