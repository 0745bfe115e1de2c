"""Installing on a real file system: links, modes, refusals, the dry run and what is warned of."""

import json
import os
import shutil
import stat
import tempfile
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from agents.install import Receiver
from agents.settings_file import SettingsFile
from agents.settings_rules import SettingsRefused
from agents.settings_warnings import warnings

URL = "http://127.0.0.1:8642/hooks/claude-code"
NOBODY = 65534


def run(command, *options):
    """Return what a command printed, and what it warned of."""
    out, err = StringIO(), StringIO()
    call_command(command, *options, stdout=out, stderr=err, no_color=True)
    return out.getvalue(), err.getvalue()


def install(*options, server="http://127.0.0.1:8642", token="hs_secret"):
    return run("install_hooks", "--server", server, "--token", token, *options)


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text('{"model": "opus"}\n')
    path.chmod(0o600)
    return path


@pytest.fixture
def plain_user():
    """Become a user whom permissions bind; yields a directory of that user's."""
    directory = Path(tempfile.mkdtemp())
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(directory, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    yield directory
    if is_root:
        os.seteuid(0)
    directory.chmod(0o700)
    shutil.rmtree(directory)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o664])
def test_the_mode_is_kept_through_install_and_uninstall(settings, mode):
    settings.chmod(mode)
    install("--settings-file", settings)
    assert [stat.S_IMODE(path.stat().st_mode) for path in sorted(settings.parent.iterdir())] == [mode, mode]
    run("uninstall_hooks", "--settings-file", settings)
    assert stat.S_IMODE(settings.stat().st_mode) == mode


def test_a_symbolic_link_is_followed_and_stays_one(settings, tmp_path):
    link = tmp_path / "link.json"
    link.symlink_to(settings)
    install("--settings-file", link)
    assert link.is_symlink()
    assert "hs_secret" in settings.read_text()
    run("uninstall_hooks", "--settings-file", link)
    assert link.is_symlink()
    assert settings.read_text() == '{"model": "opus"}\n'


def test_a_link_to_nothing_gets_its_file_and_loses_it_again(tmp_path):
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "elsewhere" / "real.json")
    install("--settings-file", link)
    assert "hooks" in json.loads((tmp_path / "elsewhere" / "real.json").read_text())
    run("uninstall_hooks", "--settings-file", link)
    assert link.is_symlink()
    assert not link.exists()


def test_links_in_a_circle_are_refused(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(CommandError, match="circle"):
        install("--settings-file", tmp_path / "a")


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(CommandError, match="no regular file"):
        install("--settings-file", tmp_path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CommandError, match="no regular file"):
        install("--settings-file", tmp_path / "pipe")


def test_a_file_below_a_file_is_refused(settings):
    with pytest.raises(CommandError, match="cannot be"):
        install("--settings-file", settings / "settings.json")


def test_a_file_that_may_not_be_read_is_refused(plain_user):
    path = plain_user / "settings.json"
    path.write_text("{}")
    path.chmod(0o000)
    with pytest.raises(CommandError, match="cannot be read: Permission denied"):
        install("--settings-file", path)
    path.chmod(0o600)
    assert path.read_text() == "{}"


def test_a_read_only_file_is_refused_untouched(plain_user):
    path = plain_user / "settings.json"
    path.write_text("{}")
    path.chmod(0o400)
    with pytest.raises(CommandError, match="read-only"):
        install("--settings-file", path)
    assert [(entry.name, entry.read_text()) for entry in plain_user.iterdir()] == [("settings.json", "{}")]


def test_a_directory_that_may_not_be_written_is_refused(plain_user):
    path = plain_user / "settings.json"
    path.write_text("{}")
    plain_user.chmod(0o500)
    with pytest.raises(CommandError, match="cannot be written: Permission denied"):
        install("--settings-file", path)
    assert path.read_text() == "{}"


def test_what_somebody_else_wrote_meanwhile_is_not_lost(settings):
    file = SettingsFile.read(settings)
    settings.write_text('{"model": "sonnet"}')
    with pytest.raises(SettingsRefused, match="run the command again"):
        file.replace("{}", file.text)
    assert [(entry.name, entry.read_text()) for entry in settings.parent.iterdir()] == [
        ("settings.json", '{"model": "sonnet"}')
    ]


def test_the_original_lies_beside_the_file_while_it_is_installed(settings):
    said, _ = install("--settings-file", settings)
    assert Path(f"{settings}.headspace-backup").read_text() == '{"model": "opus"}\n'
    assert f"{settings}.headspace-backup" in said


def test_a_dry_run_shows_the_difference_without_tokens_and_changes_nothing(settings):
    shown, _ = install("--settings-file", settings, "--dry-run")
    assert shown.startswith(f"--- {settings}\n+++ {settings}\n")
    assert "Bearer ***" in shown
    assert "hs_secret" not in shown
    assert [entry.name for entry in settings.parent.iterdir()] == ["settings.json"]
    assert settings.read_text() == '{"model": "opus"}\n'


def test_a_dry_run_of_another_token_masks_the_old_one_too(settings):
    install("--settings-file", settings)
    shown, _ = install("--settings-file", settings, "--dry-run", token="hs_other")
    assert "hs_" not in shown


def test_a_dry_run_of_taking_out_shows_the_difference_and_changes_nothing(settings):
    install("--settings-file", settings)
    installed = settings.read_text()
    shown, _ = run("uninstall_hooks", "--settings-file", settings, "--dry-run")
    assert "-" in shown
    assert "hs_secret" not in shown
    assert settings.read_text() == installed


def test_a_dry_run_makes_no_directory(tmp_path):
    install("--settings-file", tmp_path / "new" / "settings.json", "--dry-run")
    assert list(tmp_path.iterdir()) == []


def test_without_a_choice_it_is_the_users_file(tmp_path, monkeypatch):
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    install()
    assert "hooks" in json.loads((tmp_path / ".claude" / "settings.json").read_text())


def test_the_clients_own_variable_moves_the_users_file(tmp_path, monkeypatch):
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "elsewhere"))
    install()
    assert "hooks" in json.loads((tmp_path / "elsewhere" / "settings.json").read_text())


def test_a_projects_file_is_in_the_project_and_the_token_in_it_is_warned_of(tmp_path):
    _, warned = install("--project", tmp_path)
    assert "hooks" in json.loads((tmp_path / ".claude" / "settings.json").read_text())
    assert "version control" in warned


def test_a_project_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(CommandError, match="no directory"):
        install("--project", tmp_path / "nowhere")


@pytest.mark.parametrize("server", ["127.0.0.1:8642", "ftp://x", "http://", "http://u:p@x", "http://x/?q=1", "", "x"])
def test_an_address_that_is_none_is_refused(settings, server):
    with pytest.raises(CommandError, match="address of a server"):
        install("--settings-file", settings, server=server)
    assert settings.read_text() == '{"model": "opus"}\n'


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "ä", "$HOME", "a${B}"])
def test_a_token_that_the_client_would_change_is_refused_and_not_repeated(settings, token):
    with pytest.raises(CommandError, match="the token holds characters") as refusal:
        install("--settings-file", settings, token=token)
    assert not token or token not in str(refusal.value)


@pytest.mark.parametrize("server", ["http://127.0.0.1:8642", "http://127.0.0.1:8642/"])
def test_a_slash_behind_the_server_makes_no_difference(server):
    assert Receiver(server, "t", "").url == URL


def test_a_server_below_a_path_keeps_it():
    assert Receiver("https://example.org/headspace/", "t", "").url == "https://example.org/headspace/hooks/claude-code"


def test_an_ordinary_install_warns_of_nothing(settings):
    assert install("--settings-file", settings)[1] == ""


def test_a_proxy_that_would_swallow_the_hooks_is_warned_of(settings, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    assert "NO_PROXY" in install("--settings-file", settings)[1]
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    assert install("--settings-file", settings)[1] == ""


def test_a_file_that_others_can_read_is_warned_of(settings):
    settings.chmod(0o644)
    assert "mode 644" in install("--settings-file", settings)[1]


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ({"disableAllHooks": True}, "disableAllHooks"),
        ({"allowedHttpHookUrls": []}, "allowedHttpHookUrls"),
        ({"allowedHttpHookUrls": ["http://127.0.0.1:9/*"]}, "allowedHttpHookUrls"),
    ],
)
def test_settings_that_keep_hooks_from_running_are_warned_of(document, word):
    assert [word in warning for warning in warnings(URL, document, 0o600)] == [True]


@pytest.mark.parametrize("document", [{"disableAllHooks": False}, {"allowedHttpHookUrls": ["x", "http://127.0.0.1:*"]}])
def test_settings_that_let_hooks_run_are_not_warned_of(document):
    assert list(warnings(URL, document, 0o600)) == []


@pytest.mark.parametrize(
    ("address", "warned"),
    [
        ("10.9.9.9", True),
        ("172.16.0.1", True),
        ("192.168.1.1", True),
        ("169.254.1.1", True),
        ("100.64.0.1", True),
        ("fd00::1", True),
        ("fe80::1%eth0", True),
        ("127.0.0.1", False),
        ("::1", False),
        ("8.8.8.8", False),
    ],
)
def test_a_name_that_leads_to_a_private_address_is_warned_of(monkeypatch, address, warned):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (address, 0))])
    assert bool(list(warnings("http://headspace.example/x", {}, 0o600))) is warned


def test_an_address_itself_is_not_looked_up(monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("looked up"))
    assert list(warnings("http://10.9.9.9/x", {}, 0o600)) == []


def test_a_name_that_does_not_resolve_is_warned_of(monkeypatch):
    def unknown(*_, **__):
        raise OSError

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    assert ["does not resolve" in warning for warning in warnings("http://no.example/x", {}, 0o600)] == [True]
