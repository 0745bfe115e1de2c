"""The login of the pages, as every API takes it. The settings name it, and the framework's views import it."""

from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request


class LoginAuthentication(SessionAuthentication):
    """The login of the pages; whoever has none is told 401, and not 403 as if logging in could not help."""

    def authenticate_header(self, request: Request) -> str:
        """Return the scheme that is named to those who are not logged in; one that makes no browser ask."""
        return 'Session realm="headspace"'
