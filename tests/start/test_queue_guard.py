import os
import select
import signal
import subprocess
import sys
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django_q.brokers import get_broker
from django_q.models import OrmQ, Task
from django_q.signing import SignedPackage
from django_q.tasks import async_task

from headspace.heartbeat import HeartbeatBroker, silence_after
from tests.start.conftest import PROJECT, children, gone, wait_until

FORKS = 1 + settings.Q_CLUSTER["workers"] + 2  # sentinel, workers, monitor, pusher


@pytest.fixture
def started(transactional_db, tmp_path):
    """Starts `manage.py queue` on the database of the tests."""
    database = connection.settings_dict
    url = f"postgresql://{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}"
    environment = os.environ | {"DATABASE_URL": f"{url}/{database['NAME']}"}
    processes = []
    before = backends()

    def start(*options, variables=(), **others):
        with (tmp_path / "output").open("w") as output:
            command = [sys.executable, "manage.py", "queue", *options]
            environment.update(variables)
            process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=output, stderr=output, **others)
        process.output = tmp_path / "output"
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
    wait_until(lambda: backends() <= before)


@pytest.fixture
def guard(started):
    return started()


def backends():
    """Return the process ids of the database's sessions; other tests' threads keep theirs."""
    with connection.cursor() as cursor:
        cursor.execute("select pid from pg_stat_activity where datname = current_database()")
        return {pid for (pid,) in cursor.fetchall()}


def cluster(guard):
    """Return the process ids of a cluster that is complete: its first process and the forks."""
    return wait_until(lambda: len(found := children(guard.pid)) == 1 + FORKS and found)


def ran(name):
    return Task.objects.filter(name=name, success=True).first()


def test_a_task_runs_and_heartbeats_leave_nothing_in_the_database(guard):
    async_task("os.getpid", task_name="a task")
    assert wait_until(lambda: ran("a task")).result in cluster(guard)
    wait_until(lambda: OrmQ.objects.count() == 0)
    assert set(Task.objects.values_list("name", flat=True)) == {"a task"}


def test_a_cluster_without_work_leaves_marks(started):
    marks, written = os.pipe()
    with os.fdopen(marks, "rb", buffering=0) as marks:
        started("--unguarded", variables={"HEADSPACE_MARKS": str(written)}, pass_fds=[written])
        os.close(written)
        heard = b""
        while len(heard) < 4:
            assert select.select([marks], [], [], 30)[0], "no mark"
            heard += marks.read(1) or pytest.fail("it has ended")
    assert heard == b"+-+-"


def test_a_cluster_that_hangs_is_replaced_and_works_again(guard):
    first, sentinel, *forks = cluster(guard)
    async_task("os.getpid", task_name="before")
    workers = forks[: settings.Q_CLUSTER["workers"]]
    assert wait_until(lambda: ran("before")).result in workers
    for pid in workers:
        # The one that waits for work holds a lock meanwhile, and takes it to its grave.
        os.kill(pid, signal.SIGKILL)
    async_task("os.getpid", task_name="after")
    wait_until(lambda: "does not move any more: killed" in guard.output.read_text(), within=30)
    wait_until(lambda: all(gone(pid) for pid in (first, sentinel, *forks)))
    async_task("os.getpid", task_name="later")
    assert wait_until(lambda: ran("later")).result in cluster(guard)


def test_a_cluster_whose_first_process_is_killed_leaves_no_orphans_and_comes_back(guard):
    first, *forks = cluster(guard)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: all(gone(pid) for pid in forks))
    assert first not in cluster(guard)


def test_a_killed_guard_takes_all_with_it(guard):
    all_of_it = cluster(guard)
    guard.kill()
    wait_until(lambda: all(gone(pid) for pid in all_of_it))


def test_a_guard_that_is_asked_stops_all_in_order(guard):
    all_of_it = cluster(guard)
    guard.terminate()
    assert guard.wait(20) == 0
    assert all(gone(pid) for pid in all_of_it)
    assert "killed" not in guard.output.read_text()


def test_a_busy_cluster_may_be_silent_for_as_long_as_a_task_may_take():
    assert silence_after(b"") == timedelta(seconds=60)
    assert silence_after(b"-") == timedelta(seconds=15)
    assert silence_after(b"+") == timedelta(seconds=15 + settings.Q_CLUSTER["timeout"])


@pytest.mark.django_db
def test_a_heartbeat_comes_before_tasks_and_hides_none():
    broker = get_broker()
    assert isinstance(broker, HeartbeatBroker)
    async_task("os.getpid", task_name="a task")
    (_, heartbeat), (acknowledged_by, task) = (*broker.dequeue(), *broker.dequeue())
    assert SignedPackage.loads(heartbeat)["name"] == "heartbeat"
    assert SignedPackage.loads(task)["name"] == "a task"
    assert acknowledged_by == OrmQ.objects.get().pk
