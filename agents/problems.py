"""Errors as RFC 9457 problem documents: safe to read for a person, with an id that the log line has as well."""

import json
import logging
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse
from rest_framework.exceptions import APIException

log = logging.getLogger(__name__)

_SAID = {
    401: ("not_authenticated", "Log in first."),
    403: ("forbidden", "You may not do this."),
    404: ("not_found", "There is nothing here that you may see."),
}
"""Code and detail where the framework's own would say more than everybody may know, or the same in other words."""


class _Unavailable(APIException):
    status_code = 503
    default_code = "unavailable"
    default_detail = "Headspace cannot reach its database now. Try again in a moment."
    wait = 2


def new_correlation_id() -> str:
    """Return the id that joins an answer with the log."""
    return uuid.uuid4().hex[:12]


def problem(status: int, code: str, detail: str, correlation_id: str = "") -> HttpResponse:
    """Return a problem document, and log it. ``detail`` must be safe to show to whoever asked."""
    correlation_id = correlation_id or new_correlation_id()
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "correlation_id": correlation_id,
    }
    log.info("answered %s %s: %s (correlation_id=%s)", status, code, detail, correlation_id)
    # The length is said here: neither the door for hooks nor gunicorn's own errors have a middleware that says it.
    body = json.dumps(document).encode()
    return HttpResponse(
        body, status=status, content_type="application/problem+json", headers={"Content-Length": str(len(body))}
    )


def nothing_here() -> HttpResponse:
    """Return what is answered wherever there is nothing, or nothing for whoever asked."""
    return problem(404, *_SAID[404])


def problem_of(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """Return what is answered to an error in a view of the API; the settings name it.

    What nobody foresaw is answered without a word about it; what it was stands in the log, beside the id.
    """
    match error:
        case Http404():
            return nothing_here()
        case PermissionDenied():
            return problem(403, *_SAID[403])
        case APIException():
            return _foreseen(error)
        case OperationalError() | InterfaceError():
            log.warning("the database did not answer: %s", error)
            return _foreseen(_Unavailable())
    correlation_id = new_correlation_id()
    log.error("%s failed (correlation_id=%s)", type(context["view"]).__name__, correlation_id, exc_info=error)
    return problem(500, "internal_error", "Something went wrong here. The log knows this id.", correlation_id)


def _foreseen(error: APIException) -> HttpResponse:
    code, detail = _SAID.get(error.status_code) or (str(error.get_codes()), str(error.detail))
    response = problem(error.status_code, code, detail)
    # The framework names the one where a login would help; what will be over soon says in how many seconds.
    for header, name in (("WWW-Authenticate", "auth_header"), ("Retry-After", "wait")):
        told = getattr(error, name, None)
        if told:
            response.headers[header] = str(told)
    return response
