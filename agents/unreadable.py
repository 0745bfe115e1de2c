"""A call that cannot be read, of an agent that may not do everything: it is denied.

A client takes every error for a leave to go on, and an agent has a say in how its calls look. So where an operator has
restricted the agent, or where nobody can tell whose call it is and some agent of the host is restricted, the answer is
a denial and no error.
"""

import re
from collections.abc import Mapping
from typing import Any

from agents.adapters import ADAPTERS
from agents.adapters.claude_code import ROUTES
from agents.decisions import Deny
from agents.models import Agent, Host
from agents.states import Mode

_SESSION = re.compile(rb'"session_id"\s*:\s*"([!-~]{1,200}?)"')
_FREE = (Mode.RUN, Mode.DRAIN)


def denial(host: Host, address: Mapping[str, str], body: bytes, why: str) -> Mapping[str, Any] | None:
    """Return what to answer to an unreadable call, or None where it is none or its agent is free to do anything.

    ``address`` is what the hook's address says (``vendor`` or ``event``), ``body`` as much as there is of it.
    """
    adapter = ADAPTERS.get(address.get("vendor", "claude-code"))
    name = ROUTES.get(address.get("event", ""), "")
    moment = adapter.gated_moment(body, name=name) if adapter else ""
    if not adapter or not moment or not _is_restricted(host, adapter.vendor, body):
        return None
    reason = f"Headspace: this call cannot be read ({why}), and an operator has restricted what may be done here."
    return adapter.render(Deny(reason), {}, name=moment)


def _is_restricted(host: Host, vendor: str, body: bytes) -> bool:
    agents = Agent.objects.filter(host=host, vendor=vendor)
    told = _SESSION.search(body)
    own = agents.filter(sessions__session_id=told[1].decode("ascii")) if told else agents.none()
    concerned = own if own.exists() else agents.alive()
    return concerned.exclude(mode__in=_FREE).exists()
