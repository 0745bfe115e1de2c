"""An application with one answer of each kind, for the tests of the server."""

import json
import socket


def application(environ, start_response):
    if environ["PATH_INFO"] == "/nothing":
        start_response("204 No Content", [])
        return [b""]
    if environ["PATH_INFO"] == "/fail":
        raise ZeroDivisionError
    no_delay = environ["gunicorn.socket"].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    body = json.dumps({"no_delay": int(no_delay != 0)}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
