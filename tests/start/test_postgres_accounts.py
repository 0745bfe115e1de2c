import os
import shutil
import subprocess
from pathlib import Path

from headspace.embedded_postgres import EmbeddedPostgres
from headspace.postgres_account import packaged_programs
from tests.start.conftest import (
    PROJECT,
    PYTHON_FOR_NOBODY,
    SITE_PACKAGES,
    START,
    answers,
    as_nobody,
    mode,
    needs_a_plain_user,
    needs_root,
    postmaster,
    python,
)


@needs_root
def test_as_root_the_server_runs_as_nobody(server):
    server.start()
    assert Path(f"/proc/{postmaster(server)}").stat().st_uid == as_nobody()["user"]


@needs_root
def test_as_root_a_private_directory_stays_private(place):
    private = place / "private"
    private.mkdir(mode=0o700)
    server = EmbeddedPostgres(private / "kept", durable=False)
    try:
        assert answers(server.start())
        assert mode(private) == 0o700
        assert server.files.home.parent == Path("/var/lib/headspace")
    finally:
        server.stop()
        shutil.rmtree(server.files.home)


@needs_root
def test_as_root_programs_in_a_private_directory_are_copied(place):
    private = place / "private"
    private.mkdir(mode=0o700)
    wheel = packaged_programs().parents[1]
    for folder in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        shutil.copytree(folder, private / folder.name, symlinks=True, ignore=shutil.ignore_patterns("pginstall"))
    starter = python(START, place / "kept", env=os.environ | {"PYTHONPATH": str(private)})
    url, complaints = starter.communicate(timeout=60)
    server = EmbeddedPostgres(place / "kept")
    try:
        assert answers(url.strip()), complaints
        program = Path(f"/proc/{postmaster(server)}/exe").resolve()
        assert program.is_relative_to(server.files.home)
    finally:
        server.stop()


@needs_a_plain_user
def test_a_plain_user_starts_one_in_a_directory_of_its_own(place):
    home = place / "home"
    home.mkdir()
    os.chown(home, as_nobody()["user"], as_nobody()["group"])
    command = [PYTHON_FOR_NOBODY, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["tests/start/test_embedded_postgres.py"]
    command += ["-k", "a_start_gives or killed_server or strangers", f"--basetemp={home / 'pytest'}"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(SITE_PACKAGES)}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, **as_nobody())
    assert "3 passed" in done.stdout, done.stdout + done.stderr


@needs_a_plain_user
def test_a_directory_of_somebody_else_is_refused_in_one_line(server, place):
    server.start()
    environment = {"PYTHONPATH": str(SITE_PACKAGES)}
    starter = python(START, place / "kept", executable=PYTHON_FOR_NOBODY, env=environment, **as_nobody())
    complaints = starter.communicate(timeout=60)[1]
    assert f"EmbeddedPostgresError: {place / 'kept'} belongs to somebody else" in complaints


@needs_a_plain_user
def test_every_command_in_a_directory_of_somebody_else_is_refused_in_one_line(server, place):
    server.start()
    environment = {"PYTHONPATH": str(SITE_PACKAGES), "HEADSPACE_DATA": str(place / "kept")}
    command = [PYTHON_FOR_NOBODY, "manage.py", "check"]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, **as_nobody())
    assert done.returncode == 1
    assert done.stderr == f"{place / 'kept'} belongs to somebody else: name your own in HEADSPACE_DATA.\n"
