"""Whole sessions as events: the recorded ones, and written ones for what was seen and not recorded."""

import json

from agents.adapters.claude_code import ClaudeCode
from agents.events import Start
from tests.agents.payload_files import ROOT
from tests.agents.play import (
    batch,
    compaction,
    end,
    failure,
    machine,
    noted,
    notice,
    permission,
    post,
    pre,
    prompt,
    question,
    start,
    stop,
    sub_start,
    sub_stop,
    text,
)

FOLDER = ROOT / "claude-code" / "sessions"


def recorded(path):
    payloads = (json.loads(line)["payload"] for line in path.read_text(encoding="utf-8").splitlines())
    return [ClaudeCode().parse(payload) for payload in payloads]


def _call(*use_ids, ask=(), **where):
    """Return parallel calls of one message, some of which a person is asked about."""
    requests = [event for use_id in use_ids for event in (pre(use_id, **where), *_asked(use_id, ask, where))]
    return [*requests, *(post(use_id, **where) for use_id in use_ids), batch(*use_ids, **where)]


def _asked(use_id, ask, where):
    return [permission(use_id, **where)] if use_id in ask else []


RECORDED = {path.stem: recorded(path) for path in sorted(FOLDER.glob("*.jsonl"))}

WRITTEN = {
    "parallel calls, two of them asked about": [
        *(start(), prompt(), *_call("a", "b", "c", ask="ab"), notice(), text(), stop(), end())
    ],
    "a permission refused, headless and in a dialog": [
        *(start(), prompt(), pre("a"), batch("a"), pre("b"), permission("b"), batch("b"), text(), stop(), end())
    ],
    "a question beside a call": [
        *(start(), prompt(), question("q"), permission("q"), pre("a"), post("a"), post("q"), batch("q", "a")),
        *(text(), stop(), notice(None), end()),
    ],
    "a subagent in the background": [
        *(start(), prompt(), pre("A"), sub_start("s"), post("A"), batch("A"), text(), stop(background=["s"])),
        *(*_call("b", sub="s"), sub_stop("s"), machine("p2"), text(prompt="p2"), stop(prompt="p2"), end(prompt="p2")),
    ],
    "a subagent that asks a person": [
        *(start(), prompt(), pre("A"), sub_start("s"), *_call("b", ask="b", sub="s"), sub_stop("s"), post("A")),
        *(batch("A"), stop(), end()),
    ],
    "Esc on a dialog, then another prompt": [
        *(start(), prompt(), pre("a"), permission("a"), notice(), prompt("p2"), *_call("b", prompt="p2")),
        *(text(prompt="p2"), stop(prompt="p2"), end(prompt="p2")),
    ],
    "compacted by the client in the middle": [
        *(start(), prompt(), *_call("a"), compaction(), sub_stop("x"), start(Start.COMPACT), noted(), *_call("b")),
        *(text(), stop(), end()),
    ],
    "an error, then once more, then resumed": [
        *(start(), prompt(), failure(), prompt("p2"), text(prompt="p2"), stop(prompt="p2"), end(prompt="p2")),
        *(start(Start.RESUME), prompt("p3"), stop(prompt="p3"), end(prompt="p3")),
    ],
}

ALL = {**RECORDED, **WRITTEN}
