"""A coding agent's side: the payloads that a client sends, and the door through which it sends them."""

import json
from dataclasses import dataclass

from django.test import Client

RECORD, LOOK = "SELECT agents_record(", "SELECT agents_look("
"""How the two statements of the hook path begin."""


@dataclass(frozen=True)
class Answer:
    """What the client hears."""

    status: int
    outcome: str
    body: bytes = b""

    @property
    def denies(self):
        return b'"deny"' in self.body

    @property
    def is_good(self):
        return self.status in (200, 202, 204)


def through_the_view(path, body, headers):
    """Send it to the view, with all of the middleware, in this thread and on its connection."""
    client = Client(raise_request_exception=False)
    response = client.post(path, data=body, content_type="application/json", headers=headers)
    return Answer(response.status_code, response.headers.get("X-Headspace-Outcome", ""), response.content)


@dataclass(frozen=True)
class Session:
    """One conversation of a coding agent on a host."""

    token: str
    session: str = "s1"
    prompt_id: str = "p1"
    send: object = through_the_view
    headers: tuple = ()
    vendor: str = "claude-code"

    def tell(self, name, key="", sequence=None, **fields):
        """Send one hook and return its answer."""
        headers = {"Authorization": f"Bearer {self.token}", **dict(self.headers)}
        headers |= {"Idempotency-Key": key} if key else {}
        headers |= {"X-Headspace-Sequence": str(sequence)} if sequence is not None else {}
        return self.send(f"/hooks/{self.vendor}", json.dumps(self.payload(name, **fields)), headers)

    def payload(self, name, **fields):
        base = {
            "session_id": self.session,
            "transcript_path": f"/home/dev/.claude/projects/-home-dev/{self.session}.jsonl",
            "cwd": "/home/dev/project",
            "hook_event_name": name,
        }
        named = {} if name == "SessionStart" else {"prompt_id": self.prompt_id}
        return {**base, **named, **fields}

    def start(self, source="startup", **more):
        return self.tell("SessionStart", source=source, **more)

    def end(self, reason="other", **more):
        return self.tell("SessionEnd", reason=reason, **more)

    def prompt(self, text="Do it.", **more):
        return self.tell("UserPromptSubmit", prompt=text, **more)

    def pre(self, use_id, tool="Bash", **more):
        return self.tell("PreToolUse", tool_name=tool, tool_use_id=use_id, tool_input=_input(use_id, tool), **more)

    def post(self, use_id, tool="Bash", **more):
        fields = {"tool_input": _input(use_id, tool), "tool_response": {"stdout": ""}}
        return self.tell("PostToolUse", tool_name=tool, tool_use_id=use_id, **fields, **more)

    def ask(self, use_id, **more):
        """Ask the person a question: a tool of its own."""
        return self.pre(use_id, "AskUserQuestion", **more)

    def permission(self, use_id, tool="Bash", **more):
        """Ask the person for a permission; the client does not say for which call."""
        return self.tell("PermissionRequest", tool_name=tool, tool_input=_input(use_id, tool), **more)

    def notice(self, kind="permission_prompt", **more):
        return self.tell("Notification", notification_type=kind, message="Claude needs your permission", **more)

    def stop(self, text="Done.", **more):
        fields = {"stop_hook_active": False, "background_tasks": [], "session_crons": []}
        return self.tell("Stop", last_assistant_message=text, **fields, **more)


def _input(use_id, tool):
    if tool == "AskUserQuestion":
        return {"questions": [{"question": f"Red or blue? ({use_id})", "options": []}]}
    return {"command": f"echo {use_id}", "description": "Say it"}
