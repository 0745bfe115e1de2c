"""What may keep installed hooks from reaching the server although the settings file is right: said, not corrected."""

import ipaddress
import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

# Carrier networks: the client counts them as private, the standard library does not.
_CARRIER = ipaddress.ip_network("100.64.0.0/10")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _addresses(host: str) -> list[Address]:
    """Return what a name resolves to; nothing where it does not."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _refused_by_client(address: Address) -> bool:
    return (address.is_private and not address.is_loopback) or (address.version == 4 and address in _CARRIER)


def name_warnings(host: str) -> Iterator[str]:
    """Yield what is wrong with the server's name as the client's machine sees it."""
    if _literal(host):
        return
    addresses = _addresses(host)
    if not addresses:
        yield f"The name {host} does not resolve here."
    for address in {address for address in addresses if _refused_by_client(address)}:
        yield (
            f"The name {host} resolves to the private address {address}: Claude Code refuses to send hooks to such a "
            "name. Use the address itself, or a way over loopback."
        )


def proxy_warnings(scheme: str, host: str) -> Iterator[str]:
    """Yield whether the client, with this environment, would send its hooks through a proxy."""
    if (getproxies().get(scheme) or getproxies().get("all")) and not proxy_bypass(host):
        yield f"A proxy is set in the environment and hooks go through it: add {host} to NO_PROXY."


def switch_warnings(document: dict[str, Any], url: str) -> Iterator[str]:
    """Yield which settings of the same file keep the hooks from running."""
    if document.get("disableAllHooks") is True:
        yield "The settings say disableAllHooks: no hook will run until that is gone."
    allowed = document.get("allowedHttpHookUrls")
    if isinstance(allowed, list) and not any(_covers(str(pattern), url) for pattern in allowed):
        yield f"The settings' allowedHttpHookUrls do not cover {url}: add it, or no http hook is sent."


def _covers(pattern: str, url: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), url) is not None


def mode_warnings(mode: int) -> Iterator[str]:
    """Yield whether others can read the token that the file now holds."""
    if mode & 0o077:
        yield f"Others can read the file (mode {mode:o}) and the token in it: chmod 600 keeps it to its owner."


def warnings(url: str, document: dict[str, Any], mode: int) -> Iterator[str]:
    """Yield everything that an operator should know after an install, a sentence or two each."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    yield from name_warnings(host)
    yield from proxy_warnings(parts.scheme, host)
    yield from switch_warnings(document, url)
    yield from mode_warnings(mode)
