"""The measurements as text, in Markdown."""

import os
import platform


def rows(head, cells):
    """Return a table."""
    widths = [max(len(row[i]) for row in [head, *cells]) for i in range(len(head))]
    ruler = [":" + "-" * (width - 1) if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    lines = [
        [cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        for row in [head, *cells]
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], ruler, *lines[1:]])


def machine(postgres):
    return (
        f"{os.cpu_count()} cores, shared by server, PostgreSQL and load; Python {platform.python_version()}, "
        f"PostgreSQL {postgres}, fsync on; load average before: {os.getloadavg()[0]:.1f}"
    )


def speed(cases):
    """Hooks per second and milliseconds, medians of the rounds; ratios within one run."""
    head = ["case", "limit/s", "p50", "p99", "function/s", "floor/s", "ours/s", "p50", "p99", "ours / limit"]
    head += ["ours / floor"]
    return rows(head, [_speed_of(case) for case in cases])


def _speed_of(case):
    limit, function, floor, ours = (case.median(side, "rate") for side in ("limit", "functions", "floor", "ours"))
    latencies = [[f"{case.median(side, what):.1f}" for what in ("p50", "p99")] for side in ("limit", "ours")]
    return [
        case.name,
        f"{limit:.0f}",
        *latencies[0],
        f"{function:.0f}",
        f"{floor:.0f}",
        f"{ours:.0f}",
        *latencies[1],
        f"{ours / limit:.2f}",
        f"{ours / floor:.2f}",
    ]


def answers(cases):
    """How our hooks were answered, and who else used the machine: the load itself, and programs that are not ours."""
    head = ["case", "applied", "pending", "other", "inbox empty after", "applied/s", "load's cores", "others' cores"]
    return rows(head, [_answers_of(case) for case in cases])


def _answers_of(case):
    outcomes = case.outcomes()
    whole = outcomes.total()
    shares = [outcomes["applied"] / whole, outcomes["pending"] / whole]
    return [
        case.name,
        *(f"{share:.1%}" for share in [*shares, 1 - sum(shares)]),
        f"{case.drained_within:.1f} s",
        f"{case.applied_rate():.0f}",
        f"{case.median('ours', 'client_cpu'):.2f}",
        f"{max(case.others):.2f}",
    ]


def costs(costs):
    """What each kind of hook sends to the server, counted."""
    head = ["hook", "statements", "flushes", "commits"]
    return rows(head, [[name, *(str(cost[what]) for what in head[1:])] for name, cost in costs.items()])


def costs_of_a_hook(sides):
    """Processor time of PostgreSQL (and our processes), bytes of its log, and fsyncs, per hook."""
    head = ["side", "processor ms", "log bytes", "fsyncs"]
    return rows(head, [_cost_of(name, seen) for name, seen in sides.items()])


def _cost_of(name, seen):
    processor, size, fsyncs = (seen[what] / seen["hooks"] for what in ("processor", "bytes", "fsyncs"))
    return [name, f"{1000 * processor:.2f}", f"{size:.0f}", f"{fsyncs:.2f}"]


def memory(programs):
    """MB of each program after the load."""
    head = ["program", "processes", "PSS MB", "RSS MB"]
    cells = [[name, str(row["processes"]), f"{row['pss']:.0f}", f"{row['rss']:.0f}"] for name, row in programs.items()]
    return rows(head, cells)
