"""What actors hold, worked out from the library's promises alone; the machine compares it with PostgreSQL.

Each actor has a work connection, on which transactions, savepoints and transaction-scoped sections are stacked, and a
connection more for every session-scoped section. ``Model.judge`` says what an ask is answered, before it is made.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace

from locks import LockKey, LockNamespace

ENTERED, SKIPPED, WAITS, VERIFIED = "entered", "skipped", "waits", "verified"
AGENT, CYCLE = LockNamespace.AGENT, LockNamespace.CYCLE
KEYS = (LockKey(CYCLE, "a name"), LockKey(AGENT, 1), LockKey(AGENT, 2))


@dataclass(frozen=True)
class Asking:
    keys: tuple
    is_shared: bool
    is_session: bool = False
    way: str = "with"
    """``with``, ``skip`` (``..._or_skip``) or ``take`` (to the end of the innermost ``atomic``, without a block)."""
    is_patient: bool = False

    @property
    def mode(self):
        return "ShareLock" if self.is_shared else "ExclusiveLock"


@dataclass(eq=False)
class Frame:
    """A block that is open: ``atomic`` (also as a savepoint) or a section."""

    asking: Asking | None = None
    block: object = None
    """The real one, which the model does not look at."""
    held: object = None
    is_lost: bool = False
    live: set = field(default_factory=set)
    """Of a section on the work connection: the keys whose lock it never lost."""

    def __repr__(self):
        return f"{self.asking or 'atomic'}"

    @property
    def is_atomic(self):
        return self.asking is None

    @property
    def is_session(self):
        return bool(self.asking and self.asking.is_session)


@dataclass(eq=False)
class Person:
    number: int
    frames: list = field(default_factory=list)
    savepoints: list = field(default_factory=list)
    """Names of those that the transaction has now, the outermost first; of a raw one the server's name."""
    locks: dict = field(default_factory=dict)
    """Of the transaction: key → [is_shared, how many savepoints stood when it was taken]."""
    rows: list = field(default_factory=list)
    """Verified: [key, is_shared, how many savepoints stood]."""
    taken: list = field(default_factory=list)
    """Entered without a block: [key, the frame that ends it]."""
    is_dead: bool = False
    pending: Asking | None = None

    @property
    def is_in_transaction(self):
        return any(frame.is_atomic for frame in self.frames)

    @property
    def sessions(self):
        return [frame for frame in self.frames if frame.is_session]

    def is_inside(self, key):
        return any(key in frame.live for frame in self.frames) or any(key == taken for taken, _ in self.taken)

    def raw_savepoints(self):
        """Those that may be rolled back to or released: no block was begun after them."""
        atomic = [place for place, name in enumerate(self.savepoints) if name is None]
        return range(atomic[-1] + 1 if atomic else 0, len(self.savepoints))

    def roll_back_to(self, place):
        """Undo what came after the savepoint; it stays itself."""
        for key in [key for key, (_, level) in self.locks.items() if level > place]:
            del self.locks[key]
            self.taken = [taken for taken in self.taken if taken[0] != key]
            for frame in self.frames:
                frame.live.discard(key)
        self.rows = [row for row in self.rows if row[2] <= place]
        del self.savepoints[place + 1 :]

    def release(self, place):
        """Keep what came after the savepoint as if it had come before."""
        for lock in [*self.locks.values(), *self.rows]:
            lock[-1] = min(lock[-1], place)
        del self.savepoints[place:]

    def end_atomic(self, *, is_undone):
        """Leave the innermost block, which is an ``atomic``."""
        frame = self.frames.pop()
        self.taken = [taken for taken in self.taken if taken[1] is not frame]
        if not self.is_in_transaction:
            self.forget()
            return
        place = max(place for place, name in enumerate(self.savepoints) if name is None)
        if is_undone:
            self.roll_back_to(place)
        self.release(place)

    def forget(self):
        """End the transaction."""
        self.locks, self.rows, self.taken, self.savepoints = {}, [], [], []
        for frame in self.frames:
            frame.live.clear()


class Model:
    def __init__(self, count):
        self.people = [Person(number) for number in range(count)]
        self.queues = defaultdict(list)

    # -- what is asked ---------------------------------------------------------

    def judge(self, person, asking):
        """Return the answers that are right."""
        found = self._refusals(person, asking)
        if asking.way == "skip" and found & {"LockTimeout", "LockReentered"}:
            return {SKIPPED}
        if asking.is_patient and found == {"LockTimeout"}:
            return {WAITS}
        return found or {ENTERED}

    def _refusals(self, person, asking):
        if asking.is_session and person.is_in_transaction:
            return {"InsideTransaction"}
        if not asking.is_session and not person.is_in_transaction:
            return {"NotInTransaction"}
        if around := set(self._around(person, asking)):
            return around
        if person.is_dead and not asking.is_session:
            return {"LockLost"}
        return self._of_server(person, asking)

    def _around(self, person, asking):
        """Refused because of sections on other connections, that the code is inside of: lost or not."""
        for frame in person.sessions:
            for key in asking.keys:
                if key in frame.asking.keys:
                    yield "LockReentered"
                if asking.is_patient and any(key < held for held in frame.asking.keys):
                    yield "LockOrder"

    def _of_server(self, person, asking):
        """Refused because of what is held, key after key: the first that is refused counts.

        Of many keys one may be open and another one refused: either answer is right.
        """
        own = {} if asking.is_session else person.locks
        found = {"LockReentered"} if own and any(map(person.is_inside, asking.keys)) else set()
        for key in asking.keys:
            if refusal := self._refusal(person, asking, key, own):
                return {refusal} | (found if len(asking.keys) > 1 else set())
        if asking.is_session and any(self._is_row_kept(person, key, asking.is_shared) for key in asking.keys):
            return {"LockTimeout"}
        return found

    def _refusal(self, person, asking, key, own):
        if key in own:
            return "LockUpgrade" if own[key][0] and not asking.is_shared else None
        if asking.is_patient and own and key.namespace > min(held.namespace for held in own):
            return "LockOrder"
        return None if self._is_free(key, asking) else "LockTimeout"

    def _is_free(self, key, asking):
        others = [is_shared for _, is_shared in self.holders(key)]
        others += [waiting.is_shared for _, waiting in self.queues[key]]
        return all(asking.is_shared and is_shared for is_shared in others)

    def _is_row_kept(self, person, key, is_shared):
        """Whether somebody has verified an older token, and has not committed yet."""
        rows = [row for other in self.people if other is not person for row in other.rows if row[0] == key]
        return any(not (is_shared and row[1]) for row in rows)

    def holders(self, key):
        """Yield who holds it, and whether shared."""
        for person in self.people:
            if key in person.locks:
                yield person, person.locks[key][0]
            for frame in person.sessions:
                if key in frame.asking.keys and not frame.is_lost:
                    yield person, frame.asking.is_shared

    # -- waits -------------------------------------------------------------------

    def is_simple_wait(self, person, asking):
        """Whether the model follows it: one key, no circle, nothing but the lock to wait for."""
        (key, *more) = asking.keys
        rows = asking.is_session and any(self._is_row_kept(person, key, shared) for shared in (False, True))
        return not more and not rows and person not in self._waited_for(key, set())

    def _waited_for(self, key, seen):
        """Return everybody who must move before the lock of this key is free."""
        for other in {other for other, _ in [*self.holders(key), *self.queues[key]]} - seen:
            seen.add(other)
            if other.pending:
                self._waited_for(other.pending.keys[0], seen)
        return seen

    def wait(self, person, asking):
        person.pending = asking
        self.queues[asking.keys[0]].append((person, asking))

    def give_up(self, person):
        key = person.pending.keys[0]
        self.queues[key] = [waiting for waiting in self.queues[key] if waiting[0] is not person]
        person.pending = None

    def granted(self):
        """Take who is let in now out of the queues, first come first served; yield them with what they asked."""
        for key in KEYS:
            ahead = []
            for person, asking in list(self.queues[key]):
                others = [shared for _, shared in self.holders(key)] + ahead
                if all(asking.is_shared and shared for shared in others):
                    self.give_up(person)
                    yield person, asking
                else:
                    ahead.append(asking.is_shared)

    # -- what follows -------------------------------------------------------------

    def enter(self, person, asking, block=None, held=None):
        if not asking.is_session:
            for key in asking.keys:
                person.locks.setdefault(key, [asking.is_shared, len(person.savepoints)])
        if asking.way == "take":
            ends = next(frame for frame in reversed(person.frames) if frame.is_atomic)
            person.taken += [[key, ends] for key in asking.keys]
        else:
            live = set() if asking.is_session else set(asking.keys)
            person.frames.append(Frame(asking, block, held, live=live))

    def kill(self, person):
        """The work connection ends, and with it what it held or waited for."""
        if person.pending and not person.pending.is_session:
            self.give_up(person)
        person.forget()
        person.is_dead = True

    def expected(self):
        """Return what each session of the server holds or waits for: by actor, and for session scope each one."""
        of_work = {}
        of_sessions = []
        for person in self.people:
            lines = {(key, shared, True) for key, (shared, _) in person.locks.items()}
            if person.pending:
                waits = (person.pending.keys[0], person.pending.is_shared, False)
                if person.pending.is_session:
                    of_sessions.append(frozenset({waits}))
                else:
                    lines.add(waits)
            of_work[person.number] = frozenset(lines)
            of_sessions += [
                frozenset((key, frame.asking.is_shared, True) for key in frame.asking.keys)
                for frame in person.sessions
                if not frame.is_lost
            ]
        return of_work, Counter(of_sessions)


def impatient(asking):
    return replace(asking, is_patient=False)
