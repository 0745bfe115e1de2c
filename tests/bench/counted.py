"""Counts what each kind of hook costs and writes it as JSON: ``python -m tests.bench.counted``, a process of its own.

With it goes a plan as the database is sent it for an ordinary hook of an agent that has worked for a while, for
whoever wants to write the same.
"""

import json
import sys

from django.db import connection

import headspace.wsgi  # noqa: F401 - sets Django up, for what is imported next
from agents.hosts import add_host
from tests.bench.scenes import SCENES, Teller, cost_of

CALLS = 20


def main():
    _, token = add_host("counted")
    costs = {name: cost_of(name, token) for name in SCENES}
    json.dump({"costs": costs, "plan": plan_of_a_hook(token)}, sys.stdout)


def plan_of_a_hook(token):
    """Return the last argument of the last record of so many calls."""
    plans = []

    def keep(execute, sql, params, many, context):
        plans.extend(params[-1:] if "agents_record" in sql else ())
        return execute(sql, params, many, context)

    teller = Teller(token).work()
    with connection.execute_wrapper(keep):
        for number in range(CALLS):
            teller.tell(teller.call(number))
            teller.tell(teller.end_of_call(number))
    return json.loads(plans[-1])


if __name__ == "__main__":
    main()
