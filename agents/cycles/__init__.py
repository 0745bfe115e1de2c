"""Recurring work: a pass is a function ``run_once(now) -> Report``; the loop is somebody else's."""
