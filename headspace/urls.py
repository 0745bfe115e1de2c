"""Where each address leads."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", include("agents.urls")),  # hooks first: they come most often
    path("", include("locks.urls")),
    path("admin/", admin.site.urls),
    path("favicon.ico", RedirectView.as_view(url="/static/agents/headspace.svg")),
]

handler400 = "agents.refusals.bad_request"
handler404 = "agents.refusals.not_found"
handler500 = "agents.refusals.server_error"
