"""The real web in processes of its own, and a client of it."""

import http.client
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from django.conf import settings
from django.db import connection

from headspace.env import child_environment
from tests.races.hooks import Answer
from tests.races.meeting import wait_until

PROJECT = Path(__file__).resolve().parents[2]
_PATIENCE = 60.0


class Web:
    """gunicorn as `manage.py up` starts it, with one worker, on the tests' database or another one."""

    def __init__(self, threads=8, application="headspace.wsgi:application", database="", **environment):
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it is closed when the web is stopped
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        bind = f"fd://{self._listener.fileno()}"
        command = [sys.executable, "-m", "gunicorn", "--config", "python:headspace.web", "--bind", bind]
        command += ["--workers", "1", "--threads", str(threads), application]
        self._arbiter = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=child_environment()
            | {"DATABASE_URL": database or url_of_tests(), "SECRET_KEY": settings.SECRET_KEY}
            | environment,
            pass_fds=[self._listener.fileno()],
            stderr=self.log,
        )

    def post(self, path, body, headers):
        """Send a hook as a client does: one attempt."""
        return self._ask("POST", path, body.encode(), {"Content-Type": "application/json", **headers})

    def get(self, path, headers=()):
        return self._ask("GET", path, None, dict(headers))

    def _ask(self, method, path, body, headers):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        try:
            client.request(method, path, body, headers)
            response = client.getresponse()
            return Answer(response.status, response.headers.get("X-Headspace-Outcome", ""), response.read())
        finally:
            client.close()

    def wait_until_ready(self):
        wait_until(lambda: self.get("/hook/status").status == 401, _PATIENCE)

    def worker(self):
        """Return the pid of the process that answers."""
        children = Path(f"/proc/{self._arbiter.pid}/task/{self._arbiter.pid}/children")
        return int(wait_until(children.read_text))

    def stop(self):
        self._listener.close()
        self._arbiter.send_signal(signal.SIGQUIT)
        self._arbiter.wait(_PATIENCE)
        self.log.close()


def url_of_tests(**changes):
    """Return the URL of the tests' database, for somebody else if need be."""
    place = {**connection.settings_dict, **changes}
    password = f":{place['PASSWORD']}" if place["PASSWORD"] else ""
    return f"postgresql://{place['USER']}{password}@{place['HOST']}:{place['PORT']}/{place['NAME']}"
