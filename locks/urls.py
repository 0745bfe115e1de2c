"""The addresses of the lock monitor."""

from django.urls import path

from locks.views import LocksPage, LocksView

app_name = "locks"
urlpatterns = [
    path("api/advisory-locks", LocksView.as_view(), name="api"),
    path("locks/", LocksPage.as_view(), name="page"),
]
