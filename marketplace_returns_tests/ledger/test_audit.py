"""The history: every event is in it, nobody can change it in the database, and whoever does is named by place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DatabaseError

from marketplace_returns.cli.context import opened
from marketplace_returns.clock import FixedClock
from marketplace_returns.ledger import Ledger, audit, tables
from marketplace_returns.ledger.audit import Chain
from marketplace_returns.ledger.connection import open_engine, transaction
from marketplace_returns.ledger.dispatch import drain, read_backs
from marketplace_returns.ledger.intents import intent_id
from marketplace_returns.ledger.outcomes import Confirmed, Found, Rejected, Unknown
from marketplace_returns.ledger.periods import PeriodState
from marketplace_returns.ledger.states import State
from marketplace_returns.periods import Month
from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.cli.conftest import Shell, alone
from marketplace_returns_tests.ledger.world import (
    NOW,
    SHOP,
    Outside,
    acceptance,
    decision,
    make_of_version,
    open_ledger,
    problem,
    refund,
    shop,
    stock,
)

__all__ = ["alone"]

MONTH = Month.parse("2026-10")


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """Nothing for SQLite, or a Postgres database of the test's own."""
    return "" if request.param == "sqlite" else str(request.getfixturevalue("postgres_database"))


@pytest.fixture
def engine(tmp_path: Path, url: str) -> Iterator[Engine]:
    """The ledger's database, for what no part of the product does to it."""
    made = open_engine(tmp_path, url)
    yield made
    made.dispose()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The database of a ledger in which a bit of everything happened, for deeds that are taken back."""
    folder, url = tmp_path_factory.mktemp("told"), ""
    if request.param == "postgres":
        server, url = str(request.getfixturevalue("postgres_url")), f"told{uuid4().hex}"
        with psycopg.connect(server, autocommit=True) as con:
            con.execute(f'CREATE DATABASE "{url}"')
        url = server.removesuffix("postgres") + url
    lived(folder, url).close()
    engine = open_engine(folder, url)
    yield engine
    engine.dispose()


@contextmanager
def taken_back(engine: Engine) -> Iterator[Connection]:
    """Give a transaction that is rolled back at its end."""
    with engine.connect() as connection:
        begun = connection.begin()
        try:
            yield connection
        finally:
            begun.rollback()


def lived(tmp_path: Path, url: str) -> Ledger:
    """A ledger in which a bit of everything happened."""
    clock = FixedClock(NOW)
    ledger = open_ledger(tmp_path, clock, url)
    answers = {"L1#1": Unknown("no answer"), "L2#1": Confirmed("R2"), "L3#1": Rejected("400", "wrong reason")}
    outside = Outside(answer=lambda each: answers[each.natural_key], shown=lambda each: Found(f"R-{each.natural_key}"))
    plans = [refund(f"L{n}#1", order=f"O{n}") for n in (1, 2, 3, 4)]
    ledger.apply(decision(*plans, exceptions=[problem()]), shop())
    ledger.apply(decision(*plans[:3], exceptions=[problem()]), shop())
    executors = {WriteKind.REFUND: outside}
    drain(ledger, shop(), executors, clock, worker="w1")
    clock.wait(600)
    read_backs(ledger, shop(), executors, worker="w1")
    (late,) = ledger.exceptions(types=["ACK_OVERDUE"])
    ledger.assign(late.exception_id, "warehouse", by="kim", note="please, kim@example.test waits")
    ledger.step_period(SHOP, MONTH, PeriodState.REVIEW, prepared_by="sam")
    return ledger


def events(engine: Engine) -> list[tuple[str, str, str]]:
    with transaction(engine, is_reading=True) as connection:
        rows = connection.execute(text("SELECT event, subject, actor FROM audit_log ORDER BY position"))
        return [tuple(row) for row in rows]  # type: ignore[misc]


def proof(ledger: Ledger) -> Chain:
    (chain,) = ledger.verify_history()
    return chain


@pytest.mark.proves("R44", "R113")
def test_every_decision_try_answer_and_person_is_in_the_history(tmp_path: Path, url: str, engine: Engine) -> None:
    with lived(tmp_path, url) as ledger:
        keys = {each.intent_id: each.natural_key for each in ledger.intents()}
        told = [(name, keys.get(subject, subject), actor) for name, subject, actor in events(engine)]
        units = [f"L{n}#1" for n in (1, 2, 3, 4)]
        assert told[:6] == [
            *(("planned", unit, "refunds") for unit in units),
            ("opened", "exception 1", "refunds"),
            ("superseded", "L4#1", "refunds"),
        ]
        assert sorted(told[6:9]) == [("sending", unit, "w1") for unit in units[:3]]
        assert sorted(told[9:12]) == [("answered", unit, "w1") for unit in units[:3]]
        assert told[12:] == [
            ("opened", "exception 2", "write/refund"),
            ("opened", "exception 3", "write/refund"),
            ("read_back", "L1#1", "w1"),
            ("cleared", "exception 2", "write/refund"),
            ("assign", "exception 1", "kim"),
            ("review", "month 2026-10", "sam"),
        ]
        chain = proof(ledger)
        assert (chain.shop, chain.events, chain.broken) == (SHOP, len(told), None)
        (unclear,) = [key for key, unit in keys.items() if unit == "L1#1"]
        (attempt,) = ledger.attempts([unclear])
        assert (attempt["number"], attempt["outcome"], attempt["worker"]) == (1, "UNKNOWN", "w1")


def test_a_history_keeps_no_mail_address(tmp_path: Path, url: str, engine: Engine) -> None:
    lived(tmp_path, url).close()
    with transaction(engine, is_reading=True) as connection:
        facts = connection.execute(text("SELECT facts FROM audit_log WHERE event = 'assign'")).scalar_one()
    assert "please" in facts
    assert "@" not in facts


@pytest.mark.proves("R44")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'somebody' WHERE position = 2",
        "DELETE FROM audit_log WHERE position = 2",
        "DELETE FROM audit_heads",
        "UPDATE audit_heads SET position = position - 1",
        "INSERT OR REPLACE INTO audit_log SELECT * FROM audit_log WHERE position = 2",
        "TRUNCATE audit_log",
        "INSERT INTO audit_log SELECT * FROM audit_log WHERE position = 2 "
        "ON CONFLICT (shop, position) DO UPDATE SET actor = 'x'",
    ],
)
def test_the_database_refuses_to_change_the_history(told: Engine, statement: str) -> None:
    is_postgres = told.dialect.name == "postgresql"
    if ("OR REPLACE" in statement and is_postgres) or ("TRUNCATE" in statement and not is_postgres):
        pytest.skip("not a statement of this database")
    with taken_back(told) as connection, pytest.raises(DatabaseError, match=r"only added to|only moves on"):
        connection.execute(text(statement))


def force(connection: Connection, *statements: str) -> None:
    """Do to the tables what their triggers refuse: the deed of one who owns the database."""
    if connection.dialect.name == "postgresql":
        for table in ("audit_log", "audit_heads"):
            connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
    else:
        names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
        for name in names:
            connection.execute(text(f"DROP TRIGGER {name}"))
    for statement in statements:
        connection.execute(text(statement))


COPY = (
    "INSERT INTO audit_log (shop, position, at, event, subject, actor, facts, previous_hash, hash) "
    "SELECT shop, {place}, at, event, subject, actor, facts, previous_hash, hash FROM audit_log WHERE position = {of}"
)


@pytest.mark.proves("R44")
@pytest.mark.parametrize(
    ("kind", "position", "deeds"),
    [
        ("changed", 3, ["UPDATE audit_log SET actor = 'somebody' WHERE position = 3"]),
        ("changed", 3, ["UPDATE audit_log SET facts = '{}' WHERE position = 3"]),
        ("changed", 4, ["UPDATE audit_log SET hash = 'abc' WHERE position = 4"]),
        ("missing", 3, ["DELETE FROM audit_log WHERE position = 3"]),
        ("missing", 1, ["DELETE FROM audit_log WHERE position = 1"]),
        ("missing", 18, ["DELETE FROM audit_log WHERE position = 18"]),
        ("missing", 1, ["DELETE FROM audit_log"]),
        (
            "missing",
            17,
            [
                "DELETE FROM audit_log WHERE position = 17",
                "UPDATE audit_log SET position = 17 WHERE position = 18",
                "UPDATE audit_heads SET position = 17",
            ],
        ),
        ("inserted", 19, [COPY.format(place=19, of=18)]),
        ("inserted", 0, [COPY.format(place=0, of=18)]),
        ("changed", 18, ["UPDATE audit_heads SET hash = 'abc'"]),
        ("write", 6, ["UPDATE intents SET state = 'PLANNED' WHERE natural_key = 'L4#1'"]),
        ("write", 0, ["UPDATE intents SET body = '{}' WHERE natural_key = 'L2#1'"]),
        ("write", 6, ["DELETE FROM intents WHERE natural_key = 'L4#1'"]),
        ("write", 0, ["UPDATE intents SET amount_minor = amount_minor + 1 WHERE natural_key = 'L2#1'"]),
        ("write", 0, ["UPDATE intents SET evidence = '{}' WHERE natural_key = 'L2#1'"]),
        ("write", 0, ["UPDATE intents SET external_ref = 'R9' WHERE natural_key = 'L2#1'"]),
        ("write", 0, ["UPDATE intents SET natural_key = 'L9#1' WHERE natural_key = 'L2#1'"]),
    ],
)
def test_the_first_row_that_is_not_as_it_was_written_is_named(
    told: Engine, kind: str, position: int, deeds: list[str]
) -> None:
    with taken_back(told) as connection:
        whole = audit.verify(connection, SHOP)
        assert (whole.events, whole.broken) == (18, None)
        force(connection, *deeds)
        broken = audit.verify(connection, SHOP).broken
        assert broken is not None
        assert broken.kind == kind
        assert broken.position == (position or broken.position)


def test_a_row_put_in_the_middle_with_a_hash_of_its_own_is_named(told: Engine) -> None:
    with taken_back(told) as connection:
        force(connection)
        log = tables.audit_log
        rows = [dict(row) for row in connection.execute(log.select().order_by(log.c.position)).mappings()]
        connection.execute(log.delete())
        forged = rows[4] | {"position": 6, "previous_hash": rows[4]["hash"], "actor": "somebody"}
        forged["hash"] = audit._hash(forged)
        later = [row | {"position": row["position"] + 1} for row in rows[5:]]
        connection.execute(log.insert(), [*rows[:5], forged, *later])
        connection.execute(text("UPDATE audit_heads SET position = position + 1"))
        broken = audit.verify(connection, SHOP).broken
        assert broken is not None
        assert (broken.kind, broken.position) == ("inserted", 6)


@pytest.mark.proves("R44")
def test_verify_ends_with_one_and_names_the_first_broken_row(alone: Shell) -> None:
    with opened() as app:
        app.ledger.apply(decision(refund("L1#1"), refund("L2#1", order="O2")), shop())
    ended = alone.run("audit", "verify", "--json")
    assert ended.code == 0
    assert [(each["shop"], each["events"], each["broken"]) for each in ended.document["chains"]] == [(SHOP, 2, None)]
    engine = open_engine(alone.folder / "data", "")
    with transaction(engine) as connection:
        force(connection, "UPDATE audit_log SET actor = 'somebody' WHERE position = 2")
    engine.dispose()
    ended = alone.run("audit", "verify")
    assert ended.code == 1
    assert "row 2 (planned" in ended.out
    assert alone.run("audit", "verify", "--shop", "nowhere").code == 2


def test_shops_have_chains_of_their_own_and_workers_do_not_wait_in_a_ring(tmp_path: Path, url: str) -> None:
    """Six threads plan, send and act for one shop at once: every row has its place, none is lost."""
    clock = FixedClock(NOW)
    with open_ledger(tmp_path, clock, url) as ledger:
        ledger.apply(decision(*(refund(f"L{n}#1", order=f"O{n}") for n in range(40))), shop())
        failures: list[BaseException] = []

        def work(number: int) -> None:
            try:
                name = f"lane{number}"
                for turn in range(2):
                    ledger.apply(
                        decision(stock(f"S{number}", str(turn), turn), lane=name, exceptions=[problem(name)]), shop()
                    )
                    ledger.apply(decision(acceptance(f"A{number}-{turn}"), lane=f"accept{number}"), shop())
                    outside = Outside(batch_size=3)
                    executors = {WriteKind.REFUND: outside, WriteKind.ACCEPT_ORDER: outside}
                    drain(ledger, shop(), executors, clock, worker=f"w{number}", limit=6)
            except BaseException as failure:  # noqa: BLE001 - told by the test
                failures.append(failure)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert ledger.intent_counts()[WriteKind.REFUND, State.CONFIRMED] == 40
        chain = proof(ledger)
        assert chain.broken is None
        assert chain.events >= 40 * 3


def test_what_the_old_tables_told_is_carried_over(tmp_path: Path, url: str) -> None:
    engine = open_engine(tmp_path, url)
    make_of_version(engine, "0001")
    with transaction(engine) as connection:
        key = intent_id(SHOP, WriteKind.REFUND, "L1#1")
        at = "2026-10-05 09:00:00.123456" + ("+00" if url else "")
        later = at.replace("09:00", "09:01")
        connection.execute(
            text(
                "INSERT INTO intents (intent_id, shop, kind, natural_key, lane, state, body, body_hash, evidence, planned_at, updated_at)"
                f" VALUES ('{key}', '{SHOP}', 'refund', 'L1#1', 'refunds', 'CONFIRMED', '{{}}', '44136fa355b3678a1146ad16', '{{}}', '{at}', '{later}')"
            )
        )
        connection.execute(
            text(
                "INSERT INTO attempts (intent_id, number, worker, started_at, ended_at, outcome, excerpt)"
                f" VALUES ('{key}', 1, 'w1', '{at}', '{later}', 'CONFIRMED', 'R1 für ü')"
            )
        )
        connection.execute(
            text(
                "INSERT INTO exceptions (fingerprint, shop, type, lane, entity, message, opened_at, last_seen_at, due_at)"
                f" VALUES ('f', '{SHOP}', 'ACK_OVERDUE', 'x', '{{}}', 'm', '{at}', '{at}', '{at}')"
            )
        )
        connection.execute(
            text(
                f"INSERT INTO exception_actions (exception_id, acted_at, actor, action) VALUES (1, '{later}', 'kim', 'snooze')"
            )
        )
    engine.dispose()
    with open_ledger(tmp_path, ledger_url=url) as ledger:
        chain = proof(ledger)
        assert (chain.events, chain.broken) == (4, None)
        (attempt,) = ledger.attempts([key])
        assert (attempt["outcome"], attempt["worker"], attempt["excerpt"]) == ("CONFIRMED", "w1", "R1 für ü")
        ledger.apply(decision(refund("L2#1")), shop())
        assert proof(ledger).broken is None
