"""A gunicorn worker whose answers leave in one write: head and body are one packet, wherever they fit into one.

Its own errors are problem documents: what gunicorn refuses may be a hook, whose client understands no page.
"""

import socket

from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.http.wsgi import Response
from gunicorn.workers.gthread import ThreadWorker

from agents.problems import problem

_REFUSED = {
    400: ("bad_request", "This is no HTTP request that can be understood."),
    403: ("forbidden", "This request may not be made here."),
    414: ("uri_too_long", "The address of this request is too long."),
    417: ("expectation_failed", "What this request expects cannot be had here."),
    431: ("headers_too_large", "This request has too many headers, or one that is too long."),
    501: ("not_implemented", "The body of this request is encoded in a way that is not understood here."),
}
_BROKEN = ("internal_error", "Something went wrong in Headspace; its log tells what.")


class OnePacketResponse(Response):
    """Holds the head back until there is a body to go with it, or none will come."""

    _head = b""

    def send_headers(self) -> None:
        """Make the head; the next write sends it."""
        if self.headers_sent or self._head:
            return
        lines = self.default_headers() + [f"{name}: {value}\r\n" for name, value in self.headers]
        self._head = "".join([*lines, "\r\n"]).encode("latin-1")

    def _emit_body(self, data: bytes) -> None:
        self._send(b"%X\r\n%s\r\n" % (len(data), data) if self.chunked else data)

    def close(self) -> None:
        """Send what is left."""
        self.send_headers()
        self._send(b"0\r\n\r\n" if self.chunked else b"")

    def _send(self, body: bytes) -> None:
        packet, self._head = self._head + body, b""
        self.headers_sent = True
        if packet:
            self.sock.sendall(packet)


class OnePacketWorker(ThreadWorker):
    """gunicorn's worker with threads, answering so."""

    def init_process(self) -> None:
        """Have every answer of this process made by ours; gunicorn's worker has no parameter for it."""
        wsgi.Response = OnePacketResponse
        util.write_error = write_problem  # the last step of the worker's handle_error, after it has logged
        super().init_process()


def write_problem(sock: socket.socket, status: int, reason: str, message: str) -> None:
    """Answer what gunicorn refuses, or could not answer. Its message quotes the request, and is for its log alone."""
    answer = problem(status, *_REFUSED.get(status, _BROKEN))
    answer.headers["Connection"] = "close"
    head = f"HTTP/1.1 {status} {answer.reason_phrase}\r\n"
    util.write_nonblock(sock, head.encode() + answer.serialize())
