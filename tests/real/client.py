"""The real Claude Code: installed from npm into the project's cache, driven headless in a HOME of its own."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PACKAGE = "@anthropic-ai/claude-code"
# Without a version the newest is taken, whatever Node is here: its program is a binary and needs none.
VERSION = os.environ.get("REAL_CLIENT_VERSION", "latest")
CACHE = Path(__file__).resolve().parents[2] / ".real" / f"client-{VERSION}"
RUN_WITHIN = 150  # seconds


class Unavailable(Exception):
    """The client cannot be had on this machine; the message says why."""


def _programs() -> list[Path]:
    """Return the client's programs in the cache: npm brings the one of the platform as an optional dependency."""
    return sorted(CACHE.glob(f"node_modules/{PACKAGE}-*/claude"))


def _fetch() -> None:
    """Install the client with npm."""
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("npm is not installed, and the client is not in the cache")
    CACHE.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", str(CACHE), "--no-audit", "--no-fund", "--ignore-scripts"]
    command.append(f"{PACKAGE}@{VERSION}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode or not _programs():
        raise Unavailable(f"npm could not install {PACKAGE}: {_complaint(done.stderr)}")


def _complaint(said: str) -> str:
    """Return the line of npm's errors that tells most."""
    errors = [line.removeprefix("npm error ") for line in said.splitlines() if line.startswith("npm error ")]
    return next((line for line in errors if not line.startswith("code ")), "it brought no program for this platform")


def version_of(program: Path) -> str:
    """Return what the program says about itself, or nothing where it does not run here."""
    try:
        done = subprocess.run([program, "--version"], env={}, capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def installed_program() -> tuple[Path, str]:
    """Return the client's program and version, fetched at first use."""
    if not _programs():
        _fetch()
    for program in _programs():
        version = version_of(program)
        if version:
            return program, version
    raise Unavailable("the client's program does not run on this platform")


@dataclass
class Run:
    """One run of the client: its process and what it writes."""

    process: subprocess.Popen[bytes]
    stdout: Path
    stderr: Path

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What the stream holds so far; a line that is still being written is left out."""
        whole = self.stdout.read_text().split("\n")[:-1]
        return [json.loads(line) for line in whole if line.startswith("{")]

    @property
    def session_id(self) -> str:
        """The session that the client began or resumed, or nothing while it has not said so."""
        return next((line["session_id"] for line in self.lines if line.get("subtype") == "init"), "")

    @property
    def hook_failures(self) -> list[dict[str, Any]]:
        """The hooks that the client itself counts as failed or given up."""
        return [
            line for line in self.lines if line.get("subtype") == "hook_response" and line.get("outcome") != "success"
        ]

    def finish(self) -> "Run":
        """Wait for the end; a client that hangs is killed with its children and is an error."""
        try:
            self.process.wait(RUN_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"The client did not end within {RUN_WITHIN} s: {self.tail()}") from None
        return self

    def tail(self) -> str:
        """Return the end of what it said, for a failed assertion."""
        return f"rc {self.process.returncode}: {self.stdout.read_text()[-1500:]} {self.stderr.read_text()[-1500:]}"


@dataclass
class Client:
    """A client with its own HOME, working directory and model API; ``prefix`` puts it into its network."""

    program: Path
    root: Path
    api_url: str
    prefix: list[str]
    extra: dict[str, str] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)

    def __post_init__(self) -> None:
        for directory in (self.home, self.directory, self.root / "tmp", self.root / "out"):
            directory.mkdir(parents=True, exist_ok=True)
        known = {"hasCompletedOnboarding": True, "theme": "dark", "customApiKeyResponses": {"approved": ["sk-fake"]}}
        (self.home / ".claude.json").write_text(json.dumps(known))

    @property
    def home(self) -> Path:
        """Its HOME: no person's."""
        return self.root / "home"

    @property
    def directory(self) -> Path:
        """Where it works."""
        return self.root / "project"

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of the client: nothing of ours leaks in."""
        return {
            "HOME": str(self.home),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "SHELL": "/bin/sh" if not Path("/bin/bash").exists() else "/bin/bash",
            "ANTHROPIC_API_KEY": "sk-fake",
            "ANTHROPIC_BASE_URL": self.api_url,
            "CLAUDE_CODE_TMPDIR": str(self.root / "tmp"),
            "DISABLE_TELEMETRY": "1",
            "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL": "1",
            "IS_SANDBOX": "1",
            **self.extra,
        }

    def start(self, prompt: str, *options: str) -> Run:
        """Start a headless run that may use every tool without asking."""
        number = len(self.runs)
        stdout, stderr = self.root / "out" / f"{number}.jsonl", self.root / "out" / f"{number}.err"
        command = [*self.prefix, str(self.program), "-p", prompt, "--permission-mode", "bypassPermissions"]
        command += ["--output-format", "stream-json", "--include-hook-events", "--verbose"]
        command += ["--debug-file", str(self.root / "out" / f"{number}.debug"), *options]
        with stdout.open("wb") as out, stderr.open("wb") as err:
            process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.runs.append(Run(process, stdout, stderr))
        return self.runs[-1]

    def run(self, prompt: str, *options: str) -> Run:
        """Run one prompt to its end; a client that fails is an error unless the script says so."""
        return self.start(prompt, *options).finish()


@contextmanager
def client_of(program: Path, root: Path, api_url: str, prefix: list[str]) -> Iterator[Client]:
    """Yield a client; what a failed test left running of it is killed at the end."""
    client = Client(program, root, api_url, prefix)
    try:
        yield client
    finally:
        for run in client.runs:
            if run.process.poll() is None:
                os.killpg(run.process.pid, signal.SIGKILL)
                run.process.wait()
