"""A sample of the payload abuse, and that every mutation can be drawn; ``make reliability`` plays 60,000 mutants."""

from __future__ import annotations

import json
from collections import Counter
from random import Random

import pytest

from marketplace_returns_tests.reliability.abuse.batch import DIED, land
from marketplace_returns_tests.reliability.abuse.mutate import NAMES, Reply, mutate
from marketplace_returns_tests.reliability.abuse.reads import reads_of
from marketplace_returns_tests.reliability.abuse.scene import Scene, Setting

ORDERS = Reply(
    200,
    (("content-type", "application/json"),),
    json.dumps(
        {
            "orders": [
                {
                    "order_id": "O1",
                    "currency_iso_code": "GBP",
                    "price": 10.5,
                    "created_date": "2026-10-01T10:00:00Z",
                    "order_lines": [{"order_line_id": "L1", "quantity": 1, "refunds": []}],
                }
            ],
            "total_count": 1,
        }
    ).encode(),
)
STOCK = Reply(
    200,
    (),
    b'<?xml version="1.0" encoding="utf-8"?><r xmlns="http://www.peoplevox.net/"><ResponseId>0</ResponseId>'
    b'<TotalCount>2</TotalCount><Detail>"Item code","Available","Since"\n"A","5","\'01/10/2026 10:00\'"\n"B","6",""\n'
    b"</Detail></r>",
)


@pytest.mark.parametrize("reply", [ORDERS, STOCK], ids=["json", "table"])
def test_a_mutant_differs_and_the_same_chance_gives_the_same(reply: Reply) -> None:
    drawn = Counter()
    for number in range(600):
        mutant = mutate(reply, Random(number))
        assert mutant.reply != reply
        assert mutate(reply, Random(number)) == mutant
        drawn[mutant.name] += 1
    of_tables = {"currency", "quotes"}
    assert set(drawn) >= set(NAMES) - ({"envelope", "quotes"} if reply is ORDERS else of_tables)


@pytest.mark.played
def test_abused_orders_never_end_the_run_nor_send_what_is_not_so() -> None:
    config = {"orders": 12, "days": 1, "skus": 6, "export_delay_s": 0.0, "import_delay_s": 0.0}
    with Scene(Setting("sample", config, passes=(), hours_unseen=13)) as scene:
        with scene.batch() as app:
            reads = [each for each in reads_of("mirakl", app, scene.clock.now()) if "order" in each.stream]
        verdict = land(scene, "mirakl", reads, Random(3), 60)
    assert not verdict.failures
    assert not verdict.wrongs
    fates = Counter(key[2] for key, count in verdict.counts.items() if key[0] == "fate" for _ in range(count))
    assert fates.total() == 60
    assert not fates[DIED]
    assert min(fates["typed"], fates["set aside"], fates["refused"]) > 0
