"""One translator per vendor; past this package nobody speaks a vendor's language."""

from agents.adapters.base import Adapter
from agents.adapters.claude_code import ClaudeCode
from agents.adapters.codex import Codex

ADAPTERS: dict[str, Adapter] = {adapter.vendor: adapter for adapter in (ClaudeCode(), Codex())}
"""Vendor's name in a hook's address → its adapter."""
