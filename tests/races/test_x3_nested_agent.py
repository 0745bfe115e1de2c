"""X3: an agent that another one started is an agent of its own, linked as its child, and its end is not its parent's.

It works in the same pane, with the same environment, in the same directory: only its session is another one, and its
process stands below its parent's.
"""

from contextlib import ExitStack
from dataclasses import replace

import pytest

from agents import adoption
from agents.models import Agent
from tests.races.hooks import Session
from tests.races.meeting import Actor, Point, gather, passing
from tests.races.mutants import replaced
from tests.races.truths import agent_of, broken, ends

PANE = ("X-Headspace-Pane", "/tmp/tmux-0/default %3")
NAMING = 'INSERT INTO "agents_agentsession"'


def process(pid, *ancestors, place="boot/1"):
    above = [("X-Headspace-Ancestors", ",".join(map(str, ancestors)))] if ancestors else []
    return [("X-Headspace-Process", f"{pid} {pid * 11} {place}"), *above]


BY = {"ancestors": (process(100, 1), process(200, 150, 100, 1)), "pane": ([PANE], [PANE])}
"""How a child is known, where its parent runs with the first headers and it with the second."""


@pytest.fixture(params=BY, ids=str)
def family(request, host, apart):
    """Return a parent that is at work, and its child that was not heard yet."""
    of_parent, of_child = (tuple(headers) for headers in BY[request.param])
    parent = Session(host.token, "parent", headers=of_parent)
    parent.start()
    parent.prompt()
    parent.pre("t1")
    return parent, Session(host.token, "child", prompt_id="c1", headers=of_child)


def what_broke(parent, child, source="startup"):
    """Let the child live and end while the parent works; return what is wrong then."""
    child.start(source)
    child.prompt("Help me.")
    child.stop()
    parent.pre("t2")
    child.end()
    found = broken()
    of_parent, of_child = agent_of("parent"), agent_of("child")
    if of_parent == of_child:
        return [*found, f"they are one agent, and it is {of_parent.presence}"]
    if of_child.parent != of_parent:
        found.append("the child has no parent")
    found += [] if of_child.presence == "ended" else ["the child lives on"]
    found += [] if of_parent.presence == "alive" else ["the parent has ended"]
    return found if ends(of_parent) == [("p1", "processing", "")] else [*found, f"the parent's: {ends(of_parent)}"]


@pytest.mark.parametrize("source", ["startup", "resume", "fork", "clear"])
def test_the_child_is_its_own_agent_and_its_end_is_its_own(family, source):
    assert what_broke(*family, source) == []


def test_the_parents_end_is_not_the_childs(family):
    parent, child = family
    child.start()
    child.prompt("Help me.")
    parent.end()
    assert agent_of("child").presence == "alive"
    assert ends(agent_of("child")) == [("c1", "commanded", "")]
    assert agent_of("child").parent == agent_of("parent")


def test_two_children_that_come_at_once_have_the_same_parent(family):
    _, child = family
    twins = [replace(child, session=name) for name in ("child", "other child")]
    gather(NAMING, [twin.start for twin in twins])
    assert [agent_of(twin.session).parent for twin in twins] == [agent_of("parent")] * 2
    assert Agent.objects.count() == 3
    assert broken() == []


def test_a_child_that_comes_while_its_parent_ends_is_no_error(family):
    parent, child = family
    linked = Point(NAMING)
    birth = Actor(passing(linked, child.start))
    linked.wait()
    assert parent.end().outcome == "applied"
    linked.release()
    assert birth.answer().outcome == "applied"
    assert agent_of("child").presence == "alive"
    assert agent_of("parent").presence == "ended"


def test_the_child_of_a_child_is_the_nearest_ones(host):
    for name, headers in {"one": process(100, 1), "two": process(200, 100, 1), "three": process(300, 200, 100)}.items():
        Session(host.token, name, headers=tuple(headers)).start()
    assert agent_of("three").parent == agent_of("two")
    assert agent_of("two").parent == agent_of("one")


def test_a_process_of_the_same_number_in_another_table_is_nobodys_parent(host):
    Session(host.token, "one", headers=tuple(process(100, 1))).start()
    Session(host.token, "two", headers=tuple(process(200, 100, 1, place="boot/2"))).start()
    assert agent_of("two").parent is None


def by_pane_or_ancestors(origin, host_id):
    return Agent.objects.exclude(session_id=origin.session_id).get(host=host_id)


MUTANTS = [
    ("_parent", lambda origin, host_id: None, "startup", "the child has no parent"),
    # A place that were taken for the conversation's own: the child moves in with its parent, and takes it along.
    ("_predecessor", by_pane_or_ancestors, "resume", "they are one agent, and it is ended"),
]


@pytest.mark.parametrize(("name", "mutant", "source", "seen"), MUTANTS, ids=[case[0] for case in MUTANTS])
def test_mutant_without_its_place_in_the_family(family, name, mutant, source, seen):
    with ExitStack() as off:
        off.enter_context(replaced(adoption, name, mutant))
        found = what_broke(*family, source)
    assert any(seen in sentence for sentence in found), found
