"""The admin: everything can be looked up, nothing can be changed or deleted.

Rows change where hooks, cycles and operators' actions change them; a host's token is given by ``manage.py hosts``.
"""

from django.contrib import admin

from agents.admin import agents, history, places

__all__ = ["agents", "history", "places"]

admin.site.site_header = "Headspace"
admin.site.site_title = "Headspace"
admin.site.index_title = "What is known"
