"""What holds of the rules for any events on any situation that events can lead to."""

from copy import deepcopy
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from agents import events
from agents.events import Asking, Event, Origin, Process, Speaker, Start, Tool
from agents.gate import gate
from agents.situations import Situation
from agents.states import CommandState, Mode, Outcome, Presence
from agents.transitions import transition
from tests.agents.play import Play, pre, prompt, start, stop

IDS = st.sampled_from(["", "a", "b", "c"])
TEXTS = st.sampled_from(["", "Well."])
PROCESSES = st.sampled_from([None, Process(7, "100", "here"), Process(8, "200", "here")])
ORIGINS = st.builds(
    Origin,
    vendor=st.just("claude-code"),
    session_id=st.sampled_from(["s1", "s1", "s1", "s2"]),
    prompt_id=st.sampled_from(["", "p1", "p2", "p3"]),
    subagent_id=st.sampled_from(["", "", "", "x", "y"]),
    process=PROCESSES,
)
TOOLS = st.builds(
    Tool,
    name=st.sampled_from(["Bash", "Ask"]),
    use_id=IDS,
    digest=st.sampled_from(["", "d1", "d2"]),
    writes=st.booleans(),
    asking=st.sampled_from([None, None, *Asking]),
)
FIELDS = {
    events.SessionStarted: {"start": st.sampled_from(Start)},
    events.SessionEnded: {"reason": st.sampled_from(["other", "clear"]), "continues": st.booleans()},
    events.PromptSubmitted: {"text": TEXTS, "speaker": st.sampled_from(Speaker)},
    events.ToolRequested: {"tool": TOOLS, "text": TEXTS},
    events.ToolFinished: {"tool": TOOLS, "failed": st.booleans(), "interrupted": st.booleans()},
    events.ToolsSettled: {"use_ids": st.lists(IDS, max_size=3).map(tuple)},
    events.PermissionRequested: {"tool": TOOLS, "text": TEXTS},
    events.PermissionDenied: {"tool": TOOLS},
    events.AttentionWanted: {"asking": st.sampled_from([None, *Asking]), "text": TEXTS},
    events.TextShown: {"text": TEXTS},
    events.TurnStopped: {"text": TEXTS, "background": st.sampled_from([(), (), ("a build",)])},
    events.TurnFailed: {"error": TEXTS, "text": TEXTS},
    events.TurnInterrupted: {},
    events.SubagentStarted: {},
    events.SubagentStopped: {},
    events.CompactionStarted: {"by_person": st.booleans()},
    events.DirectoryChanged: {},
    events.ModelChanged: {},
    events.Noted: {},
    events.Unknown: {},
}
EVENTS = st.one_of([st.builds(kind, origin=ORIGINS, **fields) for kind, fields in FIELDS.items()])
LIVELY = st.one_of([EVENTS] * 3 + [st.just(event) for event in (start(), prompt("p1"), prompt("p2"), pre("a"), stop())])
JUDGED = st.one_of([LIVELY] * 12 + [st.sampled_from(["lost", "unheard"])])
LIVES = st.lists(JUDGED, max_size=14)
"""What befalls an agent: events, and now and then a judgement of the reaper's."""

CONTINUING = (Start.RESUME, Start.CLEAR, Start.FORK)
OPENING = (events.SessionStarted, events.SessionEnded, events.PromptSubmitted)


def befall(story, judged):
    return {"lost": story.lose, "unheard": story.miss}[judged]() if isinstance(judged, str) else story.tell(judged)


def lived(life, mode=Mode.RUN):
    story = Play(Situation(mode=mode, session_id="s1"))
    for judged in life:
        befall(story, judged)
    return story


def test_every_kind_of_event_is_drawn():
    kinds = {kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)}
    assert set(FIELDS) == kinds - {Event}


@given(LIVES, EVENTS, st.sampled_from(Mode))
@settings(max_examples=400, deadline=None)
def test_any_event_is_judged_on_any_situation_and_keeps_what_the_rows_forbid(life, event, mode):
    story = lived(life, mode).tell(event)  # the player holds: one open command, complete is terminal, waits in it
    assert story.situation.mode is mode


@given(LIVES)
@settings(max_examples=300, deadline=None)
def test_an_agent_awaits_input_exactly_while_somebody_is_asked(life):
    story = Play(Situation(session_id="s1"))
    for judged in life:
        befall(story, judged)
        assert (story.state is CommandState.AWAITING_INPUT) is bool(story.open_waits)


@given(LIVES)
@settings(max_examples=300, deadline=None)
def test_what_is_over_stays_over(life):
    story = Play(Situation(session_id="s1"))
    over = {}
    for judged in life:
        befall(story, judged)
        closed = {row.id: row for row in story.commands if row.state is CommandState.COMPLETE}
        assert set(over) <= set(closed)
        over = closed


@given(LIVES)
@settings(max_examples=300, deadline=None)
def test_only_a_session_that_goes_on_brings_an_ended_agent_back(life):
    story = Play(Situation(session_id="s1"))
    for judged in life:
        ended = story.presence is Presence.ENDED
        befall(story, judged)
        if ended and story.presence is not Presence.ENDED:
            assert isinstance(judged, events.SessionStarted) and judged.start in CONTINUING
            assert story.situation.generation > 1


@given(LIVES)
@settings(max_examples=150, deadline=None)
def test_a_generation_rises_when_an_ended_agent_comes_back_or_another_process_goes_on(life):
    story = Play(Situation(session_id="s1"))
    for judged in life:
        before = story.situation
        befall(story, judged)
        after = story.situation
        came_back = before.presence is Presence.ENDED and after.presence is not Presence.ENDED
        replaced = before.process is not None and after.process != before.process
        assert after.generation == before.generation + (came_back or replaced)


@given(LIVES, EVENTS, st.sampled_from(Mode))
@settings(max_examples=150, deadline=None)
def test_the_decision_rests_on_the_mode_and_the_event_alone(life, event, mode):
    assert lived(life, mode).tell(event).decisions[-1] == gate(mode, event)


@given(LIVES, EVENTS)
@settings(max_examples=150, deadline=None)
def test_a_judgement_is_pure(life, event):
    situation = lived(life).situation
    kept = deepcopy(situation)
    first = transition(situation, event)
    judged = deepcopy(first)
    assert transition(situation, event) == judged == first
    assert situation == kept


@given(LIVES, EVENTS)
@settings(max_examples=150, deadline=None)
def test_what_the_rows_do_not_keep_is_not_judged_on(life, event):
    situation = lived(life).situation
    waits = tuple(replace(wait, text="forgotten") for wait in situation.waits)
    command = situation.command and replace(situation.command, prompt="forgotten")
    other = transition(replace(situation, waits=waits, command=command), event)
    mine = transition(situation, event)
    assert (other.moves, other.late, other.decision) == (mine.moves, mine.late, mine.decision)
    assert [change.outcome for change in other.commands] == [change.outcome for change in mine.commands]


@given(LIVES, EVENTS)
@settings(max_examples=400, deadline=None)
def test_a_late_event_moves_nothing_of_the_present(life, event):
    story = lived(life)
    before, commands = story.situation, len(story.commands)
    story.tell(event)
    if story.late[-1:] == [event] and story.last.late:
        after = story.situation
        assert (after.presence, after.generation, after.session_id) == (
            before.presence,
            before.generation,
            before.session_id,
        )
        assert (after.command, after.waits, len(story.commands)) == (before.command, before.waits, commands)


@given(LIVES, EVENTS.filter(lambda event: event.origin.subagent_id and not isinstance(event, OPENING)))
@settings(max_examples=300, deadline=None)
def test_what_a_subagent_does_opens_and_closes_no_command(life, event):
    story = lived(life)
    before = [(row.id, row.outcome) for row in story.commands]
    story.tell(event)
    assert [(row.id, row.outcome) for row in story.commands] == before


@given(LIVES, st.builds(events.Unknown, origin=ORIGINS))
@settings(max_examples=300, deadline=None)
def test_an_unknown_event_changes_nothing_but_that_the_agent_was_heard(life, event):
    story = lived(life)
    before = story.situation
    after = story.tell(event).situation
    heard = replace(before, presence=Presence.ALIVE) if before.presence is Presence.UNKNOWN else before
    assert after in (before, heard, replace(heard, process=after.process))


@given(LIVES)
@settings(max_examples=300, deadline=None)
def test_an_end_is_claimed_only_on_its_own_witness(life):
    story = lived(life)
    witnesses = {Outcome.COMPLETED: events.TurnStopped, Outcome.FAILED: events.TurnFailed}
    told = [judged for judged in life if not isinstance(judged, str)]
    for row in story.commands:
        if row.outcome in witnesses:
            assert any(isinstance(event, witnesses[row.outcome]) for event in told)
        assert row.outcome is None or row.reason


@given(LIVES)
@settings(max_examples=150, deadline=None)
def test_a_move_leads_elsewhere_and_says_why(life):
    story = lived(life)
    for move in story.moves:
        assert (move.before == move.after) is (move.trigger == "gap") and move.reason
        assert move.before != CommandState.COMPLETE


def test_what_is_kept_of_the_past_is_bounded():
    story = Play().tell(start())
    for count in range(150):
        story.tell(prompt(f"p{count}"), pre(f"a{count}", prompt=f"p{count}"), stop(prompt=f"p{count}"))
    assert len(story.situation.past) < 100


def test_what_is_kept_of_one_command_is_bounded():
    story = Play().tell(start(), prompt())
    for count in range(500):
        story.tell(pre(f"a{count}"), events.ToolsSettled(Origin("v", "s1", prompt_id="p1"), use_ids=(f"a{count}",)))
    assert len(story.situation.settled) < 400 and story.situation.tools == {}
