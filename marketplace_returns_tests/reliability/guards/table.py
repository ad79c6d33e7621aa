"""The guards of the writes, and for each how it is taken out and which tests must then fail.

Here lives the table. Not here: taking out and running (play.py). Invariant: what is taken out is text that stands exactly
once in today's source, so that a guard that moves is missed loudly.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import marketplace_returns

PACKAGE = Path(marketplace_returns.__file__).parent
TESTS = "marketplace_returns_tests"


@dataclass(frozen=True)
class Guard:
    """A guard: what it holds, where it stands, the text that is replaced and by what, and where it must be missed."""

    name: str
    holds: str
    file: str
    text: str
    without: str
    tests: tuple[str, ...]

    def mutated(self, source: str) -> str:
        """Return the source without the guard; raises ValueError where the text does not stand there exactly once."""
        if (times := source.count(self.text)) != 1:
            raise ValueError(f"guard {self.name}: its text stands {times} times in {self.file}: {self.text!r}")
        return source.replace(self.text, self.without)


DISPATCH = f"{TESTS}/ledger/test_dispatch.py"
EXECUTORS = f"{TESTS}/ledger/test_executors.py"
STEPS = f"{TESTS}/ledger/test_steps.py"
PLANS = f"{TESTS}/ledger/test_plans.py"
LOOKS = f"{TESTS}/ledger/test_refund_looks.py"
RETURNS = f"{TESTS}/ledger/test_returns_path.py"
WAREHOUSE = f"{TESTS}/ledger/test_warehouse_writes.py"
ADDITIONS = f"{TESTS}/ledger/test_stock_additions.py"
HTTP = f"{TESTS}/sources/test_http.py"
BUDGET = f"{TESTS}/sources/test_budget.py"
SYNC = f"{TESTS}/orchestration/test_sync.py"
RESULTS = f"{TESTS}/cli/test_results.py"
PULL = f"{TESTS}/lake/test_pull.py"

INTENTS = "ledger/intents.py"
LEDGER = "ledger/ledger.py"
REFUND = "ledger/executors/refund.py"

GUARDS = (
    Guard(
        "baseline",
        "a refund that stood on the line before is not taken for the one that was sent",
        REFUND,
        'known = {*intent.baseline.get("refund_ids", ()), *_refs(spent)}',
        "known = _refs(spent)",
        (
            f"{EXECUTORS}::test_an_older_goodwill_refund_is_baseline_and_does_not_confuse_the_read_back",
            f"{EXECUTORS}::test_equal_units_of_one_line_are_each_refunded_once",
        ),
    ),
    Guard(
        "manual refund adopted",
        "a refund of the same money that somebody made by hand is taken over, not made again",
        REFUND,
        "same = [each for each in strange if money_of(each) == money_of(wanted)]",
        "same: list[Row] = []",
        (
            f"{EXECUTORS}::test_a_refund_made_by_hand_before_is_adopted",
            f"{EXECUTORS}::test_equal_units_of_one_line_are_each_refunded_once",
        ),
    ),
    Guard(
        "late manual refund",
        "a refund of other money that came after the plan stops it",
        REFUND,
        "if late := [each for each in strange if _created_at(each) >= intent.planned_at or _is_in_gap(each, restores)]:",
        "if late := list[Row]():",
        (f"{EXECUTORS}::test_a_refund_of_another_amount_made_by_hand_stops_ours",),
    ),
    Guard(
        "cap",
        "the refunds of a line never exceed it, part by part",
        REFUND,
        "if excess := over_cap(line, spent, wanted):",
        'if excess := "":',
        (
            f"{EXECUTORS}::test_refunds_never_exceed_the_line",
            f"{EXECUTORS}::test_a_refund_is_sent_once_and_keeps_the_marketplaces_id",
        ),
    ),
    Guard(
        "UNKNOWN as spent",
        "what may be outside counts against the caps",
        "ledger/states.py",
        "SPENT: Final = frozenset({State.SENDING, State.UNKNOWN, State.CONFIRMED,",
        "SPENT: Final = frozenset({State.CONFIRMED,",
        (LOOKS, STEPS),
    ),
    Guard(
        "unique key",
        "a write planned twice is one intent",
        INTENTS,
        'hashlib.sha256(f"{shop}\\n{kind}\\n{natural_key}".encode()).hexdigest()[:24]',
        'hashlib.sha256(f"{shop}\\n{kind}\\n{natural_key}".encode() + __import__("os").urandom(8)).hexdigest()[:24]',
        (DISPATCH, PLANS),
    ),
    Guard(
        "lease",
        "what one worker holds no other gets",
        INTENTS,
        "is_free = or_(table.c.lease_until.is_(None), table.c.lease_until <= now)\n    due = and_(",
        "is_free = table.c.shop == shop\n    due = and_(",
        (DISPATCH,),
    ),
    Guard(
        "lease still held",
        "a worker that lost its lease may not begin",
        LEDGER,
        "if each.state is State.PLANNED and each.lease_owner == worker and (each.lease_until or now) > now",
        "if each.state is State.PLANNED",
        (DISPATCH,),
    ),
    Guard(
        "not before",
        "a write that is to wait waits",
        INTENTS,
        "        or_(table.c.not_before.is_(None), table.c.not_before <= now),\n        is_free,\n",
        "        is_free,\n",
        (f"{DISPATCH}::test_not_before_holds_a_write_back",),
    ),
    Guard(
        "one refund an order",
        "of one order one refund is claimed at a time",
        INTENTS,
        "query = select(ranked).where(ranked.c.place == 1)",
        "query = select(ranked).where(ranked.c.place >= 1)",
        (DISPATCH,),
    ),
    Guard(
        "unclear refund holds its order",
        "no refund of an order leaves while another of it is on its way or unclear",
        INTENTS,
        "other.c.state.in_((State.SENDING, State.UNKNOWN, State.CONFLICT)),",
        "other.c.state.in_((State.CONFLICT,)),",
        (DISPATCH,),
    ),
    Guard(
        "frozen order",
        "no refund of an order leaves while one of it is in conflict",
        INTENTS,
        "other.c.state.in_((State.SENDING, State.UNKNOWN, State.CONFLICT)),",
        "other.c.state.in_((State.SENDING, State.UNKNOWN)),",
        (DISPATCH,),
    ),
    Guard(
        "two reads",
        "one empty look does not prove that a refund was not applied",
        "ledger/steps.py",
        "first_empty is not None and now - first_empty >= timedelta(seconds=timing.not_applied_after_s)",
        "True",
        (DISPATCH, STEPS),
    ),
    Guard(
        "fresh read",
        "a look while the server may still be working proves nothing",
        REFUND,
        "return Absent(is_fresh=now >= sent_at + timedelta(seconds=self._answer_s_max))",
        "return Absent()",
        (LOOKS,),
    ),
    Guard(
        "unclear twice",
        "a refund that ended unclear twice goes to a person",
        "ledger/steps.py",
        "if intent.unknown_count >= (UNKNOWN_MAX[intent.kind] if may_repeat else UNKNOWN_MAX_ONCE):",
        "if intent.unknown_count >= 10**6:",
        (STEPS,),
    ),
    Guard(
        "steps in the table",
        "no write takes a step that its state does not allow",
        "ledger/states.py",
        "if wanted not in TRANSITIONS[current]:",
        "if False:",
        (STEPS,),
    ),
    Guard(
        "body stays once unclear",
        "what was sent unclear is read back for, so a new plan does not change it",
        INTENTS,
        'if current is wanted and (not is_changed or known["unknown_count"]):',
        "if current is wanted and not is_changed:",
        (LOOKS, PLANS),
    ),
    Guard(
        "recovery",
        "a write whose worker did not come back becomes unclear",
        LEDGER,
        "            left = intents.abandoned(connection, now)\n",
        "            left = intents.abandoned(connection, now)[:0]\n",
        (DISPATCH,),
    ),
    Guard(
        "fault while sending",
        "a fault of ours leaves the batch unclear, not planned",
        "ledger/dispatch.py",
        "        ledger.finish(leaving, {each.intent_id: unclear for each in leaving})\n",
        "",
        (DISPATCH,),
    ),
    Guard(
        "newest stock value",
        "an older figure of an offer does not leave after a newer one",
        LEDGER,
        "claimed, older = intents.supersede_older_values(connection, claimed, now)",
        "older = []",
        (DISPATCH,),
    ),
    Guard(
        "addition read back",
        "an addition to stock is not made again unseen",
        "ledger/states.py",
        "return kind in REPEATABLE and not natural_key.startswith(DELTA_KEY)",
        "return kind in REPEATABLE",
        (f"{ADDITIONS}::test_an_addition_that_never_arrived_is_sent_again_after_two_reads_and_holds_the_next",),
    ),
    Guard(
        "kill switch",
        "a kind that is switched off does not leave",
        "ledger/dispatch.py",
        "return mode_of(kind) is WriteMode.LIVE",
        "return True",
        (DISPATCH,),
    ),
    Guard(
        "shadow kind",
        "a kind in shadow is shown, never planned",
        INTENTS,
        "wanted = State.SHADOWED if shop.write_mode(each.kind) is WriteMode.SHADOW else State.PLANNED",
        "wanted = State.PLANNED",
        (PLANS,),
    ),
    Guard(
        "shadow pass",
        "a pass in shadow hands the ledger nothing and sends nothing",
        "orchestration/sync.py",
        "    if shadow:\n        sent = SendReport({}, reflection.Reflected(0, 0, 0))\n    else:\n",
        "    if True:\n",
        (f"{SYNC}::test_shadow_pass_shows_the_plans_and_sends_nothing",),
    ),
    Guard(
        "shadow decision",
        "a lane that decides in shadow makes no intent",
        "orchestration/sync.py",
        "    if shadow:\n        return LaneReport(*found, decision=decision)\n",
        "",
        (f"{SYNC}::test_shadow_pass_shows_the_plans_and_sends_nothing",),
    ),
    Guard(
        "backfill silence",
        "reading days again sends nothing",
        "cli/work.py",
        "    extend_model(app, shop, run_id=run)\n    return rows",
        "    run_pass(app, shop, run_id=run)\n    return rows",
        (f"{RESULTS}::test_backfill_sends_nothing_and_twice_gives_the_same_tables",),
    ),
    Guard(
        "a write leaves once",
        "an unclear write is not repeated by the HTTP door",
        "sources/http.py",
        "            is_write=True,\n        )\n        if attempt.outcome is not Outcome.ANSWERED:\n            self._raise_write",
        "            is_write=True,\n        )\n        if attempt.outcome is Outcome.UNKNOWN:\n"
        "            attempt = self._attempt(\n                operation,\n                self._request(\n"
        "                    method, path, params=params, json=json, content=content, files=files, headers=headers\n"
        "                ),\n                is_write=True,\n            )\n"
        "        if attempt.outcome is not Outcome.ANSWERED:\n            self._raise_write",
        (HTTP,),
    ),
    Guard(
        "ceiling",
        "no window holds more calls than its ceiling",
        "sources/budget.py",
        "if len(made_us) >= allowed:",
        "if len(made_us) >= allowed + 1:",
        (
            f"{BUDGET}::test_every_window_holds",
            f"{BUDGET}::test_a_call_waits_for_its_slot_within_the_bound",
        ),
    ),
    Guard(
        "Retry-After",
        "a 429 holds the operation back in every process",
        "sources/http.py",
        "            self._budget.block(operation, self._retry_after_s(attempt))\n",
        "            pass\n",
        (HTTP,),
    ),
    Guard(
        "acceptance found done",
        "an order that is accepted already is not refused for good",
        "ledger/executors/accept_order.py",
        'return order is not None and order["order_state"] not in NOT_DECIDED | ENDED_UNSHIPPED',
        "return False",
        (f"{EXECUTORS}::test_orders_are_accepted_once_and_a_second_acceptance_counts_as_done",),
    ),
    Guard(
        "return searched by our key",
        "a platform return whose creation ended unclear is found by our key, not made again",
        "ledger/executors/platform_return.py",
        "return Found(known[0]) if known else Absent()",
        "return Absent()",
        (f"{RETURNS}::test_the_way_of_a_return_from_creation_to_closing_with_every_reply_lost_once",),
    ),
    Guard(
        "warehouse order seen before saved",
        "an order that the warehouse has is not saved again, and another under its number is not overwritten",
        "ledger/executors/warehouse_order.py",
        "        case Held.OTHER | Held.CANCELLED as state if found is not None:\n"
        '            return Blocked("WMS_ORDER_FAILED"',
        "        case Held.OTHER | Held.CANCELLED as state if found is None:\n"
        '            return Blocked("WMS_ORDER_FAILED"',
        (f"{WAREHOUSE}::test_an_order_saved_by_half_is_made_whole_and_another_under_its_number_is_a_conflict",),
    ),
    Guard(
        "older page",
        "an older page never overwrites a newer row",
        "lake/upsert.py",
        "OR ((came.{table.version}, came.fetched_at) >= (kept.{table.version}, kept.fetched_at) AND ({differs}))",
        "OR ({differs})",
        (f"{PULL}::test_an_older_page_after_a_newer_one_changes_nothing",),
    ),
    Guard(
        "cursor after the pull",
        "a poll that failed does not move its cursor",
        "orchestration/pulling.py",
        "    watermark = app.ledger.cursor(shop.name, stream.name)\n    polled",
        "    watermark = app.ledger.cursor(shop.name, stream.name)\n"
        "    app.ledger.set_cursor(shop.name, stream.name, now)\n    polled",
        (f"{SYNC}::test_failed_poll_leaves_the_cursor_and_reading_again_moves_none",),
    ),
)
"""All guards, in the order of the page."""
