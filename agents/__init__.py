"""Coding agents: their hooks in, one true state per agent, and what operators may do."""
