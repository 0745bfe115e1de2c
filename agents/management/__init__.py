"""Headspace's commands for agents."""
