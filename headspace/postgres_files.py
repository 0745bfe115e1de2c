"""What the embedded PostgreSQL keeps in a data directory: its cluster, socket, port, password and log."""

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from headspace.kept_file import keep_text, kept_text, make_data_directory
from headspace.postgres_account import Account, EmbeddedPostgresError, reachable_programs

ROLE = "headspace"
DATABASE = "headspace"
_MAJOR_VERSION = "18"
_ELSEWHERE = Path("/var/lib/headspace")  # for root: when `nobody` cannot reach the data directory
_SOCKET_PATH_LIMIT = 80  # characters of the directory; the kernel's limit for the whole path is 104 or 108
_LOG_LIMIT = 10_000_000  # bytes


class PostgresFiles:
    """The places of one data directory, and how they come to be."""

    def __init__(self, data: Path) -> None:
        self.data = data.absolute()
        self.log = self.data / "postgres.log"
        self.kept_url = self.data / "database-url"

    @property
    def home(self) -> Path:
        """The directory that belongs to the server's account."""
        return (self.data / "postgres").resolve()

    @property
    def account(self) -> Account:
        """Who the server runs as."""
        return Account.for_home(self.home)

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own data directory."""
        return self.home / "cluster"

    @property
    def socket_directory(self) -> Path:
        """The private directory of the server's Unix socket, short enough for every kernel."""
        inside = self.home / "socket"
        if len(str(inside)) <= _SOCKET_PATH_LIMIT:
            return inside
        name = hashlib.sha256(str(self.home).encode()).hexdigest()[:16]
        return Path("/tmp") / f"headspace-{name}"  # noqa: S108 - short everywhere; its owner is verified

    @property
    def port(self) -> int:
        """The TCP port of the last start, or 0."""
        return int(kept_text(self.home / "port") or 0)

    def url(self, database: str) -> str:
        """Return the address of a database of this server, with the password."""
        return f"postgresql://{ROLE}:{kept_text(self.home / 'password')}@127.0.0.1:{self.port}/{database}"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every other process away from this data directory's server meanwhile."""
        try:
            make_data_directory(self.data)
            lock = (self.data / "postgres.lock").open("a")
        except PermissionError:
            raise EmbeddedPostgresError(f"{self.data} belongs to somebody else: choose another directory.") from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def prepare(self, *, durable: bool) -> Path:
        """Make what is missing and return the directory of the programs that the account can run."""
        self._make_home()
        programs = reachable_programs(self.account, self.home)
        self._make_socket_directory()
        if not self.cluster.exists():
            self._make_cluster(programs, durable)
        version = (self.cluster / "PG_VERSION").read_text().strip()
        if version != _MAJOR_VERSION:
            raise EmbeddedPostgresError(f"{self.cluster} was made by PostgreSQL {version}, not {_MAJOR_VERSION}.")
        return programs

    def keep_free_port(self) -> None:
        """Keep a port that is free now, if possible the one of the last start."""
        for port in (self.port, 0):
            with socket.socket() as candidate, contextlib.suppress(OSError):
                candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                candidate.bind(("127.0.0.1", port))
                keep_text(self.home / "port", str(candidate.getsockname()[1]))
                return
        raise EmbeddedPostgresError("This machine has no free port on 127.0.0.1.")

    def stale_process(self) -> str:
        """Return the process id that the last server left behind when it was killed, or nothing."""
        return kept_text(self.cluster / "postmaster.pid").partition("\n")[0]

    def opened_log(self) -> BinaryIO:
        """Return the log, to be appended to; a long one is begun anew, and the old one is kept once."""
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        # Statements that failed stand in it, with what they were about.
        return os.fdopen(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")

    def _make_home(self) -> None:
        place = self.data / "postgres"
        if place.exists():
            return
        place.unlink(missing_ok=True)  # a link that is left when what it led to was removed
        account = self.account
        if account.can_write_into(account.make_directory(place)):
            return
        # Opening the ancestors to everybody would be the other way.
        place.rmdir()
        _ELSEWHERE.mkdir(mode=0o711, parents=True, exist_ok=True)
        elsewhere = Path(tempfile.mkdtemp(prefix="postgres-", dir=_ELSEWHERE))
        account.own(elsewhere)
        place.symlink_to(elsewhere)

    def _make_socket_directory(self) -> None:
        directory = self.socket_directory
        if not directory.exists():
            self.account.make_directory(directory)
        found = directory.lstat()
        if (found.st_uid, found.st_mode) != (self.account.user, 0o040700):
            raise EmbeddedPostgresError(f"{directory} is not private to PostgreSQL's account: remove it.")

    def _make_cluster(self, programs: Path, durable: bool) -> None:
        # Under another name until it is whole: a first start that was cut short is begun anew.
        for left in self.home.glob("cluster.unfinished-*"):
            shutil.rmtree(left, ignore_errors=True)
        unfinished = self.home / f"cluster.unfinished-{secrets.token_hex(4)}"
        keep_text(self.home / "password", secrets.token_urlsafe(24))
        command: list[str | Path] = [programs / "initdb", "-D", unfinished, "-U", ROLE]
        command += [f"--pwfile={self.home / 'password'}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += [] if durable else ["--no-sync"]
        self.account.demand(command, "PostgreSQL could not make its files")
        unfinished.rename(self.cluster)
