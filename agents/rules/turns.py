"""Rules for what a person says and how the answer ends."""

from dataclasses import replace

from agents import events
from agents.events import Speaker
from agents.judgement import IDLE, Judgement
from agents.states import Actor, Intent, Outcome, Trigger


def prompt_submitted(judgement: Judgement, event: events.PromptSubmitted) -> None:
    """A person, or the client itself, told the agent something."""
    if judgement.is_past():
        if judgement.now.past[event.origin.prompt_id].inferred:
            judgement.prompt_past(event.text)
            judgement.say_past(Actor.USER, Intent.COMMAND, event.text)
    elif event.origin.prompt_id and judgement.is_current():
        _prompt_of_the_open_command(judgement, event)
    elif event.speaker is Speaker.MACHINE:
        _continued(judgement, event)
    else:
        _commanded(judgement, event)


def _prompt_of_the_open_command(judgement: Judgement, event: events.PromptSubmitted) -> None:
    if judgement.now.command and judgement.now.command.inferred:
        judgement.adopt_prompt(event.text)
        judgement.say(Actor.USER, Intent.COMMAND, event.text)
    else:
        judgement.say(Actor.USER, Intent.ANSWER, event.text)


def _continued(judgement: Judgement, event: events.PromptSubmitted) -> None:
    if judgement.now.command is None:
        judgement.open(event.text)
    judgement.join_prompt()
    judgement.now = replace(judgement.now, background=())
    judgement.step(Trigger.CONTINUATION, "the client went on by itself")
    judgement.reason = "the client went on by itself"


def _commanded(judgement: Judgement, event: events.PromptSubmitted) -> None:
    judgement.leave("the next prompt came before a stop was seen")
    judgement.settle_session("over")
    judgement.open(event.text)
    judgement.step(Trigger.COMMAND, "a person gave an instruction")
    judgement.say(Actor.USER, Intent.COMMAND, event.text)


def text_shown(judgement: Judgement, event: events.TextShown) -> None:
    """The agent said something."""
    if judgement.belong():
        judgement.step(Trigger.PROGRESS, "the agent answers")


def turn_stopped(judgement: Judgement, event: events.TurnStopped) -> None:
    """The answer is finished, or pauses while something runs in the background."""
    if not judgement.belong():
        amend_end(judgement, event)
    elif event.background:
        _paused(judgement, event)
    else:
        judgement.say(Actor.AGENT, Intent.COMPLETION, event.text)
        judgement.step(Trigger.COMPLETION, "the agent finished its answer")


def _paused(judgement: Judgement, event: events.TurnStopped) -> None:
    running = f"still runs in the background: {', '.join(event.background)}"
    judgement.say(Actor.AGENT, Intent.PROGRESS, event.text)
    judgement.close_worker("", "stopped")
    judgement.settle(IDLE)
    judgement.now = replace(judgement.now, background=event.background)
    if not judgement.now.waits:
        judgement.step(Trigger.ANSWER, running)
    judgement.step(Trigger.PAUSE, running)
    judgement.reason = running


def turn_failed(judgement: Judgement, event: events.TurnFailed) -> None:
    """The answer ended in an error of the model's service."""
    if not judgement.belong():
        amend_end(judgement, event)
        return
    judgement.say(Actor.AGENT, Intent.COMPLETION, event.text)
    judgement.step(Trigger.FAILURE, f"the model's service failed: {event.error or 'unknown'}")


def amend_end(judgement: Judgement, event: events.TurnStopped | events.TurnFailed) -> None:
    """Let a late stop say how its command ended, where that had only been concluded from something else."""
    past = judgement.now.past.get(event.origin.prompt_id)
    judgement.settle_session("over")
    if past is None or not past.weak:
        return
    failed = isinstance(event, events.TurnFailed)
    outcome = Outcome.FAILED if failed else Outcome.COMPLETED
    judgement.end_past(outcome, "its stop arrived after its end")
    judgement.say_past(Actor.AGENT, Intent.COMPLETION, event.text)


def turn_interrupted(judgement: Judgement, event: events.TurnInterrupted) -> None:
    """A person stopped the answer."""
    if judgement.is_current():
        judgement.step(Trigger.INTERRUPT, "a person interrupted it")


def compaction_started(judgement: Judgement, event: events.CompactionStarted) -> None:
    """The conversation is being shortened."""
    if event.by_person and not judgement.is_past() and not judgement.now.background:
        # A person can only compact while the agent itself does nothing: what is still open, and no pause, was left by
        # an interrupt that no hook told.
        judgement.step(Trigger.INTERRUPT, "a person compacted the conversation: nothing was running any more")
