"""gunicorn's configuration for hooks, API and pages: ``gunicorn --config python:headspace.web``.

Threads, because a hook waits for its agent's lock and for PostgreSQL most of its time.
"""

from django.db import connections
from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from headspace.parents import end_with_parent
from headspace.settings import HEADSPACE

wsgi_app = "headspace.wsgi:application"
bind = f"{HEADSPACE['HOST']}:{HEADSPACE['PORT']}"
worker_class = "headspace.one_packet.OnePacketWorker"
workers = HEADSPACE["WEB_WORKERS"]
threads = HEADSPACE["WEB_THREADS"]
preload_app = True  # workers share the memory of the code, and a new one is there at once
keepalive = 60  # seconds
graceful_timeout = 10  # seconds
sendfile = False  # it would leave without the head, which is held back
control_socket_disable = True
loglevel = "warning"


def pre_fork(server: Arbiter, worker: Worker) -> None:
    """Leave the worker no connection that it would share with others."""
    connections.close_all()


def post_fork(server: Arbiter, worker: Worker) -> None:
    """End the worker when the arbiter is killed: it would go on answering at the port."""
    end_with_parent(parent=worker.ppid)()
