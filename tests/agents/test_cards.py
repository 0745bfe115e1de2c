"""How much an agent needs a person, and what its card says."""

from datetime import timedelta

import pytest
from django.utils import timezone

from agents.ages import spoken
from agents.cards import Need, card_of, counts, grouped, names_of, shortened
from agents.models import Agent
from agents.standing import standing_of, with_standing
from tests.agents.rows import before, make_agent, make_change, make_command, make_ended_agent, make_wait

SILENT_AFTER = timedelta(minutes=5)


def card(agent):
    standing = standing_of(with_standing(Agent.objects.all()).get(pk=agent.pk))
    return card_of(standing, timezone.now(), SILENT_AFTER)


def asked(agent, **fields):
    return make_wait(make_command(agent, "awaiting_input"), **fields)


def ended(agent, outcome, trigger, **fields):
    command = make_command(agent, "complete", outcome=outcome, **fields)
    make_change(agent, command=command, before="processing", after="complete", trigger=trigger, changed_at=before())
    return agent


@pytest.mark.django_db
class TestNeed:
    """One test for each step of the ranking, and for what outranks what."""

    def test_who_asks_waits(self):
        assert card(asked(make_agent()).agent).need is Need.WAITS

    def test_who_asks_waits_however_long_nothing_was_heard(self):
        assert card(asked(make_agent(last_seen_at=before(hours=1))).agent).need is Need.WAITS

    def test_asking_outranks_ambiguity(self):
        assert card(asked(make_agent(ambiguous="two processes")).agent).need is Need.WAITS

    def test_ambiguity_outranks_work(self):
        assert card(make_command(make_agent(ambiguous="two processes")).agent).need is Need.AMBIGUOUS

    @pytest.mark.parametrize("outcome", ["failed", "interrupted"])
    def test_what_went_wrong_lately_is_shown(self, outcome):
        assert card(make_command(make_agent(), "complete", outcome=outcome).agent).need is Need.FAILED

    def test_what_went_wrong_long_ago_is_not(self):
        long_ago = {"started_at": before(hours=3), "completed_at": before(hours=2)}
        agent = make_command(make_agent(started_at=before(hours=4)), "complete", outcome="failed", **long_ago).agent
        assert card(agent).need is Need.IDLE

    def test_a_new_command_makes_up_for_a_failure(self):
        agent = make_agent()
        make_command(agent, "complete", outcome="failed", started_at=before(minutes=30))
        make_command(agent, "processing", started_at=before(minutes=1))
        assert card(agent).need is Need.WORKING

    def test_who_works_and_is_not_heard_is_silent(self):
        assert card(make_command(make_agent(last_seen_at=before(minutes=6))).agent).need is Need.SILENT

    def test_who_works_and_may_be_gone_is_silent(self):
        assert card(make_command(make_agent(presence="unknown")).agent).need is Need.SILENT

    def test_who_is_idle_may_be_quiet(self):
        assert card(make_agent(last_seen_at=before(hours=1))).need is Need.IDLE

    def test_who_ended_needs_nobody(self):
        assert card(ended(make_ended_agent(), "abandoned", "end")).need is Need.ENDED

    def test_whose_process_was_lost_at_work_failed(self):
        assert card(ended(make_ended_agent(), "abandoned", "loss")).need is Need.FAILED


@pytest.mark.django_db
class TestCard:
    """What stands on it."""

    def test_it_is_called_by_project_and_number(self):
        agent = make_agent("checkout")
        assert card(agent).name == f"checkout · #{agent.pk}"
        assert names_of([agent.pk, 10**6]) == {agent.pk: f"checkout · #{agent.pk}"}

    def test_the_age_is_that_of_the_last_move_of_its_command(self):
        agent = make_agent()
        command = make_command(agent, started_at=before(hours=1))
        make_change(agent, command=command, before="commanded", after="processing", changed_at=before(minutes=7))
        make_change(agent, command=command, before="processing", after="processing", trigger="gap", changed_at=before())
        make_change(agent, before="unknown", after="alive", trigger="Stop", changed_at=before(minutes=1))
        assert card(agent).age == "7 min"

    def test_the_age_of_waiting_is_that_of_the_oldest_question(self):
        agent = make_agent()
        command = make_command(agent, "awaiting_input", started_at=before(hours=1))
        make_wait(command, opened_at=before(minutes=3))
        make_wait(command, opened_at=before(minutes=9), tool_name="Write")
        make_wait(command, opened_at=before(minutes=30), closed_at=before(minutes=20))
        assert card(agent).age == "9 min"
        assert [(question.tool, question.age) for question in card(agent).questions] == [
            ("Write", "9 min"),
            ("Bash", "3 min"),
        ]

    def test_an_agent_that_never_moved_has_the_age_of_its_start(self):
        assert card(make_agent(started_at=before(minutes=42))).age == "42 min"

    def test_an_ended_agent_says_since_when(self):
        found = card(make_ended_agent(ended_at=before(minutes=8)))
        assert (found.state, found.age) == ("ended", "8 min")

    def test_mode_is_said_only_when_it_is_not_run(self):
        assert [card(make_agent(mode=mode)).mode for mode in ("run", "read_only")] == ["", "read only"]

    def test_an_idle_agent_shows_what_it_was_told_last(self):
        agent = make_agent()
        make_command(agent, "complete", prompt="first", started_at=before(minutes=50))
        make_command(agent, "complete", prompt="second", started_at=before(minutes=40))
        assert card(agent).prompt == "second"


@pytest.mark.django_db
def test_groups_come_in_the_order_of_need_and_the_longest_wait_first():
    short = asked(make_agent(), opened_at=before(seconds=5)).agent
    idle = make_agent()
    long = asked(make_agent(), opened_at=before(minutes=5)).agent
    groups = grouped([card(agent) for agent in (short, idle, long)], at_most=10)
    assert [[one.id for one in group.cards] for group in groups] == [[long.pk, short.pk], [idle.pk]]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("make", "ages"),
    [
        (lambda span: make_ended_agent(ended_at=before(**span)), "shortest first"),
        (
            lambda span: make_command(make_agent(), "complete", outcome="failed", completed_at=before(**span)).agent,
            "shortest first",
        ),
        (lambda span: make_agent(last_seen_at=before(**span)), "shortest first"),
        (lambda span: make_command(make_agent(), started_at=before(**span)).agent, "longest first"),
        (lambda span: make_command(make_agent(last_seen_at=before(**span))).agent, "longest first"),
        (lambda span: make_agent(ambiguous="why", started_at=before(**span)), "longest first"),
    ],
    ids=["ended", "failed", "idle", "working", "silent", "ambiguous"],
)
def test_within_a_group_the_one_to_look_at_first_comes_first(make, ages):
    agents = [make({"minutes": minutes}) for minutes in (20, 10, 30)]
    (group,) = grouped([card(agent) for agent in agents], at_most=10)
    places = [agents.index(next(agent for agent in agents if agent.pk == one.id)) for one in group.cards]
    assert places == ([1, 0, 2] if ages == "shortest first" else [2, 0, 1])


@pytest.mark.django_db
def test_a_group_leaves_out_what_is_too_much_and_still_counts_it():
    (group,) = grouped([card(make_agent()) for _ in range(5)], at_most=3)
    assert (len(group.cards), group.more, group.count) == (3, 2, 5)
    assert counts([group]) == [("need you", 0), ("idle", 5)]


@pytest.mark.django_db
def test_counts_say_who_needs_somebody_first():
    agents = [asked(make_agent()).agent, make_agent(ambiguous="why"), make_command(make_agent()).agent, make_agent()]
    assert counts(grouped([card(agent) for agent in agents], 10)) == [("need you", 2), ("working", 1), ("idle", 1)]
    assert counts(grouped([card(agents[0])], 10)) == [("needs you", 1)]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (3660, "1 h 1 min"),
        (86400, "1 d"),
        (93600, "1 d 2 h"),
    ],
)
def test_spans_are_spoken_in_their_largest_units(seconds, words):
    assert spoken(timedelta(seconds=seconds)) == words


def test_texts_are_cut_to_one_line():
    assert shortened("one\n\n two", 20) == "one two"
    assert shortened("word " * 20, 12) == "word word w…"
    assert shortened("x" * 10_000, 5) == "xxxx…"
    assert shortened(" " * 10_000 + "end", 5) == "…"
