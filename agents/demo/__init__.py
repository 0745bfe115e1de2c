"""A simulated fleet: agents that work, ask, fail and wait, told through the real hook routes."""
