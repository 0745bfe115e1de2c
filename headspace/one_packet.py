"""A gunicorn worker whose answers leave in one write: head and body are one packet, wherever they fit into one."""

from gunicorn.http import wsgi
from gunicorn.http.wsgi import Response
from gunicorn.workers.gthread import ThreadWorker


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
        """Have every answer of this process made by our class; gunicorn's worker has no parameter for it."""
        wsgi.Response = OnePacketResponse
        super().init_process()
