"""One real client, its scripted model and a real Headspace per test."""

import os
import time
from contextlib import closing
from dataclasses import dataclass

import pytest
from django.core.management import call_command

from agents.hosts import add_host
from tests.real.client import Client, Unavailable, client_of, installed_program
from tests.real.loopback import loopback_only
from tests.real.scripted_api import ScriptedApi, scripted_api
from tests.real.server import headspace_on

FACT_WITHIN = 60  # seconds


@dataclass
class Scene:
    """Everything that a test drives or looks at."""

    client: Client
    api: ScriptedApi
    server: str
    token: str

    def install(self, *where):
        call_command("install_hooks", "--server", self.server, "--token", self.token, *where, verbosity=0)

    def ask(self, script, argument="", *options):
        """Run one prompt with a script to its end."""
        return self.client.run(self.prompt(script, argument), *options)

    def prompt(self, script, argument=""):
        marker = f"[[script:{script} {argument}]]" if argument else f"[[script:{script}]]"
        return f"{marker} please"

    def go(self):
        """Let what waits in a script go on."""
        (self.client.directory / "go").touch()

    def until(self, fact):
        """Wait until something is so, and return it."""
        end = time.monotonic() + FACT_WITHIN
        while not (found := fact()):
            assert time.monotonic() < end, (
                f"It did not come to be within {FACT_WITHIN} s: {self.client.runs[-1].tail()}"
            )
            time.sleep(0.05)
        return found


def say(config, words):
    """Tell the person who runs the tests, although output is captured."""
    plugins = config.pluginmanager
    with plugins.get_plugin("capturemanager").global_and_fixture_disabled():
        plugins.get_plugin("terminalreporter").write_line(f"\n{words}")


@pytest.fixture(scope="session")
def program(request):
    """The client's program; without it every test here is skipped with the reason."""
    try:
        path, version = installed_program()
    except Unavailable as reason:
        pytest.skip(str(reason))
    say(request.config, f"The client is {version}.")
    return path


@pytest.fixture(scope="session")
def network(request, program):
    """A network for the session's client, of loopback alone where the kernel allows one."""
    with loopback_only(2) as loopback:
        kind = (
            "a network of loopback alone" if loopback.isolated else "this machine's network: no other is allowed here"
        )
        say(request.config, f"It runs in {kind}.")
        yield loopback
        for door in loopback.doors:
            door.close()


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    """What `install_hooks` takes for the user's, and the client as well."""
    home = tmp_path / "client" / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture
def scene(transactional_db, tmp_path, own_home, program, network):
    """A client whose hooks go to a running Headspace, with a HOME of its own."""
    model_door, hook_door = (door.dup() for door in network.doors)
    log = tmp_path / "headspace.log"
    with (
        closing(hook_door),
        scripted_api(model_door) as api,
        headspace_on(hook_door, network.prefix, log) as server,
        client_of(program, tmp_path / "client", api.url, network.prefix) as client,
    ):
        scene = Scene(client, api, server, add_host("real")[1])
        scene.install()
        yield scene
    assert "Traceback" not in log.read_text(), log.read_text()
