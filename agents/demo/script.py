"""What one simulated agent does: a seeded, endless sequence of steps. Pure: the same seed tells the same story."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from agents.demo.payloads import Payload, Voice
from agents.demo.words import (
    ANSWERS,
    COMMANDS,
    EDITS,
    ERRORS,
    FAILURES,
    MODELS,
    PROJECTS,
    PROMPTS,
    QUESTIONS,
    SEARCHES,
)


@dataclass(frozen=True, slots=True)
class Step:
    """One hook of the story."""

    wait: float
    """Seconds before it, at normal speed."""
    payload: Payload
    headers: dict[str, str] = field(default_factory=dict)
    is_lost: bool = False
    """It never reaches the server."""


Story = Iterator[Step]


def story(seed: int, number: int, run: str = "") -> Story:
    """Tell the endless life of the fleet's agent ``number``: a start, then one instruction after the other.

    ``run`` changes the ids alone.
    """
    random = Random(f"{seed}:{number}")  # noqa: S311 - a story, not a secret
    ids = Random(f"{run}:{seed}:{number}")  # noqa: S311
    voice = Voice(random, ids, PROJECTS[number % len(PROJECTS)], random.choice(MODELS))
    yield Step(5 if _is_nested(number) else random.uniform(0, 3), voice.start("startup"), _process(number))
    while True:
        yield from _instruction(voice, number)
        yield from _afterwards(voice, number)


def farewell(payload: Payload) -> Payload:
    """Return the end of the conversation that ``payload`` belongs to."""
    random = Random(0)  # noqa: S311
    voice = Voice(random, random, payload["cwd"], "", payload["session_id"], payload.get("prompt_id", ""))
    return voice.end("prompt_input_exit")


def _process(number: int) -> dict[str, str]:
    """Return the headers of a process of its own; a nested agent's has the one before it above."""
    headers = {"X-Headspace-Process": f"{90_000 + number} {1_000 + number} demo"}
    if _is_nested(number):
        headers["X-Headspace-Ancestors"] = str(90_000 + number - 1)
    return headers


def _is_nested(number: int) -> bool:
    return number % 12 == 11


def _instruction(voice: Voice, number: int) -> Story:
    random = voice.random
    # One agent's prompts get lost now and then: the page has to doubt what it shows then.
    is_lost = number % 12 == 6 and random.random() < 0.5
    yield Step(random.uniform(2, 20), voice.prompt(random.choice(PROMPTS)), is_lost=is_lost)
    for _ in range(random.randint(2, 7)):
        yield from random.choices(list(_DOINGS), weights=list(_DOINGS.values()))[0](voice)
    yield from _ending(voice, number)


def _ending(voice: Voice, number: int) -> Story:
    random = voice.random
    if number % 7 == 5 and random.random() < 0.5:
        kind, text = random.choice(ERRORS)
        yield Step(random.uniform(1, 3), voice.api_error(kind, text))
        return
    yield Step(random.uniform(1, 5), voice.stop(random.choice(ANSWERS)))


def _afterwards(voice: Voice, number: int) -> Story:
    """Sometimes clear the conversation, otherwise think about the next instruction."""
    random = voice.random
    if random.random() < 0.1:
        voice.prompt_id = voice.new_id()  # the command itself has one, which both sides of it name
        yield Step(random.uniform(4, 9), voice.end("clear"))
        yield Step(0.2, voice.start("clear"), _process(number))


# -- what agents do -----------------------------------------------------------


def _look_around(voice: Voice) -> Story:
    given = {"pattern": voice.random.choice(SEARCHES), "path": voice.cwd}
    yield from _call(voice, "Grep", given, {"numFiles": voice.random.randint(0, 40), "mode": "files_with_matches"})


def _run(voice: Voice) -> Story:
    command, output = voice.random.choice(COMMANDS)
    yield from _call(voice, "Bash", {"command": command}, {"stdout": output, "stderr": "", "interrupted": False})


def _edit(voice: Voice) -> Story:
    file, old, new = voice.random.choice(EDITS)
    given = {"file_path": f"{voice.cwd}/{file}", "old_string": old, "new_string": new}
    yield from _call(voice, "Edit", given, {"filePath": given["file_path"], "oldString": old, "newString": new})


def _call(voice: Voice, name: str, given: Payload, response: Payload) -> Story:
    random = voice.random
    use_id, request = voice.tool(name, given)
    yield Step(random.uniform(0.3, 2), request)
    yield Step(random.uniform(0.2, 4), voice.finished(name, given, use_id, response))
    yield Step(0.05, voice.settled(use_id))


def _fail(voice: Voice) -> Story:
    command, error = voice.random.choice(FAILURES)
    use_id, request = voice.tool("Bash", {"command": command})
    yield Step(voice.random.uniform(0.3, 2), request)
    yield Step(voice.random.uniform(0.5, 5), voice.failed("Bash", {"command": command}, use_id, error))
    yield Step(0.05, voice.settled(use_id))


def _in_parallel(voice: Voice) -> Story:
    calls = []
    for file, _, _ in voice.random.sample(EDITS, 2):
        given = {"file_path": f"{voice.cwd}/{file}"}
        use_id, request = voice.tool("Read", given)
        calls.append((use_id, given))
        yield Step(0.02, request)
    for use_id, given in reversed(calls):
        yield Step(voice.random.uniform(0.1, 0.4), voice.finished("Read", given, use_id, {"type": "text"}))
    yield Step(0.05, voice.settled(*(use_id for use_id, _ in calls)))


def _ask_permission(voice: Voice) -> Story:
    """Ask a person, wait for them, and go on; now and then they press Escape and nothing more is heard of the call."""
    random = voice.random
    command, output = random.choice(COMMANDS)
    use_id, request = voice.tool("Bash", {"command": command})
    yield Step(random.uniform(0.3, 2), request)
    yield Step(0.04, voice.permission("Bash", {"command": command}))
    patience = random.uniform(6, 45)
    if random.random() < 0.2:
        yield Step(patience, voice.prompt(random.choice(PROMPTS)))
        return
    yield Step(patience, voice.finished("Bash", {"command": command}, use_id, {"stdout": output, "stderr": ""}))
    yield Step(0.05, voice.settled(use_id))


def _ask_question(voice: Voice) -> Story:
    question, options = voice.random.choice(QUESTIONS)
    given = {
        "questions": [{"question": question, "header": "Choice", "options": [{"label": text} for text in options]}]
    }
    use_id, request = voice.tool("AskUserQuestion", given)
    yield Step(voice.random.uniform(0.5, 2), request)
    answer = {"questions": given["questions"], "answers": {question: options[0]}}
    yield Step(voice.random.uniform(8, 60), voice.finished("AskUserQuestion", given, use_id, answer))
    yield Step(0.05, voice.settled(use_id))


def _delegate(voice: Voice) -> Story:
    """Start a subagent in the background, stop while it works, and go on when it reports."""
    random = voice.random
    agent_id = f"a{voice.ids.getrandbits(60):015x}"
    given = {"description": "Look through the tests", "prompt": "Find flaky tests.", "subagent_type": "Explore"}
    use_id, request = voice.tool("Agent", given)
    yield Step(random.uniform(0.5, 2), request)
    yield Step(0.05, voice.subagent(voice.shaped("SubagentStart"), agent_id, "Explore"))
    launched = {"isAsync": True, "status": "async_launched", "agentId": agent_id}
    yield Step(0.05, voice.finished("Agent", given, use_id, launched))
    task = {"id": agent_id, "type": "subagent", "status": "running", "description": given["description"]}
    yield Step(0.5, voice.stop("A subagent looks through the tests.", [task]))
    for step in _look_around(voice):
        yield Step(step.wait, voice.subagent(step.payload, agent_id, "Explore"))
    yield Step(random.uniform(3, 12), voice.subagent(voice.shaped("SubagentStop"), agent_id, "Explore"))
    yield Step(0.1, voice.prompt("<task-notification>The subagent has finished.</task-notification>"))


_DOINGS: dict[Callable[[Voice], Story], int] = {
    _look_around: 12,
    _run: 12,
    _edit: 12,
    _fail: 3,
    _in_parallel: 6,
    _ask_permission: 3,
    _ask_question: 1,
    _delegate: 2,
}
"""What an agent may do next → how often."""
