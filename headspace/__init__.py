"""Headspace, a control plane for fleets of coding agents: settings, urls and the processes."""
