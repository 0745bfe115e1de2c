"""The answer to a hook that cannot be taken: a problem document, and a journal row where there is a host to blame."""

import hashlib
import logging

from django.core.exceptions import DisallowedHost
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.utils import timezone
from django.views import defaults
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request

from agents.authentication import credential_of
from agents.errors import Broken, HookError, NotJson, Unavailable, UnknownHost, WrongMethod, WrongName
from agents.models import HookEvent
from agents.payloads import REPLACEMENT, UNSTORABLE
from agents.problems import new_correlation_id, problem
from locks import AdvisoryLockError

log = logging.getLogger(__name__)

_SHOWN = 1000
"""How many bytes of a refused body are kept."""


def as_hook_error(exc: Exception) -> HookError:
    """Return what a client is told of an exception: never its text, unless it was made for clients."""
    if isinstance(exc, HookError):
        return exc
    if isinstance(exc, DisallowedHost):
        return WrongName("This request cannot be meant for this server; look at the host's name.")
    if isinstance(exc, UnreadablePostError):
        return NotJson("The body did not arrive whole.")
    if isinstance(exc, MethodNotAllowed):
        return WrongMethod("This address does not take this method.")
    if isinstance(exc, OperationalError | InterfaceError | AdvisoryLockError):
        log.warning("a hook could not be stored: %s", exc)
        return Unavailable("Headspace cannot reach its database now; the event was not stored.")
    log.exception("a hook failed", exc_info=exc)
    return Broken("Something went wrong in Headspace; its log tells what.")


def refusal(request: Request, error: HookError) -> HttpResponse:
    """Return the problem document of a refused hook, after journaling it."""
    correlation_id = new_correlation_id()
    if error.status < 500 and not isinstance(error, UnknownHost | WrongName):
        try:
            _journal(request, error, correlation_id)
        except UnknownHost as unknown:
            error = unknown  # whether the body was good is nobody's business but a host's
        except (OperationalError, InterfaceError) as lost:
            error = as_hook_error(lost)
    response = problem(error.status, error.code, str(error), correlation_id)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that reached no view of ours; a client of hooks understands no page."""
    if _is_for_hooks(request):
        return problem(400, "bad_request", "This request cannot be meant for this server; look at the host's name.")
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer what nothing else has answered."""
    if _is_for_hooks(request):
        return problem(500, Broken.code, "Something went wrong in Headspace; its log tells what.")
    return defaults.server_error(request)


def _is_for_hooks(request: HttpRequest) -> bool:
    return request.path_info.lstrip("/").partition("/")[0] in ("hook", "hooks")


def _journal(request: Request, error: HookError, correlation_id: str) -> None:
    host = credential_of(request).host()
    now = timezone.now()
    body = _read_so_far(request)
    HookEvent.objects.create(
        host=host,
        vendor=_storable(request.path.rsplit("/", 1)[-1])[:40],
        key=f"refused:{correlation_id}",
        received_at=now,
        applied_at=now,
        outcome="refused",
        payload={
            "code": error.code,
            "detail": str(error),
            "body": _storable(body[:_SHOWN].decode("utf-8", "replace")),
            "digest": hashlib.sha256(body).hexdigest(),
        },
        size=len(body) or int(request.META.get("CONTENT_LENGTH") or 0),
        truncated=len(body) > _SHOWN,
    )


def _storable(text: str) -> str:
    return UNSTORABLE.sub(REPLACEMENT, text)


def _read_so_far(request: Request) -> bytes:
    """Return the body as far as it was read; one that was too large was thrown away."""
    body: bytes = getattr(request._request, "_body", b"")
    return body
