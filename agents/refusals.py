"""The answer to a hook that cannot be taken: a problem document, and a journal row where there is a host to blame.

Here too: what is answered to requests that reach no view. Only a person's browser is answered with a page.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import DisallowedHost
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.utils import timezone
from django.views import defaults
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request

from agents.authentication import credential_of
from agents.errors import Broken, HookError, NotJson, Unavailable, UnknownHost, WrongMethod, WrongName
from agents.models import HookEvent, Host
from agents.payloads import REPLACEMENT, UNSTORABLE
from agents.problems import new_correlation_id, nothing_here, problem
from agents.unreadable import denial
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


def refusal(request: Request, error: HookError, address: Mapping[str, str], body: bytes) -> HttpResponse:
    """Return the answer to a hook that was refused, after journaling it: a problem document, or for a restricted
    agent's call a denial (``unreadable``).
    """
    correlation_id = new_correlation_id()
    denied = None
    if not isinstance(error, Unavailable | UnknownHost | WrongName):
        try:
            host = credential_of(request).host()
            denied = denial(host, address, body, str(error))
            if error.status < 500:
                _journal(host, request, error, body, correlation_id)
        except UnknownHost as unknown:
            error = unknown  # whether the body was good is nobody's business but a host's
        except (OperationalError, InterfaceError) as lost:
            error = as_hook_error(lost)
    return json_response(denied) if denied else _document(error, correlation_id)


def _document(error: HookError, correlation_id: str) -> HttpResponse:
    response = problem(error.status, error.code, str(error), correlation_id)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def json_response(document: Mapping[str, Any]) -> HttpResponse:
    """Return what a vendor reads."""
    return HttpResponse(json.dumps(document), content_type="application/json")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that cannot be meant."""
    if _is_from_a_program(request):
        return problem(400, "bad_request", "This request cannot be meant for this server; look at the host's name.")
    return defaults.bad_request(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request for an address that is none."""
    if _is_from_a_program(request):
        return nothing_here()
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer what nothing else has answered."""
    if _is_from_a_program(request):
        correlation_id = new_correlation_id()
        log.error("%r failed (correlation_id=%s)", request.path_info, correlation_id)  # Django logs the traceback
        return problem(500, Broken.code, "Something went wrong in Headspace; its log tells what.", correlation_id)
    return defaults.server_error(request)


def _is_from_a_program(request: HttpRequest) -> bool:
    """Return whether it came through the door for hooks, or asks for the API: a program understands no page."""
    path = request.path_info.lstrip("/")
    return path.startswith("hook") or path.partition("/")[0] == "api"


def _journal(host: Host, request: Request, error: HookError, body: bytes, correlation_id: str) -> None:
    now = timezone.now()
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
        size=max(len(body), int(request.META.get("CONTENT_LENGTH") or 0)),
        truncated=len(body) > _SHOWN,
    )


def _storable(text: str) -> str:
    return UNSTORABLE.sub(REPLACEMENT, text)
