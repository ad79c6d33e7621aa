"""Search and filter clauses of the Peoplevox integration service: read them, test rows, find index keys.

    clause    := and ("OR" and)*          and  := unary ("AND" unary)*
    unary     := "!" unary | "(" clause ")" | condition
    condition := name "." method "(" literal ")" | name operator literal
    method    := Equals | Contains | StartsWith | EndsWith
    name      := "[" caption "]" | identifier            operator := == | = | != | > | >= | < | <=
    literal   := "text" | number | True | False | DateTime(YYYY,MM,DD[,hh,mm,ss])

Dates in clauses are tenant-local wall time, like the dates in answers; rows carry aware instants.
Invariant: `equal_keys` and `lower_bound` may only narrow to a superset of what `matches` lets through.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

from marketplace_returns.sandbox.peoplevox_csv import DATE_FORMAT, Value

Literal = str | Decimal | bool | datetime
_Ordered = TypeVar("_Ordered", str, Decimal, datetime)

# Clauses are walked by recursion; clients keep OR chains to 100 keys.
_CONDITIONS_MAX: Final = 250
_NESTING_MAX: Final = 50
_TOKEN = re.compile(
    r"""\s*(?:(?P<caption>\[[^\]]+\])
    |(?P<text>"(?:[^"\\]|\\.)*")
    |(?P<number>-?\d+(?:\.\d+)?)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<operator>==|!=|>=|<=|=|>|<)
    |(?P<mark>[().,!]))""",
    re.VERBOSE,
)
_METHODS: Final = frozenset({"Equals", "Contains", "StartsWith", "EndsWith"})
_TEXT_DATE_FORMATS: Final = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%d/%m/%Y", DATE_FORMAT, "%d/%m/%Y %H:%M:%S")


class BadClauseError(ValueError):
    """The clause cannot be read or names no column of the template (the message says where)."""


@dataclass(frozen=True)
class Condition:
    """One field against one literal; `bracketed` tells how the field was written."""

    field: str
    operator: str
    literal: Literal
    bracketed: bool


@dataclass(frozen=True)
class Negation:
    """Not `clause`."""

    clause: "Clause"


@dataclass(frozen=True)
class Conjunction:
    """Both sides."""

    left: "Clause"
    right: "Clause"


@dataclass(frozen=True)
class Disjunction:
    """Either side."""

    left: "Clause"
    right: "Clause"


Clause = Condition | Negation | Conjunction | Disjunction


def parse(text: str) -> Clause | None:
    """The clause in `text`, None when it is blank. Raises BadClauseError."""
    if not text.strip():
        return None
    return _Reader(text).read()


def conditions(clause: Clause) -> list[Condition]:
    """All conditions, left to right."""
    match clause:
        case Condition():
            return [clause]
        case Negation(clause=inner):
            return conditions(inner)
        case Conjunction(left, right) | Disjunction(left, right):
            return conditions(left) + conditions(right)


def renamed(clause: Clause, name_of: Callable[[str], str]) -> Clause:
    """The same clause over the fields that `name_of` gives for its own."""
    match clause:
        case Condition():
            return replace(clause, field=name_of(clause.field))
        case Negation(clause=inner):
            return Negation(renamed(inner, name_of))
        case Conjunction(left, right):
            return Conjunction(renamed(left, name_of), renamed(right, name_of))
        case Disjunction(left, right):
            return Disjunction(renamed(left, name_of), renamed(right, name_of))


def matches(clause: Clause, row: Mapping[str, Value], zone: ZoneInfo) -> bool:
    """Whether a row passes; it must hold a value for every field of `conditions(clause)`.

    Raises BadClauseError where a literal does not fit the column's type.
    """
    match clause:
        case Condition():
            return _holds(clause, row, zone)
        case Negation(clause=inner):
            return not matches(inner, row, zone)
        case Conjunction(left, right):
            return matches(left, row, zone) and matches(right, row, zone)
        case Disjunction(left, right):
            return matches(left, row, zone) or matches(right, row, zone)


def equal_keys(clause: Clause | None, field: str) -> set[str] | None:
    """The finite set of values the clause allows for `field`, or None when it does not limit it."""
    match clause:
        case Condition(field=name, operator="==", literal=literal) if name == field:
            return {str(literal)}
        case Conjunction(left, right):
            a, b = equal_keys(left, field), equal_keys(right, field)
            return b if a is None else a if b is None else a & b
        case Disjunction(left, right):
            a, b = equal_keys(left, field), equal_keys(right, field)
            return None if a is None or b is None else a | b
        case _:
            return None


def lower_bound(clause: Clause | None, field: str, zone: ZoneInfo) -> datetime | None:
    """An instant before which no row can pass, judged by date column `field`; None without such a bound."""
    match clause:
        case Condition(field=name, operator=">" | ">=" | "==", literal=literal) if name == field:
            return _earliest_instant(_local_date(literal), zone)
        case Conjunction(left, right):
            bounds = [bound for side in (left, right) if (bound := lower_bound(side, field, zone)) is not None]
            return max(bounds, default=None)
        case Disjunction(left, right):
            a, b = lower_bound(left, field, zone), lower_bound(right, field, zone)
            return None if a is None or b is None else min(a, b)
        case _:
            return None


class _Reader:
    """Recursive descent over the tokens of one clause."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str, int]] = []
        position, end = 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise BadClauseError(f"unexpected {text[position : position + 10]!r} at character {position + 1}")
            self._tokens.append((match.lastgroup, match.group(match.lastgroup), match.start(match.lastgroup) + 1))
            position = match.end()
        self._next = 0
        self._conditions = 0
        self._nesting = 0

    def read(self) -> Clause:
        clause = self._either()
        if self._next < len(self._tokens):
            raise self._unexpected("the end")
        return clause

    def _either(self) -> Clause:
        clause = self._both()
        while self._take_word("OR"):
            clause = Disjunction(clause, self._both())
        return clause

    def _both(self) -> Clause:
        clause = self._unary()
        while self._take_word("AND"):
            clause = Conjunction(clause, self._unary())
        return clause

    def _unary(self) -> Clause:
        self._nesting += 1
        if self._nesting > _NESTING_MAX:
            raise BadClauseError(f"nested deeper than {_NESTING_MAX}: write it flat")
        clause: Clause
        if self._take("mark", "!"):
            clause = Negation(self._unary())
        elif self._take("mark", "("):
            clause = self._either()
            self._demand("mark", ")")
        else:
            clause = self._condition()
        self._nesting -= 1
        return clause

    def _condition(self) -> Condition:
        self._conditions += 1
        if self._conditions > _CONDITIONS_MAX:
            raise BadClauseError(f"more than {_CONDITIONS_MAX} conditions: split the clause")
        caption = self._take("caption")
        field = caption[1:-1].strip() if caption else self._demand("name")
        bracketed = caption is not None
        while self._take("mark", "."):
            word = self._demand("name")
            if word not in _METHODS:
                field = f"{field}.{word}"  # `Site.Reference` of the sites filters
                continue
            self._demand("mark", "(")
            literal = self._literal()
            self._demand("mark", ")")
            return Condition(field, "==" if word == "Equals" else word, literal, bracketed)
        operator = self._demand("operator")
        return Condition(field, "==" if operator == "=" else operator, self._literal(), bracketed)

    def _literal(self) -> Literal:
        text = self._take("text")
        if text is not None:
            return re.sub(r"\\(.)", r"\1", text[1:-1])
        number = self._take("number")
        if number is not None:
            return Decimal(number)
        word = self._demand("name")
        if word in ("True", "False", "true", "false"):
            return word in ("True", "true")
        if word != "DateTime":
            raise self._unexpected("a value", back=1)
        self._demand("mark", "(")
        parts = [self._whole_number()]
        while self._take("mark", ","):
            parts.append(self._whole_number())
        self._demand("mark", ")")
        if len(parts) not in (3, 5, 6):
            raise BadClauseError(
                f"DateTime takes year, month, day and optionally hour, minute, second, not {len(parts)} parts"
            )
        try:
            return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001 - tenant-local wall time
        except (ValueError, OverflowError) as error:
            raise BadClauseError(f"DateTime: {error}") from error

    def _whole_number(self) -> int:
        text = self._demand("number")
        try:
            return int(text)
        except ValueError as error:
            raise self._unexpected("a whole number", back=1) from error

    def _take(self, kind: str, value: str | None = None) -> str | None:
        if self._next < len(self._tokens):
            got, text, _ = self._tokens[self._next]
            if got == kind and (value is None or text == value):
                self._next += 1
                return text
        return None

    def _take_word(self, word: str) -> bool:
        if self._next < len(self._tokens):
            kind, text, _ = self._tokens[self._next]
            if kind == "name" and text.upper() == word:
                self._next += 1
                return True
        return False

    def _demand(self, kind: str, value: str | None = None) -> str:
        taken = self._take(kind, value)
        if taken is None:
            raise self._unexpected(f"{value!r}" if value else f"a {kind}")
        return taken

    def _unexpected(self, wanted: str, back: int = 0) -> BadClauseError:
        at = self._next - back
        if at < len(self._tokens):
            _, text, place = self._tokens[at]
            return BadClauseError(f"{wanted} expected at character {place}, found {text!r}")
        return BadClauseError(f"{wanted} expected at the end of the clause")


def _holds(condition: Condition, row: Mapping[str, Value], zone: ZoneInfo) -> bool:
    value, literal = row[condition.field], condition.literal
    if condition.operator in _TEXT_TESTS:
        return _TEXT_TESTS[condition.operator](_as_text(value, zone), str(literal))
    if isinstance(value, datetime):
        local = value.astimezone(zone).replace(tzinfo=None)
        return _ORDER_TESTS[condition.operator](_order(local, _local_date(literal)))
    if value is None:
        # An absent value is no date and no number: it equals only the empty text.
        return (condition.operator == "==" and literal == "") or (condition.operator == "!=" and literal != "")
    if isinstance(value, int) and not isinstance(value, bool):
        return _ORDER_TESTS[condition.operator](_order(Decimal(value), _number(literal)))
    return _ORDER_TESTS[condition.operator](_order(str(value), str(literal)))


_TEXT_TESTS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "Contains": lambda value, part: part in value,
    "StartsWith": lambda value, part: value.startswith(part),
    "EndsWith": lambda value, part: value.endswith(part),
}

_ORDER_TESTS: Final[Mapping[str, Callable[[int], bool]]] = {
    "==": lambda order: order == 0,
    "!=": lambda order: order != 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
}


def _order(value: _Ordered, literal: _Ordered) -> int:
    return (value > literal) - (value < literal)


def _as_text(value: Value, zone: ZoneInfo) -> str:
    if value is None:
        return ""
    return value.astimezone(zone).strftime(DATE_FORMAT) if isinstance(value, datetime) else str(value)


def _number(literal: Literal) -> Decimal:
    try:
        return Decimal(str(literal))
    except InvalidOperation as error:
        raise BadClauseError(f"{literal!r} is not a number") from error


def _local_date(literal: Literal) -> datetime:
    """The wall time of a date literal; a quoted text date is taken too, as one public client sends it."""
    if isinstance(literal, datetime):
        return literal
    for date_format in _TEXT_DATE_FORMATS:
        try:
            return datetime.strptime(str(literal).strip("'"), date_format)  # noqa: DTZ007 - tenant-local wall time
        except ValueError:
            continue
    raise BadClauseError(f"{literal!r} is not a date: write DateTime(YYYY,MM,DD,hh,mm,ss)")


def _earliest_instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The earliest instant a wall time can mean: both readings are tried around a clock change."""
    try:
        return min(local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    except OverflowError as error:
        raise BadClauseError(f"{local} is too far away") from error
