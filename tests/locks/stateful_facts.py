"""Who can do what, in the machine."""

from hypothesis.stateful import precondition

DEEPEST = 5
"""Blocks in blocks."""


def possible(fact):
    """Run the rule where somebody can, for one of those."""

    def of(rule_):
        return precondition(lambda self: any(map(fact, self.idle())))(rule_)

    of.fact = fact
    return of


def can_begin(person):
    return not person.is_dead and len(person.frames) < DEEPEST


def can_nest(person):
    return can_begin(person) and person.is_in_transaction


def can_leave(person):
    return bool(person.frames) and not (person.is_dead and person.frames[-1].is_atomic)


def can_undo(person):
    return bool(person.frames) and person.frames[-1].is_atomic and not person.is_dead


def has_raw_savepoint(person):
    return not person.is_dead and bool(person.raw_savepoints())


def has_room(person):
    return len(person.frames) < DEEPEST


def has_held(person):
    return any(frame.held for frame in person.frames) and person.is_in_transaction


def is_in_transaction(person):
    return person.is_in_transaction


def waits_in_session(person):
    return bool(person.pending and person.pending.is_session)


def is_dead(person):
    return person.is_dead
