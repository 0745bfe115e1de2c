"""The machine: actors that do at random whatever they can, and the model that follows them."""

from contextlib import suppress
from functools import partial

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.locks import stateful_stage as stage
from tests.locks.actors import PATIENCE
from tests.locks.stateful_facts import (
    can_begin,
    can_leave,
    can_nest,
    can_undo,
    has_held,
    has_raw_savepoint,
    has_room,
    is_dead,
    is_in_transaction,
    possible,
    waits_in_session,
)
from tests.locks.stateful_model import ENTERED, KEYS, VERIFIED, WAITS, Asking, Frame, Model, impatient

ACTORS = 3

ONE_KEY = st.sampled_from(KEYS).map(lambda key: (key,))
MORE_KEYS = st.lists(st.sampled_from(KEYS), min_size=2, max_size=3, unique=True).map(lambda keys: tuple(sorted(keys)))
SOME_KEYS = ONE_KEY | ONE_KEY | MORE_KEYS
WAYS = st.sampled_from(["with", "with", "skip", "take", "take"])
KILLED_EVERY = 6
"""At most each so-many-th step."""
ONE_IN = 8
"""How often somebody asks where the scope is refused."""


class Machine(RuleBasedStateMachine):
    actors = ()
    answers = frozenset()
    steps = 0

    def __init__(self):
        super().__init__()
        self.model = Model(ACTORS)
        self.futures = {}
        self.last = None
        self.moves = 0

    def idle(self):
        return [person for person in self.model.people if not person.pending]

    def somebody(self, draw, fact, usual=None):
        numbers = [person.number for person in self.idle() if fact(person)]
        often = [number for number in numbers if usual and usual(self.model.people[number])]
        if often and self._is_usual(draw):
            numbers = often
        if self.last not in numbers or not draw.draw(st.sampled_from([True, True, False]), "same"):
            self.last = draw.draw(st.sampled_from(numbers), "actor")
        return self.model.people[self.last]

    def _is_usual(self, draw):
        return draw.draw(st.sampled_from([True] * (ONE_IN - 1) + [False]), "usual")

    def act(self, person, *what, **how):
        return self.actors[person.number].start(lambda: what[0](*what[1:], **how)).result(PATIENCE)

    # -- transactions ------------------------------------------------------------

    @possible(can_begin)
    @rule(draw=st.data())
    def begin(self, draw):
        self._begin(self.somebody(draw, can_begin))

    def _begin(self, person):
        if person.is_in_transaction:
            person.savepoints.append(None)
        person.frames.append(Frame(block=self.act(person, stage.begun)))

    @possible(can_nest)
    @rule(draw=st.data())
    def set_raw_savepoint(self, draw):
        person = self.somebody(draw, can_nest)
        person.savepoints.append(self.act(person, stage.transaction.savepoint))

    @possible(has_raw_savepoint)
    @rule(draw=st.data(), is_undone=st.booleans())
    def end_raw_savepoint(self, draw, is_undone):
        person = self.somebody(draw, has_raw_savepoint)
        place = draw.draw(st.sampled_from(person.raw_savepoints()), "savepoint")
        name = person.savepoints[place]
        if is_undone:
            self.act(person, stage.transaction.savepoint_rollback, name)
            person.roll_back_to(place)
        else:
            self.act(person, stage.transaction.savepoint_commit, name)
            person.release(place)

    @possible(can_undo)
    @rule(draw=st.data())
    def roll_back(self, draw):
        self._end_atomic(self.somebody(draw, can_undo), is_undone=True)

    def _end_atomic(self, person, is_undone):
        assert self.act(person, stage.left, person.frames[-1].block, is_undone=is_undone) is None
        person.end_atomic(is_undone=is_undone)

    @possible(can_nest)
    @rule(draw=st.data(), keys=SOME_KEYS, is_shared=st.booleans(), is_undone=st.booleans())
    def take_in_a_savepoint(self, draw, keys, is_shared, is_undone):
        """Begin a block, take, and leave the block: what is so often in one function."""
        person = self.somebody(draw, can_nest)
        self._begin(person)
        self._ask(person, Asking(keys, is_shared, way="take"))
        self._end_atomic(person, is_undone)

    @possible(can_leave)
    @rule(draw=st.data())
    def leave(self, draw):
        """Leave a section, release a savepoint or commit, as it comes."""
        person = self.somebody(draw, can_leave)
        frame = person.frames[-1]
        if frame.is_atomic:
            self._end_atomic(person, is_undone=False)
        else:
            assert self.act(person, stage.left, frame.block) == ("LockLost" if frame.is_lost else None)
            person.frames.pop()

    # -- locks -------------------------------------------------------------------

    @possible(has_room)
    @rule(draw=st.data(), keys=ONE_KEY, is_shared=st.booleans(), way=WAYS, is_patient=st.booleans())
    def ask(self, draw, keys, is_shared, way, is_patient):
        self._ask_in_transaction(draw, Asking(keys, is_shared, way=way, is_patient=is_patient and way != "skip"))

    @possible(has_room)
    @rule(draw=st.data(), keys=MORE_KEYS, is_shared=st.booleans(), way=WAYS, is_patient=st.booleans())
    def ask_many(self, draw, keys, is_shared, way, is_patient):
        self._ask_in_transaction(draw, Asking(keys, is_shared, way=way, is_patient=is_patient and way != "skip"))

    def _ask_in_transaction(self, draw, asking):
        person = self.somebody(draw, has_room, can_nest)
        if can_begin(person) and not is_in_transaction(person) and self._is_usual(draw):
            self._begin(person)
        self._ask(person, asking)

    @possible(has_room)
    @rule(draw=st.data(), keys=SOME_KEYS, is_shared=st.booleans(), is_skip=st.booleans(), is_patient=st.booleans())
    def ask_session(self, draw, keys, is_shared, is_skip, is_patient):
        person = self.somebody(draw, has_room, lambda one: not is_in_transaction(one))
        self._ask(person, Asking(keys, is_shared, True, "skip" if is_skip else "with", is_patient and not is_skip))

    def _ask(self, person, asking):
        right = self.model.judge(person, asking)
        if len(right) > 1 or (right == {WAITS} and not self.model.is_simple_wait(person, asking)):
            asking = impatient(asking)
            right = self.model.judge(person, asking)
        if right == {WAITS}:
            self.futures[person] = self.actors[person.number].start(stage.answered, asking)
            self.model.wait(person, asking)
            self.answers.add(WAITS)
            return
        answer, block, held = self.act(person, stage.answered, asking)
        self.answers.add(answer)
        assert answer in right, f"{asking} was answered {answer}, and not {right}"
        if answer == ENTERED:
            self.model.enter(person, asking, block, held)

    @possible(has_held)
    @rule(draw=st.data())
    def verify(self, draw):
        person = self.somebody(draw, has_held)
        frame = draw.draw(st.sampled_from([frame for frame in person.frames if frame.held]), "section")
        keys = set(frame.asking.keys)
        is_lost = person.is_dead or (frame.is_lost if frame.is_session else not keys <= person.locks.keys())
        answer = self.act(person, stage.verified, frame.held)
        self.answers.add(answer or VERIFIED)
        assert answer == ("LockLost" if is_lost else None)
        if frame.is_session and not is_lost:
            person.rows += [[key, frame.asking.is_shared, len(person.savepoints)] for key in keys]

    # -- losses ------------------------------------------------------------------

    @precondition(lambda self: self.moves % KILLED_EVERY == 0)
    @rule(draw=st.data())
    def kill(self, draw):
        people = [person for person in self.model.people if not person.is_dead and not waits_in_session(person)]
        if not people:
            return
        busy = [person.number for person in people if person.is_in_transaction]
        person = self.model.people[draw.draw(st.sampled_from(busy or [one.number for one in people]), "actor")]
        future = self.futures.pop(person, None)
        stage.end(self.actors[person.number].pid)
        self.model.kill(person)
        if future:
            assert future.result(PATIENCE)[0] == "LockLost"

    @precondition(lambda self: any(frame.held for person in self.model.people for frame in person.sessions))
    @rule(draw=st.data())
    def kill_session(self, draw):
        people = self.model.people
        frames = [frame for person in people for frame in person.sessions if frame.held and not frame.is_lost]
        verified = {key for person in people for key, *_ in person.rows}
        waited = {key for key, queue in self.model.queues.items() if queue}
        # Who is let in by the loss waits for the commit of who has verified: the model does not follow that.
        frames = [frame for frame in frames if not (verified & waited & set(frame.asking.keys))]
        if frames:
            frame = draw.draw(st.sampled_from(frames), "section")
            stage.end(frame.held.raw.info.backend_pid)
            frame.is_lost = True

    @possible(is_dead)
    @rule(draw=st.data())
    def reconnect(self, draw):
        person = self.somebody(draw, is_dead)
        while person.is_in_transaction:
            frame = person.frames.pop()
            self.act(person, stage.left, frame.block, is_undone=True)
        person.taken.clear()
        self.actors[person.number].pid = self.act(person, stage.new_connection)
        person.is_dead = False

    # -- after each step -----------------------------------------------------------

    @invariant()
    def the_server_agrees(self):
        type(self).steps += 1
        self.moves += 1
        self._let_in()
        stage.compare(self.model, self.actors)

    def _let_in(self):
        for person, asking in self.model.granted():
            answer, block, held = self.futures.pop(person).result(stage.SETTLED_WITHIN)
            assert answer == ENTERED
            self.model.enter(person, asking, block, held)

    def teardown(self):
        for person in self.idle():
            self._unwind(person)
        with suppress(AssertionError, TimeoutError):
            while self.futures:
                self._let_in()
                for person in self.idle():
                    self._unwind(person)
        # Where a step has failed, the model does not know all that is open.
        for actor in stage.end_holders(self.actors):
            actor.pid = actor.do(stage.new_connection)

    def _unwind(self, person):
        actor = self.actors[person.number]
        while person.frames:
            with suppress(Exception):
                actor.do(partial(stage.left, person.frames.pop().block, is_undone=True))
        if person.is_dead:
            actor.pid = actor.do(stage.new_connection)
        person.forget()
        person.is_dead = False
