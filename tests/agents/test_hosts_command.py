"""`manage.py hosts`: lists machines, gives them tokens, takes them away."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, ManagementUtility, call_command

from agents.hosts import token_digest
from agents.models import Host
from tests.agents.rows import make_agent, make_ended_agent, make_host

pytestmark = pytest.mark.django_db


def hosts(*words):
    output = StringIO()
    call_command("hosts", *words, stdout=output)
    return output.getvalue()


def hosts_json(*words):
    return json.loads(hosts(*words, "--json"))


def test_add_prints_the_token_once():
    printed = hosts("add", "laptop")
    token = next(word for word in printed.split() if word.startswith("hs_"))
    assert Host.objects.get(name="laptop").token_digest == token_digest(token)
    assert printed.count(token) == 1
    assert token not in hosts("list")


def test_add_gives_name_and_token_to_machines():
    added = hosts_json("add", "laptop")
    assert set(added) == {"name", "token"}
    assert added["name"] == "laptop"
    assert Host.objects.get().token_digest == token_digest(added["token"])


def test_rotate_replaces_the_token():
    old = hosts_json("add", "laptop")["token"]
    new = hosts_json("rotate", "laptop")
    assert new["token"] != old
    assert Host.objects.get().token_digest == token_digest(new["token"])


def test_revoke_is_undone_by_rotate_alone():
    hosts("add", "laptop")
    revoked = hosts_json("revoke", "laptop")
    first = Host.objects.get().revoked_at
    assert revoked == {"name": "laptop", "revoked_at": first.isoformat()}
    hosts("revoke", "laptop")
    assert Host.objects.get().revoked_at == first
    assert "it was revoked" in hosts("rotate", "laptop")
    assert Host.objects.get().revoked_at is None


def test_list_shows_every_host_with_its_living_agents():
    make_agent(host=make_host("tower"))
    make_ended_agent(host=make_host("tower"))
    make_host("laptop")
    hosts("revoke", "laptop")
    head, laptop, tower = hosts("list").splitlines()
    assert head.split() == ["NAME", "TOKEN", "GOOD", "AGENTS", "ADDED"]
    assert laptop.split()[:4] == ["laptop", "hs_abcde…", "revoked", "0"]
    assert tower.split()[:4] == ["tower", "hs_abcde…", "yes", "1"]


def test_list_for_machines_has_no_digest():
    make_host("laptop")
    (row,) = hosts_json("list")
    assert set(row) == {"name", "token_hint", "created_at", "rotated_at", "revoked_at", "agents"}
    assert (row["name"], row["agents"], row["revoked_at"]) == ("laptop", 0, None)


def test_an_empty_list_says_what_to_do():
    assert "hosts add NAME" in hosts("list")
    assert hosts_json("list") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", "laptop"], "There is a host laptop already. For a new token of it: hosts rotate laptop"),
        (["rotate", "nowhere"], "There is no host nowhere. All of them: hosts list"),
        (["revoke", "nowhere"], "There is no host nowhere. All of them: hosts list"),
        (["add"], "Which host? Write: hosts add NAME"),
        (["add", "  "], "Which host? Write: hosts add NAME"),
        (["list", "laptop"], "list shows all hosts: it takes no name."),
        (["add", "x" * 101], "This cannot be a name: Ensure this value has at most 100 characters (it has 101)."),
        (["add", "two\nlines"], "This cannot be a name: it has characters that cannot be printed."),
        (["add", "nul\0"], "This cannot be a name: it has characters that cannot be printed."),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(words, said):
    make_host("laptop")
    kept = list(Host.objects.values())
    with pytest.raises(CommandError) as refused:
        hosts(*words)
    assert (str(refused.value), refused.value.returncode) == (said, 1)
    assert list(Host.objects.values()) == kept


def test_an_error_leaves_with_status_one_and_no_traceback(capsys):
    with pytest.raises(SystemExit) as left:
        ManagementUtility(["manage.py", "hosts", "rotate", "nowhere"]).execute()
    assert left.value.code == 1
    assert capsys.readouterr().err.strip() == "CommandError: There is no host nowhere. All of them: hosts list"


def test_the_help_names_all_actions(capsys):
    with pytest.raises(SystemExit) as left:
        ManagementUtility(["manage.py", "hosts", "--help"]).execute()
    assert left.value.code == 0
    printed = capsys.readouterr().out
    for action in ("list", "add NAME", "rotate NAME", "revoke NAME"):
        assert f"\n  hosts {action}  " in printed
