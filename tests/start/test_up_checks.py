"""``manage.py up`` looks at its database first: a bad one ends the start, a careless one is told."""

from tests.servers import pgbouncer, primary_with_standby, restartable
from tests.start.test_up import Up


def test_a_standby_ends_the_start(place):
    with primary_with_standby() as pair:
        up = Up(place / "data", DATABASE_URL=pair.standby.url())
        assert up.process.wait(30) == 1

    assert "(locks.E003) The database 'default' is a standby: its locks exclude nobody on the primary." in up.said
    assert up.said.endswith("The database could not be prepared, as said above.\n")


def test_a_server_of_ones_own_that_is_careless_is_told_with_the_remedy_and_used(place):
    with restartable(client_connection_check_interval=0) as server:
        up = Up(place / "data", DATABASE_URL=server.url())
        try:
            up.ready()
        finally:
            up.stop()

    assert "prepare  | ?: (locks.W003) The server of 'default' does not look" in up.said
    assert """ALTER ROLE "headspace" SET client_connection_check_interval = '1s'""" in up.said


def test_the_embedded_server_gives_no_reason_to_say_anything(place):
    up = Up(place / "data")
    try:
        up.ready()
    finally:
        up.clean_up()

    assert "System check" not in up.said


def test_behind_a_transaction_pooler_it_starts_with_a_way_past_it_and_not_without(place):
    with restartable() as server, pgbouncer(server.url(), pool_size=10) as pooler:
        refused = Up(place / "refused", DATABASE_URL=pooler.url())
        assert refused.process.wait(30) == 1
        assert "Name a database that leads around it in LOCKS['DIRECT']" in refused.said
        up = Up(place / "data", DATABASE_URL=pooler.url(), DATABASE_DIRECT_URL=server.url())
        try:
            up.ready()
        finally:
            up.stop()

    assert "System check" not in up.said
