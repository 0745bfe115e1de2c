"""Bearer tokens of hosts.

A token is not looked up here: the first statement of the hook path looks host and agent up together, and raises
``UnknownHost`` when nobody answers to the token. So a hook costs no statement more, and a revoked token is refused by
the very statement that would have used it.
"""

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from agents.errors import UnknownHost
from agents.hosts import token_digest
from agents.models import Host

_SEND_ONE = "Send the host's token: Authorization: Bearer <token>."


class HostCredential:
    """Who a host claims to be: the digest of the token that it sent."""

    is_authenticated = True

    def __init__(self, digest: str) -> None:
        self.digest = digest

    def host(self) -> Host:
        """Return the host that answers to the token. Raises ``UnknownHost``."""
        found = Host.objects.filter(token_digest=self.digest, revoked_at=None).first()
        if found is None:
            raise UnknownHost("No host answers to this token.")
        return found


def credential_of(request: Request) -> HostCredential:
    """Return the credential of a request that was authenticated here. Raises ``UnknownHost``."""
    if isinstance(request.auth, HostCredential):
        return request.auth
    raise UnknownHost(_SEND_ONE)


class HostTokenAuthentication(BaseAuthentication):
    """``Authorization: Bearer <host token>``."""

    def authenticate(self, request: Request) -> tuple[HostCredential, HostCredential]:
        """Return the credential that the request carries. Raises ``UnknownHost`` where there is none."""
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise UnknownHost(_SEND_ONE)
        credential = HostCredential(token_digest(token.strip()))
        return credential, credential
