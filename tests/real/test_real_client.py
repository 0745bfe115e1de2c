"""A real Claude Code's sessions, from its own hooks over HTTP to our rows."""

import json

import pytest
from django.core.management import call_command
from django.db.models import F

from agents.models import Agent, Command, HookEvent, StateChange, Turn, Wait

pytestmark = pytest.mark.real


def only_agent():
    return Agent.objects.get()


def names_of(agent):
    return list(agent.events.order_by("pk").values_list("name", flat=True))


def turns_of(command):
    return list(command.turns.values_list("actor", "intent", "text"))


def assert_certain(run):
    """Nothing was lost, guessed or shown to the person as an error."""
    assert run.hook_failures == []
    assert [agent.ambiguous for agent in Agent.objects.all()] == [None] * Agent.objects.count()
    assert [command.gaps for command in Command.objects.all()] == [{}] * Command.objects.count()
    # The client shows its last words and stops at the same time: whichever comes second, the command is over.
    late = HookEvent.objects.exclude(outcome="applied").values_list("name", "outcome")
    assert set(late) <= {("MessageDisplay", "late")}
    assert not Wait.objects.filter(closed_at=None).exists()
    assert [agent.working.get("tools") for agent in Agent.objects.all()] == [None] * Agent.objects.count()


def assert_ended(command, outcome="completed"):
    assert (command.state, command.outcome) == ("complete", outcome)


def test_one_answer_is_one_command_with_its_two_turns(scene):
    run = scene.ask("text")
    assert run.process.returncode == 0, run.tail()
    agent, command = only_agent(), Command.objects.get()
    assert_ended(command)
    assert_certain(run)
    assert command.prompt == scene.prompt("text")
    assert turns_of(command) == [
        ("user", "command", scene.prompt("text")),
        ("agent", "completion", "Here is the scripted answer."),
    ]
    assert (agent.session_id, agent.generation, agent.presence) == (run.session_id, 1, "ended")
    assert agent.cwd == str(scene.client.directory)
    assert (agent.vendor, agent.project.root) == ("claude-code", str(scene.client.directory))


def test_the_session_start_names_the_clients_own_process(scene):
    run = scene.ask("text")
    start = HookEvent.objects.get(name="SessionStart")
    pid, started, place = start.headers["process"]
    assert pid == run.process.pid
    assert started.isdigit()
    assert place
    assert (only_agent().pid, only_agent().process_started, only_agent().process_place) == (pid, started, place)


def test_the_pane_that_the_client_runs_in_is_known(scene):
    scene.client.extra = {"TMUX": "/tmp/tmux-0/default,77,0", "TMUX_PANE": "%5"}
    scene.ask("text")
    assert only_agent().pane == "/tmp/tmux-0/default %5"


def test_setup_is_announced_and_belongs_to_the_same_agent(scene):
    run = scene.ask("text", "", "--init")
    assert_certain(run)
    assert {"Setup", "SessionStart"} <= set(names_of(only_agent()))


def test_every_tool_that_began_is_closed(scene):
    run = scene.ask("tools", str(scene.client.directory))
    assert run.process.returncode == 0, run.tail()
    assert (scene.client.directory / "note.txt").read_text() == "second line\n"
    assert_certain(run)
    command = Command.objects.get()
    assert_ended(command)
    assert turns_of(command)[-1] == ("agent", "completion", "All five tools ran.")
    names = names_of(only_agent())
    assert names.count("PreToolUse") == 5
    assert (names.count("PostToolUse"), names.count("PostToolUseFailure")) == (4, 1)


def test_two_calls_at_once_are_two_calls(scene):
    run = scene.ask("parallel")
    assert run.process.returncode == 0, run.tail()
    assert_certain(run)
    assert_ended(Command.objects.get())
    uses = HookEvent.objects.filter(name="PreToolUse").values_list("payload__tool_use_id", flat=True)
    assert len(set(uses)) == 2


def test_a_stop_while_a_subagent_works_is_a_pause_and_no_end(scene):
    run = scene.client.start(scene.prompt("agent"))
    scene.until(lambda: HookEvent.objects.filter(name="Stop"))
    agent, command = only_agent(), Command.objects.get()
    assert (command.state, command.outcome) == ("processing", "")
    assert agent.ambiguous is None
    scene.go()
    run.finish()
    assert run.process.returncode == 0, run.tail()
    assert_certain(run)
    command.refresh_from_db()
    assert_ended(command)
    assert names_of(agent).count("Stop") == 2
    prompts = HookEvent.objects.filter(name="UserPromptSubmit").order_by("pk").values_list("payload__prompt", flat=True)
    assert [prompt.startswith("<task-notification>") for prompt in prompts] == [False, True]
    said = [turn for turn in turns_of(command) if turn[0] == "user"]
    assert said == [("user", "command", scene.prompt("agent"))]
    assert turns_of(command)[-1][1:] == ("completion", "The subagent is done.")


def test_an_error_of_the_model_api_is_a_failed_command(scene):
    run = scene.ask("fail")
    assert run.process.returncode == 1, run.tail()
    assert_certain(run)
    assert_ended(Command.objects.get(), "failed")
    assert "StopFailure" in names_of(only_agent())


def test_a_resumed_session_is_the_same_agent_in_its_next_generation(scene):
    first = scene.ask("text")
    second = scene.ask("text", "", "--resume", first.session_id)
    assert second.session_id == first.session_id
    assert_certain(second)
    agent = only_agent()
    assert (agent.generation, agent.sessions.count(), agent.presence) == (2, 1, "ended")
    assert agent.pid == second.process.pid
    assert [(command.generation, command.outcome) for command in agent.commands.order_by("pk")] == [
        (1, "completed"),
        (2, "completed"),
    ]


def test_a_cleared_conversation_goes_on_as_the_same_agent(scene):
    first = scene.ask("text")
    scene.client.run("/clear", "--resume", first.session_id)
    starts = HookEvent.objects.filter(name="SessionStart").order_by("pk").values_list("payload__source", flat=True)
    assert list(starts) == ["startup", "resume", "clear"]
    agent = only_agent()
    assert agent.sessions.count() == 2
    assert agent.session_id != first.session_id
    assert agent.ambiguous is None


@pytest.mark.parametrize("mode", ["read_only", "hold"])
def test_a_restricted_agent_may_not_write_although_it_bypasses_permissions(scene, mode):
    run = scene.client.start(scene.prompt("write", str(scene.client.directory)))
    scene.until(lambda: HookEvent.objects.filter(name="PreToolUse"))
    Agent.objects.update(mode=mode, version=F("version") + 1)
    scene.go()
    run.finish()
    assert run.process.returncode == 0, run.tail()
    assert not (scene.client.directory / "forbidden.txt").exists()
    refused = HookEvent.objects.get(name="PreToolUse", payload__tool_name="Write")
    reason = refused.answer["reason"]
    assert len(reason) > 20
    assert scene.api.told(json.dumps(reason, ensure_ascii=False)[1:-1])
    assert_certain(run)
    assert_ended(Command.objects.get())


def test_an_unrestricted_agent_writes(scene):
    scene.go()
    scene.ask("write", str(scene.client.directory))
    assert (scene.client.directory / "forbidden.txt").read_text() == "written\n"


def test_a_client_inside_a_clients_shell_is_an_agent_of_its_own_and_its_child(scene):
    run = scene.ask("nested", str(scene.client.program))
    assert run.process.returncode == 0, run.tail()
    assert_certain(run)
    outer, inner = Agent.objects.get(parent=None), Agent.objects.exclude(parent=None).get()
    assert inner.parent == outer
    assert outer.session_id == run.session_id != inner.session_id
    assert_ended(outer.commands.get())
    assert_ended(inner.commands.get())
    assert turns_of(inner.commands.get())[-1][2] == "Here is the scripted answer."


def test_hooks_installed_for_the_user_and_for_the_project_tell_everything_once(scene):
    scene.install("--project", scene.client.directory)
    run = scene.ask("tools", str(scene.client.directory))
    assert run.hook_failures == []
    assert HookEvent.objects.filter(name="SessionStart", outcome="applied").count() == 1
    others = HookEvent.objects.exclude(outcome="applied").values_list("name", "outcome")
    assert set(others) <= {("MessageDisplay", "late"), ("SessionStart", "duplicate")}
    assert only_agent().ambiguous is None
    assert_ended(Command.objects.get())


def test_hooks_that_are_taken_out_tell_nothing(scene):
    call_command("uninstall_hooks", verbosity=0)
    assert not (scene.client.home / ".claude" / "settings.json").exists()
    run = scene.ask("text")
    assert run.process.returncode == 0, run.tail()
    assert HookEvent.objects.count() == 0


def test_every_move_of_a_command_names_the_hook_that_it_rests_on(scene):
    scene.ask("tools", str(scene.client.directory))
    moves = StateChange.objects.filter(command=Command.objects.get()).order_by("pk")
    assert [move.after for move in moves] == ["commanded", "processing", "complete"]
    assert all(move.event and move.reason for move in moves)
    assert Turn.objects.filter(intent="command").count() == 1
