import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import psycopg
import pytest

from headspace.embedded_postgres import EmbeddedPostgres
from headspace.postgres_account import EmbeddedPostgresError
from tests.start.conftest import (
    START,
    answers,
    gone,
    kill_postmaster,
    mode,
    postmaster,
    python,
    wait_until,
)

START_AND_STAY = """
import signal, sys
from pathlib import Path
from headspace.embedded_postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), durable=False)
print(server.start(), flush=True)
signal.pause()
"""


def test_a_start_gives_a_database_of_ours_on_loopback(server, place):
    url = server.start()
    with psycopg.connect(url) as connection:
        assert connection.info.dbname == "headspace"
        assert connection.info.server_version >= 180000
        assert connection.execute("show listen_addresses").fetchone() == ("127.0.0.1",)
        assert connection.execute("show client_connection_check_interval").fetchone() == ("1s",)
    assert (place / "kept" / "database-url").read_text() == url


def test_nobody_gets_in_without_the_password(server):
    url = server.start()
    password = (server.files.home / "password").read_text()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url.replace(password, "guess"))
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(url.replace(f":{password}", ""))
    through_socket = f"host={server.files.socket_directory} port={server.files.port} user=headspace dbname=headspace"
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(through_socket)


def test_what_it_keeps_is_private(server, place):
    server.start()
    assert mode(place / "kept" / "database-url") == 0o600
    assert mode(server.files.home / "password") == 0o600
    assert mode(server.files.log) == 0o600
    assert mode(server.files.home) == 0o700
    assert mode(server.files.socket_directory) == 0o700


def test_a_second_start_takes_the_running_server_over(server, place):
    began_at = answers(server.start())
    again = EmbeddedPostgres(place / "kept")
    assert again.running()
    assert answers(again.start()) == began_at


def test_five_first_starts_at_once_make_one_server(place):
    starters = [python(START, place / "kept") for _ in range(5)]
    urls = {starter.communicate(timeout=60) for starter in starters}
    server = EmbeddedPostgres(place / "kept")
    try:
        assert [starter.returncode for starter in starters] == [0] * 5
        ((url, complaints),) = urls
        assert complaints == ""
        assert answers(url.strip()) == answers(server.start())
    finally:
        server.stop()


def test_a_killed_server_is_started_again_at_once_with_its_rows(durable_server):
    server = durable_server
    with psycopg.connect(server.start()) as connection:
        connection.execute("create table kept (round int)")
    for turn in range(3):
        kill_postmaster(server)
        with psycopg.connect(server.start()) as connection:
            connection.execute("insert into kept values (%s)", [turn])
            assert connection.execute("select count(*) from kept").fetchone() == (turn + 1,)


def test_a_zombie_is_not_taken_for_a_server(server, place):
    server.start()
    pid = postmaster(server)
    kill_postmaster(server)
    # Nobody waits for it, as under a first process that does not reap.
    wait_until(lambda: f"{pid} (postgres) Z" in Path(f"/proc/{pid}/stat").read_text())
    another = EmbeddedPostgres(place / "kept", durable=False)
    assert not another.running()
    assert answers(another.start())
    another.stop()


def test_a_process_id_that_is_a_strangers_by_now_is_left_alone(server, place):
    server.start()
    kill_postmaster(server)
    stranger = subprocess.Popen(["sleep", "600"], **server.files.account.options())
    left = server.files.cluster / "postmaster.pid"
    left.write_text("\n".join([str(stranger.pid), *left.read_text().split("\n")[1:]]))
    for lock in server.files.socket_directory.glob(".s.PGSQL.*.lock"):
        lock.write_text("\n".join([str(stranger.pid), *lock.read_text().split("\n")[1:]]))
    try:
        assert not EmbeddedPostgres(place / "kept").running()
        EmbeddedPostgres(place / "kept").stop()
        assert answers(server.start())
        server.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_backend_that_outlives_its_server_keeps_the_next_one_waiting(server, place):
    connection = psycopg.connect(server.start(), autocommit=True)
    backend = connection.info.backend_pid
    busy = threading.Thread(target=lose, args=[connection])
    busy.start()
    with psycopg.connect(server.files.url("headspace"), autocommit=True) as other:
        wait_until(lambda: other.execute(IS_BUSY, [backend]).fetchone())
    kill_postmaster(server)
    starter = python(START_AND_STAY, place / "kept")
    try:
        wait_until(lambda: "shared memory block" in server.files.log.read_text())
        assert starter.poll() is None
        os.kill(backend, signal.SIGKILL)
        assert answers(starter.stdout.readline().strip())
    finally:
        starter.kill()
        starter.communicate()
        busy.join()
        wait_until(lambda: gone(postmaster(server)))
        connection.close()


def lose(connection):
    with pytest.raises(psycopg.OperationalError):
        connection.execute(BUSY_FOR_EVER)


BUSY_FOR_EVER = "do $$ begin loop perform 1; end loop; end $$"
IS_BUSY = "select 1 from pg_stat_activity where pid = %s and state = 'active' and query like 'do %%'"


def test_a_port_that_was_taken_meanwhile_is_replaced(server):
    server.start()
    server.stop()
    taken = server.files.port
    with socket.create_server(("127.0.0.1", taken)):
        url = server.start()
    assert server.files.port != taken
    assert f":{server.files.port}/" in url
    assert answers(url)


def test_a_long_path_gets_its_socket_elsewhere_and_private(place):
    data = place / ("long" * 30) / "kept"
    data.parent.mkdir(mode=0o711)
    server = EmbeddedPostgres(data, durable=False)
    try:
        assert answers(server.start())
        assert server.files.socket_directory.parent == Path("/tmp")
        assert mode(server.files.socket_directory) == 0o700
        server.stop()
        server.files.socket_directory.chmod(0o777)
        with pytest.raises(EmbeddedPostgresError, match="not private"):
            server.start()
    finally:
        server.stop()
        server.files.socket_directory.rmdir()


def test_a_first_start_that_was_cut_short_is_begun_anew(server, place):
    starter = python(START, place / "kept")
    wait_until(lambda: list((place / "kept").glob("postgres/cluster.unfinished-*/base")))
    starter.kill()
    starter.communicate()
    assert answers(server.start())
    assert not list(server.files.home.glob("cluster.unfinished-*"))


def test_a_throwaway_ends_with_its_starter(place):
    starter = python(START_AND_STAY, place / "kept")
    assert answers(starter.stdout.readline().strip())
    pid = postmaster(EmbeddedPostgres(place / "kept"))
    starter.kill()
    starter.communicate()
    wait_until(lambda: gone(pid))


def test_a_server_that_is_not_a_throwaway_outlives_its_starter(place):
    starter = python(START, place / "kept")
    url = starter.communicate(timeout=60)[0].strip()
    server = EmbeddedPostgres(place / "kept")
    assert answers(url)
    server.stop()
    assert not server.running()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


def test_another_major_version_is_refused_with_its_number(server):
    server.start()
    server.stop()
    (server.files.cluster / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedPostgresError, match="made by PostgreSQL 17, not 18"):
        server.start()


def test_a_server_that_cannot_start_says_why(server):
    server.start()
    server.stop()
    (server.files.cluster / "global" / "pg_control").unlink()
    with pytest.raises(EmbeddedPostgresError, match="could not find the database system"):
        server.start()
