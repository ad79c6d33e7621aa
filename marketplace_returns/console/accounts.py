"""Accounts, sessions and log-ins: who somebody is, and for how long that is believed.

Here: passwords, the sessions of browsers, the brake on guessing, forms that were sent. Not here: what a role may do (``roles``), cookies
and pages (``app``). The invariants: neither a password nor a session's token is ever kept, only its hash; a log-in of an unknown name
costs and says what one of a known name does; an attempt is counted before its password is looked at, so that many at once are
counted too; who changes an account stands in the history, as do log-ins, log-outs and what was refused: never what was typed, and a name
only where it is an account's.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, Engine, delete, select, update

from marketplace_returns.clock import Clock
from marketplace_returns.console.roles import Role
from marketplace_returns.errors import BadArgument
from marketplace_returns.ledger import tables
from marketplace_returns.ledger.audit import Event, Journal
from marketplace_returns.ledger.connection import lock_shop, open_engine, transaction
from marketplace_returns.settings import Settings

ACCOUNTS_CHAIN: Final = "(accounts)"
"""The chain of the history that tells of accounts; no shop can have this name."""

PASSWORD_CHARACTERS: Final = (12, 256)
_NAME: Final = re.compile(r"[a-z][a-z0-9]*([._-][a-z0-9]+)*", re.ASCII)
_NAME_CHARACTERS: Final = 40
TOUCHED_EVERY: Final = timedelta(minutes=1)
FORM_KEPT: Final = timedelta(days=8)  # longer than any session: 168 hours

FREE_FAILURES: Final = 5
FREE_FAILURES_OF_ADDRESS: Final = 30
FIRST_WAIT: Final = timedelta(seconds=30)
LONGEST_WAIT: Final = timedelta(minutes=15)
SOMEBODY: Final = "somebody"
"""Who was refused, as the history keeps it: nobody knows who it was."""
FAILURES_FORGOTTEN_AFTER: Final = timedelta(hours=1)
_HASHES_AT_ONCE: Final = 2  # each takes 64 MiB
_DOUBLINGS_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may log in, unless ``disabled_at`` is set."""

    name: str
    role: Role
    made_at: datetime
    password_set_at: datetime
    disabled_at: datetime | None


class LogInRefused(Exception):
    """Name or password are wrong, or the account is disabled: which of them is not told."""


class TooManyLogIns(Exception):
    """There were too many wrong log-ins; ``wait_s`` seconds to go."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"too many log-ins: wait {wait_s} s")
        self.wait_s = wait_s


class Accounts:
    """The accounts of one installation. Make one with ``Accounts.open``; safe to share between threads."""

    def __init__(self, engine: Engine, clock: Clock, settings: Settings) -> None:
        self._engine = engine
        self._clock = clock
        self._lasts = timedelta(hours=settings.console.session_hours)
        self._idle = timedelta(minutes=settings.console.idle_minutes)
        self._hasher = PasswordHasher()
        self._hashing = threading.Semaphore(_HASHES_AT_ONCE)
        self._nobodys = ""

    @classmethod
    def open(cls, settings: Settings, clock: Clock) -> Self:
        """Open the accounts in the ledger's database; LedgerBusy where another process holds it."""
        return cls(open_engine(settings.data_dir, settings.ledger_url), clock, settings)

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    def ping(self) -> None:
        """Ask the database anything."""
        with transaction(self._engine, is_reading=True) as connection:
            connection.execute(select(tables.console_accounts.c.name).limit(1))

    def warm(self) -> None:
        """Make the hash that the password of an unknown name is compared with, so that the first such log-in takes as long as any."""
        if not self._nobodys:
            self._nobodys = self._hash(secrets.token_urlsafe(16))

    # -- accounts -----------------------------------------------------------------------------------------------------

    def add(self, name: str, role: str, password: str, *, by: str) -> Account:
        """Make an account. Raises BadArgument where the name is taken or no name, or the role or password will not do."""
        name, kind = _name(name), _role(role)
        password_hash = self._hash(_password(password, name))
        with transaction(self._engine) as connection:
            if _find(connection, name) is not None:
                raise BadArgument(f"there is an account {name} already: choose another name, or set its password anew")
            now = self._clock.now()
            values = {"name": name, "role": kind, "password_hash": password_hash, "made_at": now}
            connection.execute(tables.console_accounts.insert().values(**values, password_set_at=now))
            self._tell(connection, "added", name, by, role=kind)
            return self._known(connection, name)

    def list(self) -> list[Account]:
        """Return all accounts by name, disabled ones too."""
        table = tables.console_accounts
        with transaction(self._engine, is_reading=True) as connection:
            return [_account(row) for row in connection.execute(select(table).order_by(table.c.name))]

    def disable(self, name: str, *, by: str) -> Account:
        """End an account and its sessions; its name stays in the history and is not given again."""
        table = tables.console_accounts
        with transaction(self._engine) as connection:
            found = self._known(connection, name)
            if found.disabled_at is None:
                now = self._clock.now()
                connection.execute(update(table).where(table.c.name == found.name).values(disabled_at=now))
                self._tell(connection, "disabled", found.name, by)
            self._end_sessions(connection, found.name)
            return self._known(connection, name)

    def set_role(self, name: str, role: str, *, by: str) -> Account:
        """Give an account another role; its sessions end, so that nothing made for the old role is shown any more."""
        kind = _role(role)
        table = tables.console_accounts
        with transaction(self._engine) as connection:
            found = self._known(connection, name)
            if found.role is not kind:
                connection.execute(update(table).where(table.c.name == found.name).values(role=kind))
                self._end_sessions(connection, found.name)
                self._tell(connection, "role_set", found.name, by, before=found.role, role=kind)
            return self._known(connection, name)

    def set_password(self, name: str, password: str, *, by: str, except_session: str = "") -> Account:
        """Set a password anew; every session of the account but the given one ends, and its brake is let go."""
        with transaction(self._engine, is_reading=True) as connection:
            found = self._known(connection, name)
        password_hash = self._hash(_password(password, found.name))
        table = tables.console_accounts
        with transaction(self._engine) as connection:
            values = {"password_hash": password_hash, "password_set_at": self._clock.now()}
            connection.execute(update(table).where(table.c.name == found.name).values(**values))
            self._end_sessions(connection, found.name, except_session=except_session)
            connection.execute(
                delete(tables.console_throttle).where(tables.console_throttle.c.key == _account_key(found.name))
            )
            self._tell(connection, "password_set", found.name, by)
            return self._known(connection, name)

    def has_password(self, name: str, password: str, *, address: str) -> bool:
        """Tell whether that is the account's password; wrong ones are counted as failed log-ins are.

        Raises:
            TooManyLogIns: too many were wrong already.
        """
        try:
            self._prove(name, password, address, refusal="password_refused")
        except LogInRefused:
            return False
        return True

    # -- sessions -----------------------------------------------------------------------------------------------------

    def log_in(self, name: str, password: str, *, address: str) -> str:
        """Begin a session and return its token, new at each log-in.

        Raises:
            LogInRefused: wrong name or password, or a disabled account.
            TooManyLogIns: of this account or this address, whatever the password is.
        """
        account = self._prove(name, password, address)
        token = secrets.token_urlsafe(32)
        table = tables.console_sessions
        with transaction(self._engine) as connection:
            now = self._clock.now()
            connection.execute(delete(table).where(table.c.began_at < now - self._lasts))
            sent = tables.console_forms
            connection.execute(delete(sent).where(sent.c.sent_at < now - FORM_KEPT))
            values = {"token_hash": _digest(token), "account": account, "began_at": now, "seen_at": now}
            connection.execute(table.insert().values(**values))
            self._tell(connection, "logged_in", account, account)
        return token

    def session(self, token: str) -> Account | None:
        """Return whose session that is, and note once a minute that it is used; None where it is none or none any more."""
        table, accounts = tables.console_sessions, tables.console_accounts
        now = self._clock.now()
        query = (
            select(accounts, table.c.seen_at)
            .join(table, table.c.account == accounts.c.name)
            .where(
                table.c.token_hash == _digest(token),
                table.c.began_at > now - self._lasts,
                table.c.seen_at > now - self._idle,
                accounts.c.disabled_at.is_(None),
            )
        )
        with transaction(self._engine, is_reading=True) as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        if row.seen_at <= now - TOUCHED_EVERY:
            with transaction(self._engine) as connection:
                connection.execute(update(table).where(table.c.token_hash == _digest(token)).values(seen_at=now))
        return _account(row)

    def log_out(self, token: str) -> None:
        """End a session."""
        table = tables.console_sessions
        with transaction(self._engine) as connection:
            mine = table.c.token_hash == _digest(token)
            account = connection.execute(select(table.c.account).where(mine)).scalar()
            if account is not None and connection.execute(delete(table).where(mine)).rowcount:
                self._tell(connection, "logged_out", account, account)

    def is_first(self, form_id: str) -> bool:
        """Note that a form was sent, and tell whether that was the first time."""
        table = tables.console_forms
        key = _digest(form_id)
        with transaction(self._engine) as connection:
            lock_shop(connection, ACCOUNTS_CHAIN, "forms")
            if connection.execute(select(table.c.form_id).where(table.c.form_id == key)).first() is not None:
                return False
            connection.execute(table.insert().values(form_id=key, sent_at=self._clock.now()))
        return True

    # -- inside -------------------------------------------------------------------------------------------------------

    def _prove(self, name: str, password: str, address: str, *, refusal: str = "log_in_refused") -> str:
        """Return the account's name where the password is its own. The attempt is counted first; one that the brake holds is not told."""
        name = name.strip().lower()[: PASSWORD_CHARACTERS[1]]
        brakes = {_account_key(name): FREE_FAILURES, _digest(f"address {address}"): FREE_FAILURES_OF_ADDRESS}
        with transaction(self._engine) as connection:
            lock_shop(connection, ACCOUNTS_CHAIN, "log-ins")
            refused = max((self._wait(connection, key) for key in brakes), default=timedelta())
            if not refused:
                for key, free in brakes.items():
                    self._count(connection, key, free)
            row = connection.execute(
                select(tables.console_accounts).where(tables.console_accounts.c.name == name)
            ).first()
        if refused:
            raise TooManyLogIns(max(1, int(refused.total_seconds())))
        self.warm()
        known = row.password_hash if row is not None else self._nobodys
        is_right = self._verify(known, password)
        if row is None or not is_right or row.disabled_at is not None:
            with transaction(self._engine) as connection:
                self._tell(connection, refusal, name if row is not None else "(unknown)", SOMEBODY)
            raise LogInRefused
        anew = self._hash(password) if self._hasher.check_needs_rehash(known) else ""
        with transaction(self._engine) as connection:
            table = tables.console_throttle
            connection.execute(delete(table).where(table.c.key == _account_key(name)))
            # Of the address only this attempt is taken back: the wrong ones before it stay counted.
            mine = update(table).where(table.c.key == _digest(f"address {address}"))
            connection.execute(mine.values(failures=table.c.failures - 1, refused_until=None))
            if anew:
                accounts = tables.console_accounts
                connection.execute(update(accounts).where(accounts.c.name == name).values(password_hash=anew))
        return name

    def _wait(self, connection: Connection, key: str) -> timedelta:
        table = tables.console_throttle
        until = connection.execute(select(table.c.refused_until).where(table.c.key == key)).scalar()
        return max(until - self._clock.now(), timedelta()) if until is not None else timedelta()

    def _count(self, connection: Connection, key: str, free: int) -> None:
        """Count an attempt; past the free ones each makes the next wait twice as long."""
        table = tables.console_throttle
        now = self._clock.now()
        connection.execute(delete(table).where(table.c.since < now - FAILURES_FORGOTTEN_AFTER))
        known = connection.execute(select(table.c.failures).where(table.c.key == key)).scalar()
        failures = (known or 0) + 1
        over = failures - free
        wait = min(FIRST_WAIT * 2 ** min(over, _DOUBLINGS_MAX), LONGEST_WAIT) if over >= 0 else None
        values = {"failures": failures, "since": now, "refused_until": None if wait is None else now + wait}
        if known is None:
            connection.execute(table.insert().values(key=key, **values))
        else:
            connection.execute(update(table).where(table.c.key == key).values(**values))

    def _hash(self, password: str) -> str:
        with self._hashing:
            return self._hasher.hash(password)

    def _verify(self, password_hash: str, password: str) -> bool:
        if len(password) > PASSWORD_CHARACTERS[1]:
            password = ""
        with self._hashing:
            try:
                return self._hasher.verify(password_hash, password)
            except (VerificationError, InvalidHashError):
                return False

    def _known(self, connection: Connection, name: str) -> Account:
        found = _find(connection, name.strip().lower())
        if found is None:
            raise BadArgument(f"there is no account {name}: 'console user list' shows those there are")
        return found

    def _end_sessions(self, connection: Connection, name: str, *, except_session: str = "") -> None:
        table = tables.console_sessions
        kept = _digest(except_session) if except_session else ""
        connection.execute(delete(table).where(table.c.account == name, table.c.token_hash != kept))

    def _tell(self, connection: Connection, event: str, name: str, by: str, **facts: str) -> None:
        journal = Journal(self._clock.now())
        journal.add(Event(ACCOUNTS_CHAIN, event, f"account {name}", by, facts))
        journal.write(connection)


def _find(connection: Connection, name: str) -> Account | None:
    row = connection.execute(select(tables.console_accounts).where(tables.console_accounts.c.name == name)).first()
    return None if row is None else _account(row)


def _account(row: object) -> Account:
    values = {name: getattr(row, name) for name in Account.__slots__}
    return Account(**{**values, "role": Role(values["role"])})


def _name(name: str) -> str:
    if len(name) > _NAME_CHARACTERS or _NAME.fullmatch(name) is None:
        raise BadArgument(
            f"{name!r} is no name of an account: use lower-case letters, digits, and . _ - between them, at most {_NAME_CHARACTERS}, "
            "such as anna.berg"
        )
    return name


def _role(role: str) -> Role:
    try:
        return Role(role)
    except ValueError:
        raise BadArgument(f"--role {role!r} is no role: use one of {', '.join(Role)}") from None


def _password(password: str, name: str) -> str:
    shortest, longest = PASSWORD_CHARACTERS
    if not shortest <= len(password) <= longest:
        raise BadArgument(f"the password must have {shortest} to {longest} characters: it has {len(password)}")
    if len(set(password)) < shortest // 2 or name in password.lower():
        raise BadArgument("the password is easy to guess: use other letters, and not the account's name")
    return password


def _account_key(name: str) -> str:
    return _digest(f"account {name}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
