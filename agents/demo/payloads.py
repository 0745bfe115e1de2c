"""Hook payloads as Claude Code writes them, for the simulated fleet."""

from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID

Payload = dict[str, Any]


@dataclass(slots=True)
class Voice:
    """One simulated client: it knows its session and its prompt, and shapes payloads accordingly."""

    random: Random
    """What it does."""
    ids: Random
    """What its ids are: of their own, so that the same story can be played again as another one."""
    cwd: str
    model: str
    session_id: str = ""
    prompt_id: str = ""
    mode: str = "default"

    def new_id(self) -> str:
        """Return a fresh uuid of the seeded sequence."""
        return str(UUID(int=self.ids.getrandbits(128), version=4))

    def shaped(self, name: str, **own: Any) -> Payload:
        """Return a payload with the fields that all have."""
        base = {
            "session_id": self.session_id,
            "transcript_path": f"/home/dev/.claude/projects/{self.cwd.replace('/', '-')}/{self.session_id}.jsonl",
            "cwd": self.cwd,
            "hook_event_name": name,
        }
        prompt = {"prompt_id": self.prompt_id} if self.prompt_id else {}
        return {**base, **prompt, **own}

    def start(self, source: str) -> Payload:
        """Begin a conversation."""
        if source != "compact":
            self.session_id = self.new_id()
        return self.shaped("SessionStart", source=source, model=self.model)

    def prompt(self, text: str) -> Payload:
        """Say something to the agent."""
        self.prompt_id = self.new_id()
        return self.shaped("UserPromptSubmit", prompt=text, permission_mode=self.mode)

    def tool(self, name: str, given: Payload) -> tuple[str, Payload]:
        """Request a call; return its id and the payload."""
        use_id = f"toolu_{self.ids.getrandbits(96):024x}"
        return use_id, self.shaped(
            "PreToolUse", tool_name=name, tool_input=given, tool_use_id=use_id, permission_mode=self.mode
        )

    def finished(self, name: str, given: Payload, use_id: str, response: Any) -> Payload:
        """Bring a call back."""
        return self.shaped(
            "PostToolUse",
            tool_name=name,
            tool_input=given,
            tool_use_id=use_id,
            tool_response=response,
            duration_ms=self.random.randint(8, 4000),
        )

    def failed(self, name: str, given: Payload, use_id: str, error: str) -> Payload:
        """Bring a call back with an error."""
        return self.shaped("PostToolUseFailure", tool_name=name, tool_input=given, tool_use_id=use_id, error=error)

    def settled(self, *use_ids: str) -> Payload:
        """End a batch of calls."""
        return self.shaped("PostToolBatch", tool_calls=[{"tool_name": "", "tool_use_id": use_id} for use_id in use_ids])

    def permission(self, name: str, given: Payload) -> Payload:
        """Ask a person about a call."""
        return self.shaped("PermissionRequest", tool_name=name, tool_input=given, permission_mode=self.mode)

    def stop(self, text: str, background: list[Payload] | None = None) -> Payload:
        """Finish the answer."""
        return self.shaped(
            "Stop",
            stop_hook_active=False,
            last_assistant_message=text,
            background_tasks=background or [],
            session_crons=[],
        )

    def api_error(self, kind: str, text: str) -> Payload:
        """End the answer in an error of the model's service."""
        return self.shaped("StopFailure", error=kind, last_assistant_message=text)

    def subagent(self, payload: Payload, agent_id: str, agent_type: str) -> Payload:
        """Let a payload come from inside a subagent."""
        return {**payload, "agent_id": agent_id, "agent_type": agent_type}

    def end(self, reason: str) -> Payload:
        """End the conversation."""
        return self.shaped("SessionEnd", reason=reason)
