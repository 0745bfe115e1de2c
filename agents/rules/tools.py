"""Rules for calls of tools, for the questions about them, and for subagents."""

from dataclasses import replace

from agents import events
from agents.decisions import Deny
from agents.events import Asking, Event, Tool
from agents.judgement import ASKED, ECHO, IDLE, Judgement, asked
from agents.situations import OpenWait
from agents.states import Actor, CommandState, Intent, Trigger

_ASKED_FOR = {Asking.PERMISSION: "a permission", Asking.QUESTION: "an answer", Asking.PLAN: "a plan's approval"}


def _attends(judgement: Judgement, event: Event) -> bool:
    """Make sure that the event's command is the open one; False when there is nothing to be noted."""
    worker = event.origin.subagent_id
    if not worker:
        return judgement.belong()
    # What a finished command left in the background works on beside the next one, and may ask a person.
    if judgement.now.command is None or (judgement.is_past() and worker not in judgement.now.subagents):
        return False
    judgement.now = replace(judgement.now, subagents=tuple(dict.fromkeys((*judgement.now.subagents, worker))))
    return True


def _progress(judgement: Judgement, doing: str) -> None:
    """Note activity, or that the last open question is settled."""
    if judgement.now.state is CommandState.AWAITING_INPUT and not judgement.now.waits:
        judgement.step(Trigger.ANSWER, "the question is settled")
    else:
        judgement.step(Trigger.PROGRESS, doing)


def tool_requested(judgement: Judgement, event: events.ToolRequested) -> None:
    """A call is about to run; it may itself be a question."""
    if not _attends(judgement, event):
        _goes_on(judgement)
        return
    judgement.open_tool(event.tool)
    is_asked = _is_asked(judgement, event.tool, event.tool.key)
    overtaking = _nameless(judgement, event.tool.digest) if event.tool.digest else None
    if overtaking and not is_asked:
        judgement.name_wait(overtaking, use_id=event.tool.key)  # the question overtook its call
        is_asked = True
    judgement.settle(f"call:{event.tool.digest}")
    if event.tool.asking and event.tool.key in judgement.now.tools and not is_asked and not _is_denied(judgement):
        _ask(judgement, event.tool, event.tool.asking, event.tool.key, event.text)
    else:
        _progress(judgement, f"calls {event.tool.name}")


def _goes_on(judgement: Judgement) -> None:
    """Flag a call for a prompt that is over: the client waits for us before it calls, so this is no late hook."""
    if judgement.is_past() and not judgement.origin.subagent_id:
        judgement.session_gap("over", "it works on a prompt that was taken for over")


def _nameless(judgement: Judgement, digest: str) -> OpenWait | None:
    """Return the first question whose call was not seen: with this digest, or one that only a notification told."""
    worker = judgement.origin.subagent_id
    waits = (wait for wait in judgement.now.waits if not wait.use_id and wait.digest == digest)
    return next((wait for wait in waits if not digest or wait.subagent_id == worker), None)


def _is_denied(judgement: Judgement) -> bool:
    return isinstance(judgement.decision, Deny)


def _ask(judgement: Judgement, tool: Tool, asking: Asking, use_id: str, text: str) -> None:
    wait = OpenWait(None, asking, use_id, tool.digest, judgement.origin.subagent_id, tool.name, text)
    judgement.open_wait(wait)
    if use_id and asking is not Asking.PERMISSION:
        judgement.say(Actor.AGENT, Intent.QUESTION, text)
    judgement.step(Trigger.QUESTION, ": ".join(filter(None, (f"asks for {_ASKED_FOR[asking]}", tool.name or text))))


def permission_requested(judgement: Judgement, event: events.PermissionRequested) -> None:
    """A person is asked about a call."""
    if not _attends(judgement, event):
        return
    if _is_denied(judgement):
        _progress(judgement, f"calls {event.tool.name}")
        return
    use_id = _call_asked_about(judgement, event.tool)
    if not use_id and _is_over(judgement, event.tool):
        _forget_notification(judgement)
    elif not _is_asked(judgement, event.tool, use_id):
        _ask_permission(judgement, event, use_id)
    judgement.remember(ASKED, asked(event.tool.digest))


def _ask_permission(judgement: Judgement, event: events.PermissionRequested, use_id: str) -> None:
    """Open the question, or tell of one that only a notification had told of what it is about."""
    tool, notified = event.tool, _nameless(judgement, "")
    if not use_id:
        judgement.gap(f"call:{tool.digest}", f"a permission was asked for a call of {tool.name} not seen")
    judgement.settle("attention", ECHO)
    if notified and not event.origin.subagent_id:
        judgement.name_wait(notified, use_id=use_id, digest=tool.digest, tool_name=tool.name, text=event.text)
    else:
        judgement.close_waits(lambda wait: wait is notified, "named")
        _ask(judgement, tool, tool.asking or Asking.PERMISSION, use_id, event.text)


def _call_asked_about(judgement: Judgement, tool: Tool) -> str:
    """Return the newest call under way with this name and input that nobody was asked about, or nothing."""
    asked = {wait.use_id for wait in judgement.now.waits}
    calls = [
        key
        for key, call in judgement.now.tools.items()
        if call.digest == tool.digest and call.subagent_id == judgement.origin.subagent_id
    ]
    return next((key for key in reversed(calls) if key not in asked), calls[-1] if calls else "")


def _is_asked(judgement: Judgement, tool: Tool, use_id: str) -> bool:
    """Whether the question is open already: the call itself was one."""
    if use_id:
        return any(wait.use_id == use_id for wait in judgement.now.waits)
    return bool(tool.digest and _nameless(judgement, tool.digest))


def _is_over(judgement: Judgement, tool: Tool) -> bool:
    """Whether the call ended before its question came; one that was asked about once is not asked about late."""
    return tool.digest in judgement.now.settled and asked(tool.digest) not in judgement.now.settled


def _forget_notification(judgement: Judgement) -> None:
    """The question behind a notification turns out to be over."""
    notified = _nameless(judgement, "")
    judgement.close_waits(lambda wait: wait is notified and wait.asking is Asking.PERMISSION, "settled")
    judgement.settle("attention")
    _progress(judgement, "the question was settled before it was heard of")


def tool_finished(judgement: Judgement, event: events.ToolFinished) -> None:
    """A call came back."""
    if not _attends(judgement, event):
        return
    key = event.tool.key
    if key not in judgement.now.tools and key not in judgement.now.settled:
        judgement.gap(f"tool:{key}", f"a call of {event.tool.name} ended whose beginning was not seen")
    judgement.close_tools((key,), "finished", event.tool.digest)
    _progress(judgement, f"{event.tool.name} {'failed' if event.failed else 'finished'}")
    if event.interrupted and not event.origin.subagent_id:
        judgement.step(Trigger.INTERRUPT, f"a person interrupted {event.tool.name}")


def tools_settled(judgement: Judgement, event: events.ToolsSettled) -> None:
    """All calls of one message are over, also those that never ran."""
    if _attends(judgement, event):
        judgement.close_tools(event.use_ids, "settled")
        _progress(judgement, "calls are over")


def permission_denied(judgement: Judgement, event: events.PermissionDenied) -> None:
    """The vendor refused a call."""
    if _attends(judgement, event):
        judgement.close_tools((event.tool.key,), "denied", event.tool.digest)
        _progress(judgement, f"{event.tool.name} was denied")


def attention_wanted(judgement: Judgement, event: events.AttentionWanted) -> None:
    """Believe a notification only where it says more than what is known: it comes late (M5)."""
    if judgement.now.command is None or not judgement.is_current():
        return
    if event.asking is None:
        _notified_of_idleness(judgement)
    elif judgement.now.waits:
        return
    elif event.asking is Asking.PERMISSION:
        _notified_of_permission(judgement, event)
    else:
        _ask(judgement, Tool(""), event.asking, "", event.text)


def _notified_of_idleness(judgement: Judgement) -> None:
    if not judgement.now.background and not judgement.now.subagents:
        judgement.gap(IDLE, "the client waits for a prompt, but no stop was seen")


def _notified_of_permission(judgement: Judgement, event: events.AttentionWanted) -> None:
    if not judgement.now.tools:
        return  # the late echo of a question that is settled
    if ASKED in judgement.now.settled:
        judgement.gap(ECHO, "a person may be asked for a permission that no hook named")
        return
    _ask(judgement, Tool(""), Asking.PERMISSION, "", event.text)
    judgement.gap("attention", "a person is asked for a permission that no hook named")


def subagent_started(judgement: Judgement, event: events.SubagentStarted) -> None:
    """A subagent began."""
    if event.origin.subagent_id and _attends(judgement, event):
        _progress(judgement, "a subagent works")


def subagent_stopped(judgement: Judgement, event: events.SubagentStopped) -> None:
    """A subagent is done, with its calls and questions."""
    worker = event.origin.subagent_id
    if worker and judgement.now.command and (worker in judgement.now.subagents or not judgement.is_past()):
        judgement.close_worker(worker, "subagent stopped")
        _progress(judgement, "a subagent is done")
