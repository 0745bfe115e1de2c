"""The doors for hooks, the pages, the API, and what the machinery around asks."""

from django.urls import path, re_path

from agents import api, health, metrics, pages
from agents.adapters.claude_code import ROUTES
from agents.views import HookStatusView, HookView, NoHookView

hooks = [
    path("hooks/<str:vendor>", HookView.as_view(), name="hooks"),
    path("hook/status", HookStatusView.as_view(), name="hook-status"),
    *(path(f"hook/{name}", HookView.as_view(), {"event": name}, name=f"hook-{name}") for name in ROUTES),
    re_path(r"^(?:/)*hooks?(?:/[\s\S]*)?$", NoHookView.as_view()),
]
page_urls = [
    path("", pages.board, name="board"),
    path("agents/<int:agent_id>/", pages.one_agent, name="agent"),
]
api_urls = [
    path("api/agents", api.AgentsView.as_view(), name="api-agents"),
    path("api/agents/<int:agent_id>", api.AgentView.as_view(), name="api-agent"),
    path("api/agents/<int:agent_id>/commands", api.CommandsView.as_view(), name="api-commands"),
    path("api/agents/<int:agent_id>/turns", api.TurnsView.as_view(), name="api-turns"),
    path("api/agents/<int:agent_id>/events", api.EventsView.as_view(), name="api-events"),
    path("api/agents/<int:agent_id>/changes", api.ChangesView.as_view(), name="api-changes"),
]
watching = [
    path("health/live", health.live, name="live"),
    path("health/ready", health.ready, name="ready"),
    path("metrics", metrics.metrics, name="metrics"),
]

urlpatterns = [*hooks, *page_urls, *api_urls, *watching]
