"""The doors for hooks: authenticate, parse, receive, render."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from agents import conf, headers
from agents.adapters import ADAPTERS
from agents.adapters.base import Adapter
from agents.adapters.claude_code import ROUTES
from agents.authentication import HostTokenAuthentication, credential_of
from agents.deliveries import Delivery, keys_of
from agents.errors import PayloadTooLarge, UnknownAddress, UnknownVendor
from agents.intake import Receipt, receive
from agents.models import HookEvent
from agents.payloads import decode, shortened
from agents.refusals import as_hook_error, json_response, refusal

_JSON = JSONRenderer()
_SKIPPED_AT_MOST = 64 * 1024 * 1024
_PIECE = 64 * 1024


class HostView(APIView):
    """What every door for hosts has in common: the token, and errors as problem documents."""

    authentication_classes = [HostTokenAuthentication]
    permission_classes = [IsAuthenticated]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Ask for a name that this server has: no middleware does it at the door for hooks."""
        request._request.get_host()
        super().initial(request, *args, **kwargs)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Say how long the answer is: without that it would be sent in chunks, and no middleware says it here."""
        response = super().finalize_response(request, response, *args, **kwargs)
        if getattr(response, "is_rendered", True):
            response.headers.setdefault("Content-Length", str(len(response.content)))
        return response

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        """Speak JSON, whatever is asked for: a vendor understands nothing else."""
        return _JSON, _JSON.media_type

    def handle_exception(self, exc: Exception) -> HttpResponseBase:  # type: ignore[override]
        """Answer with a problem document, whatever went wrong: a client shows its user every other answer."""
        return refusal(self.request, as_hook_error(exc), self.kwargs, _rest(self.request))


class HookView(HostView):
    """``POST /hooks/<vendor>``: any event; the payload names it. ``POST /hook/<event>``: the address names it."""

    def post(self, request: Request, vendor: str = "claude-code", event: str = "") -> HttpResponse:
        """Receive one hook and answer with the vendor's decision, or with nothing where there is no opinion."""
        adapter = ADAPTERS.get(vendor)
        if adapter is None:
            raise UnknownVendor("No adapter has this name.")
        name = ROUTES[event] if event else ""
        delivery = read(request, adapter, name, timezone.now())
        receipt = receive(delivery)
        return answer(receipt, adapter.render(receipt.decision, delivery.payload, name=name))


class NoHookView(HostView):
    """Every other address below ``/hook`` and ``/hooks``: somebody's settings are wrong, and are told so."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse whatever comes, after its token."""
        super().initial(request, *args, **kwargs)
        raise UnknownAddress("No hook is taken at this address.")


class HookStatusView(HostView):
    """``GET /hook/status``: what a host wants to know of its receiver; takes no lock."""

    def get(self, request: Request) -> HttpResponse:
        """Return the host's name, the vendors that are understood, and how much of its inbox waits."""
        host = credential_of(request).host()
        last = HookEvent.objects.filter(host=host).order_by("-pk").first()
        status = {
            "status": "ready",
            "host": host.name,
            "vendors": sorted(ADAPTERS),
            "pending": HookEvent.objects.filter(host=host, outcome="pending").count(),
            "last_received_at": last.received_at.isoformat() if last else None,
        }
        return json_response(status)


def read(request: Request, adapter: Adapter, name: str, now: datetime) -> Delivery:
    """Return the delivery that a request is. Raises ``HookError``."""
    body = _body(request)
    payload, truncated = shortened(decode(body), conf.text_limit(), size=len(body))
    told = headers.told_by(request.headers)
    event = headers.with_process(adapter.parse(payload, name=name), told)
    client_key = headers.client_key(request.headers.get("Idempotency-Key", ""))
    keys, since = keys_of(client_key, event.origin, body, now, conf.duplicate_within())
    return Delivery(
        token_digest=credential_of(request).digest,
        adapter=adapter,
        payload=payload,
        event=event,
        keys=keys,
        since=since,
        received_at=now,
        size=len(body),
        truncated=truncated,
        sequence=headers.sequence(request.headers.get("X-Headspace-Sequence", "")),
        occurred_at=headers.occurred_at(request.headers.get("X-Headspace-Occurred-At", "")),
        headers=told,
    )


def _body(request: Request) -> bytes:
    try:
        return request._request.body
    except RequestDataTooBig:
        raise PayloadTooLarge(f"A hook may have {conf.payload_limit()} bytes.") from None


def _rest(request: Request) -> bytes:
    """Return the body, or the beginning of one that was refused unread.

    That is read to its end all the same: a client that is still sending does not read the answer.
    """
    if hasattr(request._request, "_body"):
        return request._request.body
    beginning = b""
    with suppress(UnreadablePostError):
        for _ in range(_SKIPPED_AT_MOST // _PIECE):
            piece = request._request.read(_PIECE)
            if not piece:
                break
            beginning = beginning or piece
    return beginning


def answer(receipt: Receipt, decision: Mapping[str, Any] | None) -> HttpResponse:
    """Return the response: a decision as JSON, or an empty body, which a client does not write anywhere."""
    response = json_response(decision) if decision else _nothing(202 if receipt.outcome == "pending" else 204)
    response.headers["X-Headspace-Outcome"] = receipt.outcome
    return response


def _nothing(status: int) -> HttpResponse:
    response = HttpResponse(status=status)
    del response.headers["Content-Type"]  # the framework's: a page
    return response
