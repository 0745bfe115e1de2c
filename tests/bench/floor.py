"""The floor: a view of ours that does nothing, behind the same door, framework and server as hooks.

What lies between it and the limit is the price of HTTP, Django and DRF alone, which no hook can go below.
``gunicorn --config python:headspace.web tests.bench.floor:application``.
"""

from django.conf import settings
from django.http import HttpResponse
from django.urls import path
from rest_framework.request import Request

from headspace.wsgi import application

from agents.views import HostView  # isort: skip - Django is set up by the import before

__all__ = ["application", "urlpatterns"]


class Nothing(HostView):
    """Takes a body and a token's text, and answers as a hook without an opinion is answered."""

    def post(self, request: Request) -> HttpResponse:
        request._request.body  # noqa: B018 - it is read, as every hook's is
        response = HttpResponse(status=204, headers={"X-Headspace-Outcome": "nothing"})
        del response.headers["Content-Type"]
        return response


settings.ROOT_URLCONF = __name__
urlpatterns = [path("hooks/claude-code", Nothing.as_view())]
