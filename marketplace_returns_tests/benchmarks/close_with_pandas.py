"""The month's close as somebody writes it with pandas: the tables of ``hand_written.sql``, by the same rules.

Here: one function per table over the folder's Parquet, with columns of Arrow. Not here: what is compared (``close``). The
invariant: each file is read once and only in the columns that are needed, and no row is looped over.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

COMPONENTS = ("sales", "shipping", "sales_tax", "shipping_tax", "commission", "commission_vat")
_BOOKED = (
    "ORDER_AMOUNT",
    "ORDER_SHIPPING_AMOUNT",
    "ORDER_AMOUNT_TAX",
    "ORDER_SHIPPING_AMOUNT_TAX",
    "COMMISSION_FEE",
    "COMMISSION_VAT",
)
_DONE = ("CONFIRMED", "REFLECTED", "SETTLED")


class PandasClose:
    """The close of one month over a folder of Parquet; ``close`` writes ``pandas_<table>.parquet`` beside it."""

    contestant = "pandas"

    def __init__(self, folder: Path, start: pd.Timestamp, end: pd.Timestamp, refund_due_before: pd.Timestamp) -> None:
        self.folder = folder
        self.start, self.end, self.refund_due_before = start, end, refund_due_before

    def read(self, name: str, *columns: str) -> pd.DataFrame:
        return pd.read_parquet(self.folder / f"{name}.parquet", columns=list(columns) or None, dtype_backend="pyarrow")

    def write(self, name: str, frame: pd.DataFrame) -> None:
        frame.to_parquet(self.folder / f"{self.contestant}_{name}.parquet", index=False)

    def close(self) -> int:
        """Make every table; return the log's lines."""
        log = self.read(
            "mirakl__transactions",
            "billing_cycle_id",
            "transaction_type",
            "payment_state",
            "order_id",
            "order_line_id",
            "refund_id",
            "amount_minor",
            "created_at",
        )
        rows = len(log)
        log = log[log["payment_state"] != "NOT_APPLICABLE"].drop(columns="payment_state")
        lines = self.read("mirakl__order_lines")
        refunds = self.read("mirakl__refunds")
        cycles = self.read(
            "mirakl__billing_cycles", "billing_cycle_id", "created_at", "pay_out_state", "amount_to_seller_minor"
        )
        intents = self.read("intents")
        intents = intents[(intents["kind"] == "refund") & intents["state"].isin(_DONE)].rename(
            columns={"external_ref": "refund_id"}
        )
        sums = self.log_sums(log)
        proof = self.payout_proof(sums, cycles)
        self.payout_components(sums, proof)
        self.roll_forward(sums)
        compared = self.order_vs_ledger(log, lines)
        units = self.units(lines)
        matched = self.refund_three_way(log, refunds, intents, units)
        paid_back = self.unit_refunds(units, intents, refunds)
        self.physical_roll(paid_back)
        self.accrual_bridge(paid_back, sums)
        self.vat(lines, refunds, sums)
        self.commission(lines, refunds, compared, matched)
        self.timing(log, lines, cycles, sums, matched, units)
        self.aged(lines, proof, compared, matched, units)
        return rows

    def log_sums(self, log: pd.DataFrame) -> pd.DataFrame:
        before, within = log["created_at"] < self.start, log["created_at"] < self.end
        period = np.select([before.to_numpy(bool), within.to_numpy(bool)], ["before", "within"], "after")
        sums = (
            log.assign(period=period)
            .groupby(["billing_cycle_id", "transaction_type", "period"], dropna=False)
            .agg(amount_minor=("amount_minor", "sum"), lines=("amount_minor", "size"), last=("created_at", "max"))
            .reset_index()
        )
        types = self.read("transaction_types", "type", "component", "ledger_account")
        sums = sums.merge(types, left_on="transaction_type", right_on="type", how="left")
        return sums.fillna({"component": "UNMAPPED", "ledger_account": "suspense"})

    def payout_proof(self, sums: pd.DataFrame, cycles: pd.DataFrame) -> pd.DataFrame:
        held = sums[sums["billing_cycle_id"].notna()]
        is_payment = held["transaction_type"] == "PAYMENT"
        logged = pd.DataFrame(
            {
                "ledger_amount_minor": held[~is_payment].groupby("billing_cycle_id")["amount_minor"].sum(),
                "payment_amount_minor": -held[is_payment].groupby("billing_cycle_id")["amount_minor"].sum(),
                "last": held.groupby("billing_cycle_id")["last"].max(),
            }
        ).rename_axis("billing_cycle_id")
        invoices = self.read("mirakl__invoices", "billing_cycle_id", "invoice_type", "amount_transferred_minor")
        invoices = invoices[invoices["invoice_type"] == "AUTO_INVOICE"]
        invoiced = invoices.groupby("billing_cycle_id")["amount_transferred_minor"].sum().rename("invoice_amount_minor")
        proof = (
            cycles.rename(columns={"amount_to_seller_minor": "statement_amount_minor"})
            .merge(logged.reset_index(), on="billing_cycle_id", how="outer")
            .merge(invoiced.reset_index(), on="billing_cycle_id", how="left")
        )
        proof["date_created"] = proof["created_at"].fillna(proof["last"])
        proof = proof[(proof["date_created"] >= self.start) & (proof["date_created"] < self.end)]
        proof["pay_out_state"] = proof["pay_out_state"].fillna("NOT_ON_STATEMENT")
        proof["ledger_amount_minor"] = proof["ledger_amount_minor"].fillna(0)
        stated, paid = proof["statement_amount_minor"], proof["payment_amount_minor"]
        due = paid.mask(paid.isna() & (proof["pay_out_state"] == "PAID"), 0)
        differs = (
            (proof["ledger_amount_minor"] != stated).fillna(value=True)
            | (due != stated).fillna(value=False)
            | (proof["invoice_amount_minor"] != stated).fillna(value=False)
        )
        proof["status"] = np.select(
            [differs.to_numpy(bool), paid.isna().to_numpy(bool)], ["VARIANCE", "OPEN"], "PROVEN"
        )
        self.write("payout_proof", proof)
        return proof

    def payout_components(self, sums: pd.DataFrame, proof: pd.DataFrame) -> None:
        totals = self.read("mirakl__billing_cycle_totals", "billing_cycle_id", "field", "amount_minor")
        parts = self.read("statement_components")
        plus = totals.merge(parts, left_on="field", right_on="plus_field")
        minus = totals.merge(parts, left_on="field", right_on="minus_field")
        minus["amount_minor"] = -minus["amount_minor"]
        stated = pd.concat([plus, minus]).groupby(["billing_cycle_id", "component"])["amount_minor"].sum()
        held = sums[sums["transaction_type"] != "PAYMENT"].merge(
            self.read("component_types"), on="transaction_type", how="left", suffixes=("_mapped", "")
        )
        held["component"] = held["component"].fillna(held["component_mapped"])
        logged = held.groupby(["billing_cycle_id", "component"])["amount_minor"].sum()
        table = (
            stated[stated != 0]
            .rename("statement_amount_minor")
            .reset_index()
            .merge(
                logged.rename("ledger_amount_minor").reset_index(), on=["billing_cycle_id", "component"], how="outer"
            )
            .fillna({"statement_amount_minor": 0, "ledger_amount_minor": 0})
        )
        table["difference_minor"] = table["ledger_amount_minor"] - table["statement_amount_minor"]
        self.write("payout_components", table[table["billing_cycle_id"].isin(proof["billing_cycle_id"])])

    def roll_forward(self, sums: pd.DataFrame) -> None:
        figures = ["amount_minor", "lines"]
        within = sums[sums["period"] == "within"].groupby("component")[figures].sum().reset_index()
        opening = sums[sums["period"] == "before"][figures].sum().to_frame().T.assign(component="opening")
        closing = sums[sums["period"] != "after"][figures].sum().to_frame().T.assign(component="closing")
        self.write("control_roll_forward", pd.concat([opening, within, closing]))

    def order_vs_ledger(self, log: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
        sales = log[log["order_line_id"].notna() & log["refund_id"].isna() & (log["created_at"] < self.end)]
        pivot = sales.pivot_table(
            index="order_line_id", columns="transaction_type", values="amount_minor", aggfunc="sum", fill_value=0
        ).reindex(columns=list(_BOOKED), fill_value=0)
        pivot.columns = [f"ledger_{component}_minor" for component in COMPONENTS]
        last = sales.groupby("order_line_id").agg(last=("created_at", "max"), booked_order=("order_id", "first"))
        ordered = lines[lines["debited_at"] < self.end][["order_id", "order_line_id", "debited_at"]].assign(
            order_sales_minor=lines["price_minor"],
            order_shipping_minor=lines["shipping_price_minor"],
            order_sales_tax_minor=lines["product_tax_minor"],
            order_shipping_tax_minor=lines["shipping_tax_minor"],
            order_commission_minor=-lines["commission_fee_minor"],
            order_commission_vat_minor=-lines["commission_vat_minor"],
        )
        table = self.beside(ordered, pivot.join(last).reset_index())
        is_debited = (table["debited_at"] >= self.start).fillna(value=False)
        is_booked = (table["last"] >= self.start).fillna(value=False)
        table = table[is_debited | is_booked]
        table["order_id"] = table["order_id"].fillna(table["booked_order"])
        amounts = [f"{side}_{component}_minor" for component in COMPONENTS for side in ("order", "ledger")]
        table[amounts] = table[amounts].fillna(0)
        code = np.full(len(table), "", dtype=object)
        for component in reversed(COMPONENTS):
            order = table[f"order_{component}_minor"].to_numpy("int64")
            ledger = table[f"ledger_{component}_minor"].to_numpy("int64")
            other = (
                "COMMISSION_RATE"
                if component.startswith("commission")
                else "TAX_CODE"
                if component.endswith("tax")
                else "UNKNOWN"
            )
            why = np.select([ledger == 0, np.abs(order - ledger) == 1], ["MISSING_EXTRACT", "ROUNDING"], other)
            code = np.where((order != ledger) & ((why != "ROUNDING") | (code == "")), why, code)
        table["variance_code"] = code
        table = table[["order_id", "order_line_id", *amounts, "variance_code"]]
        self.write("order_vs_ledger", table)
        return table

    def beside(self, ordered: pd.DataFrame, booked: pd.DataFrame) -> pd.DataFrame:
        """Put what was ordered beside what the log booked, line by line, and keep what is on one side alone."""
        return ordered.merge(booked, on="order_line_id", how="outer")

    def units(self, lines: pd.DataFrame) -> pd.DataFrame:
        units = self.read("return_unit_assignments", "return_id", "order_line_id", "ordinal")
        units["return_unit_id"] = units["order_line_id"] + "#" + units["ordinal"].astype("string[pyarrow]")
        returns = self.read("mirakl__returns", "return_id", "return_state", "created_at", "updated_at")
        receipts = self.read(
            "peoplevox__returns",
            "return_code",
            "item_code",
            "row_no",
            "return_condition",
            "is_reusable",
            "returned_at",
        )
        receipts["receipt_event_id"] = (
            "peoplevox:"
            + receipts["return_code"]
            + ":"
            + receipts["item_code"]
            + ":"
            + receipts["row_no"].astype("string[pyarrow]")
        )
        receipts["source_code"] = (
            receipts["return_condition"].str.lower() + "|" + receipts["is_reusable"].map({True: "true", False: "false"})
        )
        found = receipts.merge(self.read("dispositions", "source_code", "canonical"), on="source_code", how="left")
        given = self.read("receipt_assignments", "receipt_event_id", "return_unit_id", "return_id", "matched_by").merge(
            found[["receipt_event_id", "canonical", "returned_at"]], on="receipt_event_id", how="left"
        )
        given["disposition"] = given["canonical"].mask(given["matched_by"] == "wrong_item", "wrong_item")
        platform = self.read("reveni__returns", "external_id", "shipped_at").rename(
            columns={"external_id": "return_id"}
        )
        units = (
            units.merge(returns.rename(columns={"created_at": "requested_at"}), on="return_id")
            .merge(
                lines[["order_line_id", "order_id", "price_minor", "product_tax_minor", "quantity"]], on="order_line_id"
            )
            .merge(
                given[["return_unit_id", "return_id", "disposition", "returned_at"]],
                on=["return_unit_id", "return_id"],
                how="left",
            )
            .merge(platform, on="return_id", how="left")
            .rename(columns={"returned_at": "inspected_at"})
        )
        is_off = units["return_state"].isin(["REFUSED", "CANCELED"])
        units["called_off_at"] = units["updated_at"].where(is_off)
        for name, total in (
            ("value_minor", units["price_minor"]),
            ("owed_minor", units["price_minor"] + units["product_tax_minor"]),
        ):
            upper = (2 * total * units["ordinal"] + units["quantity"]) // (2 * units["quantity"])
            lower = (2 * total * (units["ordinal"] - 1) + units["quantity"]) // (2 * units["quantity"])
            units[name] = upper - lower
        return units[
            [
                "return_unit_id",
                "return_id",
                "order_id",
                "order_line_id",
                "ordinal",
                "shipped_at",
                "inspected_at",
                "disposition",
                "requested_at",
                "called_off_at",
                "value_minor",
                "owed_minor",
            ]
        ]

    @staticmethod
    def by_hand(refunds: pd.DataFrame, free: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Give refunds by hand the free units of their lines, in order; the units come back with their place."""
        foreign = refunds.sort_values(["order_line_id", "created_at", "refund_id"])[
            ["refund_id", "order_line_id", "created_at"]
        ]
        foreign["place"] = foreign.groupby("order_line_id").cumcount()
        free = free.sort_values(["order_line_id", "inspected_at", "ordinal"])
        free = free.assign(place=free.groupby("order_line_id").cumcount())
        return foreign, free

    def refund_three_way(
        self, log: pd.DataFrame, refunds: pd.DataFrame, intents: pd.DataFrame, units: pd.DataFrame
    ) -> pd.DataFrame:
        booked = log[log["refund_id"].notna()]
        in_time = booked[booked["created_at"] < self.end]
        kind = in_time["transaction_type"]

        def summed(wanted: pd.Series) -> pd.Series:
            return in_time[wanted].groupby("refund_id")["amount_minor"].sum()

        is_commission = kind.str.startswith("REFUND_COMMISSION")
        is_tax = kind.str.startswith("REFUND_ORDER") & kind.str.endswith("_TAX")
        settled = pd.DataFrame(
            {
                "s_order": booked.groupby("refund_id")["order_id"].first(),
                "s_line": booked.groupby("refund_id")["order_line_id"].first(),
                "s_product": -summed(kind == "REFUND_ORDER_AMOUNT"),
                "s_shipping": -summed(kind == "REFUND_ORDER_SHIPPING_AMOUNT"),
                "s_tax": -summed(is_tax),
                "s_commission": summed(is_commission),
                "is_settled": in_time[kind.str.startswith("REFUND_ORDER")].groupby("refund_id").size() > 0,
                "booked_at": in_time.groupby("refund_id")["created_at"].max(),
                "is_booked_later": booked[booked["created_at"] >= self.end].groupby("refund_id").size() > 0,
            }
        ).rename_axis("refund_id")
        parts = ["s_product", "s_shipping", "s_tax", "s_commission"]
        settled[parts] = settled[parts].fillna(0)
        settled["settled_amount_minor"] = (settled["s_product"] + settled["s_shipping"] + settled["s_tax"]).where(
            settled["is_settled"].eq(other=True).fillna(value=False)
        )
        known = refunds[refunds["created_at"] < self.end]
        made = pd.DataFrame(
            {
                "refund_id": known["refund_id"],
                "m_order": known["order_id"],
                "m_line": known["order_line_id"],
                "created_at": known["created_at"],
                "paid_at": known["paid_at"],
                "m_product": known["amount_minor"],
                "m_shipping": known["shipping_amount_minor"],
                "m_tax": known["tax_minor"] + known["shipping_tax_minor"],
                "m_commission": known["commission_minor"] + known["commission_vat_minor"],
            }
        )
        made["marketplace_amount_minor"] = made["m_product"] + made["m_shipping"] + made["m_tax"]
        claims = intents[intents["confirmed_at"] < self.end]
        evidence = claims["evidence"].str.extract(r'"evidence_class"\s*:\s*"([^"]*)"', expand=False)
        shipping = claims["body"].str.extract(r'"shipping_amount"\s*:\s*"?([0-9.]+)', expand=False).astype("float64")
        confirmed = pd.DataFrame(
            {
                "intent_id": claims["intent_id"],
                "refund_id": claims["refund_id"],
                "i_order": claims["order_id"],
                "i_line": claims["order_line_id"],
                "return_unit_id": claims["return_unit_id"],
                "intended_amount_minor": claims["amount_minor"],
                "sent_at": claims["sent_at"],
                "confirmed_at": claims["confirmed_at"],
                "evidence_class": evidence,
                "has_shipping": shipping > 0,
            }
        ).merge(units[["return_unit_id", "return_id", "inspected_at", "disposition"]], on="return_unit_id", how="left")
        free = units[~units["return_unit_id"].isin(confirmed["return_unit_id"])]
        foreign, free = self.by_hand(known[~known["refund_id"].isin(confirmed["refund_id"])], free)
        hand = foreign[["refund_id", "order_line_id", "place"]].merge(free, on=["order_line_id", "place"])
        matched = (
            made.merge(settled.reset_index(), on="refund_id", how="outer")
            .merge(confirmed, on="refund_id", how="outer")
            .merge(
                hand[["refund_id", "return_unit_id", "return_id", "inspected_at", "disposition"]],
                on="refund_id",
                how="left",
                suffixes=("", "_h"),
            )
        )
        is_alive = (
            (matched["created_at"] >= self.start).fillna(value=False)
            | (matched["marketplace_amount_minor"].notna() & matched["paid_at"].isna())
            | (matched["paid_at"] >= self.start).fillna(value=False)
            | (matched["booked_at"] >= self.start).fillna(value=False)
            | (matched["confirmed_at"] >= self.start).fillna(value=False)
        )
        matched = matched[is_alive]
        for name in ("return_unit_id", "return_id", "inspected_at", "disposition"):
            matched[name] = matched[name].fillna(matched[f"{name}_h"])
        matched["order_id"] = matched["m_order"].fillna(matched["i_order"]).fillna(matched["s_order"])
        matched["order_line_id"] = matched["m_line"].fillna(matched["i_line"]).fillna(matched["s_line"])
        matched["requested_at"] = matched["created_at"].fillna(matched["sent_at"])
        is_refund = matched["marketplace_amount_minor"].notna() | matched["s_product"].notna()
        matched["match_key"] = ("refund:" + matched["refund_id"]).where(is_refund, "intent:" + matched["intent_id"])
        is_here = (matched["inspected_at"] < self.end).fillna(value=False)
        matched["disposition"] = matched["disposition"].where(is_here)
        three = matched[["intended_amount_minor", "marketplace_amount_minor", "settled_amount_minor"]].fillna(0)
        matched["difference_minor"] = three.max(axis=1) - three.min(axis=1)
        matched["verdict"] = self.verdicts(matched, is_here)
        refunded = self.read("reveni__refunds", "platform_return_id", "amount_minor", "status")
        platform = (
            refunded[refunded["status"] != "FAILED"]
            .merge(self.read("reveni__returns", "platform_return_id", "external_id"), on="platform_return_id")
            .groupby("external_id")["amount_minor"]
            .sum()
            .rename_axis("return_id")
            .rename("platform_amount_minor")
            .reset_index()
        )
        matched = matched.merge(platform, on="return_id", how="left")
        left = free[
            (free["inspected_at"] < self.end).fillna(value=False)
            & (free["disposition"] == "sellable").fillna(value=False)
            & ~free["return_unit_id"].isin(hand["return_unit_id"])
        ]
        late = np.where(
            left["inspected_at"] < self.refund_due_before, "RECEIPT_WITHOUT_REFUND", "TIMING_REFUND_PENDING"
        )
        left = left.drop(columns="requested_at").assign(
            match_key="unit:" + left["return_unit_id"], difference_minor=0, verdict=late
        )
        columns = [
            "match_key",
            "order_id",
            "order_line_id",
            "return_id",
            "return_unit_id",
            "refund_id",
            "intended_amount_minor",
            "marketplace_amount_minor",
            "settled_amount_minor",
            "platform_amount_minor",
            "disposition",
            "requested_at",
            "paid_at",
            "difference_minor",
            "verdict",
            "inspected_at",
        ]
        table = pd.concat([matched[columns], left.reindex(columns=columns)])
        self.write("refund_three_way", table)
        return table

    def verdicts(self, matched: pd.DataFrame, is_here: pd.Series) -> np.ndarray:
        intended, made = matched["intended_amount_minor"], matched["marketplace_amount_minor"]
        settled, paid_at = matched["settled_amount_minor"], matched["paid_at"]
        same_product = matched["s_product"] == matched["m_product"]
        same_shipping = matched["s_shipping"] == matched["m_shipping"]
        has_evidence = (
            (matched["inspected_at"] <= matched["sent_at"])
            | matched["evidence_class"].isin(["RECEIVED", "CARRIER_SCAN"])
            | ((matched["evidence_class"] == "SLA_FORCED") & is_here)
        )
        rules = [
            (made.isna(), "MISSING_EXTRACT"),
            (intended.isna() & matched["return_id"].notna() & ~is_here, "REFUND_WITHOUT_RECEIPT"),
            (intended.isna(), "MANUAL_PORTAL_REFUND"),
            ((intended - made > 1) & (matched["m_shipping"] == 0) & matched["has_shipping"], "SHIPPING_NOT_REFUNDED"),
            ((intended - made).abs() > 1, "UNKNOWN"),
            (settled.isna() & (paid_at.isna() | (paid_at >= self.end)), "TIMING_REFUND_PENDING"),
            (settled.isna() & matched["is_booked_later"], "TIMING_CUTOFF"),
            (settled.isna(), "MISSING_EXTRACT"),
            (((settled - made).abs() > 1) & same_product & same_shipping, "TAX_CODE"),
            (((settled - made).abs() > 1) & same_product & (matched["s_shipping"] == 0), "SHIPPING_NOT_REFUNDED"),
            ((settled - made).abs() > 1, "UNKNOWN"),
            ((matched["m_commission"] != 0) & (matched["s_commission"] == 0), "COMMISSION_CREDIT_MISSING"),
            (~has_evidence.fillna(value=False), "REFUND_WITHOUT_RECEIPT"),
            ((intended != made) | (settled != made), "ROUNDING"),
        ]
        return np.select(
            [rule.fillna(value=False).to_numpy(bool) for rule, _ in rules],
            [verdict for _, verdict in rules],
            "MATCHED",
        )

    def unit_refunds(self, units: pd.DataFrame, intents: pd.DataFrame, refunds: pd.DataFrame) -> pd.DataFrame:
        ours = intents[["return_unit_id", "confirmed_at"]].rename(columns={"confirmed_at": "refunded_at"})
        refunded = units.merge(ours, on="return_unit_id")
        foreign, free = self.by_hand(
            refunds[~refunds["refund_id"].isin(intents["refund_id"])],
            units[~units["return_unit_id"].isin(ours["return_unit_id"])],
        )
        rest = free.merge(
            foreign[["order_line_id", "place", "created_at"]], on=["order_line_id", "place"], how="left"
        ).rename(columns={"created_at": "refunded_at"})
        return pd.concat([refunded, rest.drop(columns="place")])

    def physical_roll(self, paid_back: pd.DataFrame) -> None:
        moved = paid_back[(paid_back["inspected_at"] < self.end).fillna(value=False)]
        decided = moved["refunded_at"].fillna(moved["called_off_at"])
        gone = decided.mask(decided < moved["inspected_at"], moved["inspected_at"])
        is_before = moved["inspected_at"] < self.start
        is_refunded = moved["refunded_at"].notna()

        def line(stage: str, wanted: pd.Series, sign: int = 1) -> dict[str, object]:
            rows = moved[wanted.fillna(value=False)]
            return {"stage": stage, "quantity": sign * len(rows), "value_minor": sign * int(rows["value_minor"].sum())}

        left = (gone >= self.start) & (gone < self.end)
        received = moved[~is_before]["disposition"].fillna("undecided")
        stages = [
            line("opening", is_before & (gone.isna() | (gone >= self.start))),
            *(
                line(f"received_{found}", ~is_before & (moved["disposition"].fillna("undecided") == found))
                for found in received.unique()
            ),
            line("refunded", left & is_refunded, -1),
            line("refused", left & ~is_refunded, -1),
            line("closing", gone.isna() | (gone >= self.end)),
        ]
        table = pd.DataFrame(stages)
        self.write(
            "returns_physical_roll", table[(table["quantity"] != 0) | table["stage"].isin(["opening", "closing"])]
        )

    def accrual_bridge(self, paid_back: pd.DataFrame, sums: pd.DataFrame) -> None:
        owed = paid_back[paid_back["refunded_at"].isna() | (paid_back["refunded_at"] >= self.start)]
        gone = owed["refunded_at"].fillna(owed["called_off_at"])
        is_refunded = owed["refunded_at"].notna()
        opening = (owed["requested_at"] < self.start) & (gone >= self.start).fillna(value=True)
        new = (owed["requested_at"] >= self.start) & (owed["requested_at"] < self.end)
        closing = (owed["requested_at"] < self.end) & (gone >= self.end).fillna(value=True)
        is_here = (owed["inspected_at"] < self.end).fillna(value=False)
        is_sent = ~is_here & (owed["shipped_at"] < self.end).fillna(value=False)

        def total(wanted: pd.Series) -> int:
            return int(owed["owed_minor"][wanted.fillna(value=False)].sum())

        is_cash = (sums["period"] == "within") & sums["transaction_type"].str.startswith("REFUND_ORDER")
        cash = -int(sums["amount_minor"][is_cash].sum())
        lines = {
            "liability_opening": total(opening),
            "liability_new": total(new),
            "liability_utilised": -total((opening | new) & ~closing & is_refunded),
            "liability_released": -total((opening | new) & ~closing & ~is_refunded),
            "liability_closing": total(closing),
            "closing_received": total(closing & is_here),
            "closing_in_transit": total(closing & is_sent),
            "closing_requested": total(closing & ~is_here & ~is_sent),
            "cash_refunds": cash,
            "accrual_refunds": cash + total(closing) - total(opening),
        }
        self.write("refund_accrual_bridge", pd.DataFrame({"line": lines.keys(), "amount_minor": lines.values()}))

    def vat(self, lines: pd.DataFrame, refunds: pd.DataFrame, sums: pd.DataFrame) -> None:
        taxes = self.read("mirakl__order_line_taxes", "order_line_id", "tax_kind", "tax_code", "rate", "amount_minor")
        taxes = taxes.rename(columns={"amount_minor": "tax_minor"})
        of_refunds = self.read("mirakl__refund_taxes", "refund_id", "tax_kind", "tax_code", "amount_minor")
        of_refunds = of_refunds.rename(columns={"amount_minor": "tax_minor"})

        def summed(rows: pd.DataFrame, product: str, shipping: str, direction: str, sign: int) -> pd.DataFrame:
            kind = rows["tax_kind"]
            net = (rows[product] + rows[shipping]).mask(kind == "product", rows[product])
            rows = rows.assign(
                net_minor=net.mask(kind == "shipping", rows[shipping]),
                tax_minor=rows["tax_minor"].fillna(0),
                tax_code=rows["tax_code"].fillna(""),
            )
            found = rows.groupby(["tax_code", "rate"], dropna=False)[["net_minor", "tax_minor"]].sum() * sign
            return found.reset_index().assign(direction=direction)

        debited = (lines["debited_at"] >= self.start) & (lines["debited_at"] < self.end)
        sold = lines[debited.fillna(value=False)][["order_line_id", "price_minor", "shipping_price_minor"]]
        paid = (refunds["paid_at"] >= self.start) & (refunds["paid_at"] < self.end)
        back = refunds[paid.fillna(value=False)][
            ["refund_id", "order_line_id", "amount_minor", "shipping_amount_minor"]
        ]
        back = back.merge(of_refunds, on="refund_id", how="left").merge(
            taxes.drop(columns="tax_minor"), on=["order_line_id", "tax_kind", "tax_code"], how="left"
        )
        types = self.read("transaction_types", "component", "ledger_account")
        charges = types[types["ledger_account"] == "input_vat"]["component"].str.replace("_vat", "").unique()
        within = sums[sums["period"] == "within"]
        within = within.assign(tax_code=within["component"].str.replace("_vat", ""))
        within = within[within["tax_code"].isin(charges)]
        is_vat = within["ledger_account"] == "input_vat"
        charged = pd.DataFrame(
            {
                "net_minor": -within[~is_vat].groupby("tax_code")["amount_minor"].sum(),
                "tax_minor": -within[is_vat].groupby("tax_code")["amount_minor"].sum(),
            }
        ).fillna(0)
        is_remitted = (sums["period"] == "within") & (sums["component"] == "operator_remitted")
        remitted = -int(sums["amount_minor"][is_remitted].sum())
        table = pd.concat(
            [
                summed(
                    sold.merge(taxes, on="order_line_id", how="left"),
                    "price_minor",
                    "shipping_price_minor",
                    "output_sales",
                    1,
                ),
                summed(back, "amount_minor", "shipping_amount_minor", "output_refunds", -1),
                charged.rename_axis("tax_code").reset_index().assign(direction="input"),
                pd.DataFrame(
                    {"direction": ["operator_remitted"], "tax_code": [""], "net_minor": [0], "tax_minor": [remitted]}
                ),
            ]
        )
        self.write("vat_summary", table[(table["net_minor"] != 0) | (table["tax_minor"] != 0)])

    def commission(
        self, lines: pd.DataFrame, refunds: pd.DataFrame, compared: pd.DataFrame, matched: pd.DataFrame
    ) -> None:
        paid = (refunds["paid_at"] >= self.start) & (refunds["paid_at"] < self.end)
        back = refunds[paid.fillna(value=False)]
        missing = matched["refund_id"][matched["verdict"] == "COMMISSION_CREDIT_MISSING"]
        back = pd.DataFrame(
            {
                "order_line_id": back["order_line_id"],
                "refunded": back["amount_minor"] + back["shipping_amount_minor"],
                "credited_minor": back["commission_minor"].mask(back["refund_id"].isin(missing), 0),
                "refunds": 1,
            }
        )
        charged = compared[compared["ledger_commission_minor"] != 0][["order_line_id"]].assign(
            charged_commission_minor=-compared["ledger_commission_minor"]
        )
        rates = self.read("commission_rates", "category", "valid_from", "rate", "credit_on_refund")
        rates = rates.assign(valid_from=pd.to_datetime(rates["valid_from"], utc=True)).sort_values("valid_from")
        table = charged.merge(back.groupby("order_line_id").sum().reset_index(), on="order_line_id", how="outer").merge(
            lines[
                [
                    "order_id",
                    "order_line_id",
                    "category_code",
                    "created_at",
                    "price_minor",
                    "shipping_price_minor",
                    "commission_fee_minor",
                ]
            ],
            on="order_line_id",
        )
        table["created_at"] = table["created_at"].astype("datetime64[us, UTC]")
        rates["valid_from"] = rates["valid_from"].astype("datetime64[us, UTC]")
        table["category_code"] = table["category_code"].fillna("").astype("str")
        rates["category"] = rates["category"].astype("str")
        table = pd.merge_asof(
            table.sort_values("created_at"),
            rates,
            left_on="created_at",
            right_on="valid_from",
            left_by="category_code",
            right_by="category",
        )
        base = (table["price_minor"] + table["shipping_price_minor"]).to_numpy("int64")
        is_charged = table["charged_commission_minor"].notna().to_numpy(bool)
        charged_minor = table["charged_commission_minor"].fillna(0).to_numpy("int64")
        rate = table["rate"].astype("float64").to_numpy("float64")
        fee = table["commission_fee_minor"].to_numpy("int64")
        agreed = np.where(np.isnan(rate), fee, np.rint(base * np.nan_to_num(rate))).astype("int64")
        expected = np.where(is_charged, np.where(np.isnan(rate), charged_minor, agreed), 0)
        refunded = table["refunded"].fillna(0).to_numpy("int64")
        credited = table["credited_minor"].fillna(0).to_numpy("int64")
        whole, rest = (agreed * refunded) // base, (agreed * refunded) % base
        is_up = (2 * rest > base) | ((2 * rest == base) & (whole % 2 == 1))
        terms = table["credit_on_refund"].fillna("full").to_numpy(object)
        credit = np.where(terms == "none", 0, np.where(terms == "partial", credited, whole + is_up))
        credit = np.where(refunded == 0, 0, credit)
        count = table["refunds"].fillna(0).to_numpy("int64")
        table["expected_commission_minor"], table["charged_commission_minor"] = expected, charged_minor
        table["expected_credit_minor"], table["credited_minor"] = credit, credited
        table["difference_minor"] = charged_minor - credited - expected + credit
        table["variance_code"] = np.select(
            [np.abs(charged_minor - expected) > 1, np.abs(credit - credited) <= count],
            ["COMMISSION_RATE", "ROUNDING"],
            "COMMISSION_CREDIT_MISSING",
        )
        self.write("commission_variance", table[(charged_minor != expected) | (credit != credited)])

    def timing(
        self,
        log: pd.DataFrame,
        lines: pd.DataFrame,
        cycles: pd.DataFrame,
        sums: pd.DataFrame,
        matched: pd.DataFrame,
        units: pd.DataFrame,
    ) -> None:
        open_refunds = matched[matched["verdict"].str.startswith("TIMING")]
        cut_off = open_refunds["refund_id"][open_refunds["verdict"] == "TIMING_CUTOFF"]
        later = log[(log["created_at"] >= self.end) & log["refund_id"].isin(cut_off)]
        booked = later.groupby("refund_id")["created_at"].min().rename("booked_at").reset_index()
        open_refunds = open_refunds.merge(booked, on="refund_id", how="left").merge(
            units[["return_unit_id", "value_minor"]], on="return_unit_id", how="left"
        )
        paid_later = open_refunds["paid_at"].where((open_refunds["paid_at"] >= self.end).fillna(value=False))
        refunds = pd.DataFrame(
            {
                "cause": open_refunds["verdict"],
                "reference": open_refunds["match_key"],
                "amount_minor": open_refunds["marketplace_amount_minor"]
                .fillna(open_refunds["intended_amount_minor"])
                .fillna(open_refunds["value_minor"]),
                "since": open_refunds["requested_at"].fillna(open_refunds["inspected_at"]),
                "until": open_refunds["booked_at"].fillna(paid_later),
            }
        )
        held = sums[sums["transaction_type"] != "PAYMENT"].merge(
            cycles[["billing_cycle_id", "created_at"]], on="billing_cycle_id", how="left"
        )
        is_in = ((held["created_at"] >= self.start) & (held["created_at"] < self.end)).fillna(value=False)
        is_out = held["created_at"].isna() | (held["created_at"] >= self.end)
        held = held[(is_in & (held["period"] == "before")) | (is_out & (held["period"] != "after"))]
        held = held.assign(cause=np.where(is_in[held.index], "CARRIED_IN", "CARRIED_OUT"))
        carried = (
            held.groupby(["cause", "billing_cycle_id", "created_at"], dropna=False)["amount_minor"].sum().reset_index()
        )
        came_in = carried["cause"] == "CARRIED_IN"
        start = pd.Series(self.start, index=carried.index)
        carried["reference"] = carried["billing_cycle_id"].fillna("open")
        carried["since"] = start.mask(came_in, self.start - pd.Timedelta(seconds=1))
        carried["until"] = carried["created_at"].astype("datetime64[us, UTC]").mask(came_in, self.start)
        debited = (lines["debited_at"] >= self.start) & (lines["debited_at"] < self.end)
        unsent = (lines["shipped_at"] >= self.end).fillna(value=False) | (
            lines["shipped_at"].isna() & lines["line_state"].isin(["SHIPPING", "TO_COLLECT"])
        )
        waiting = lines[debited.fillna(value=False) & unsent]
        not_shipped = pd.DataFrame(
            {
                "cause": "DEBITED_NOT_SHIPPED",
                "reference": waiting["order_line_id"],
                "amount_minor": waiting["total_price_minor"],
                "since": waiting["debited_at"],
                "until": waiting["shipped_at"],
            }
        )
        table = pd.concat([refunds, carried[refunds.columns], not_shipped])
        table = table[table["amount_minor"] != 0]
        for name, instant in (("from_month", "since"), ("to_month", "until")):
            local = table[instant].astype("datetime64[us, UTC]").dt.tz_convert("Europe/London")
            table[name] = local.dt.strftime("%Y-%m")
        self.write("timing_differences", table)

    def aged(
        self,
        lines: pd.DataFrame,
        proof: pd.DataFrame,
        compared: pd.DataFrame,
        matched: pd.DataFrame,
        units: pd.DataFrame,
    ) -> None:
        unproven = proof[proof["status"] != "PROVEN"]
        payouts = pd.DataFrame(
            {
                "kind": np.where(unproven["status"] == "OPEN", "PAYOUT_OPEN", "PAYOUT"),
                "reference": unproven["billing_cycle_id"],
                "amount_minor": unproven["statement_amount_minor"],
                "since": unproven["date_created"],
            }
        )
        differing = compared[compared["variance_code"] != ""].merge(
            lines[["order_line_id", "debited_at"]], on="order_line_id", how="left"
        )
        orders = pd.DataFrame(
            {
                "kind": differing["variance_code"],
                "reference": differing["order_line_id"],
                "amount_minor": sum(
                    differing[f"ledger_{component}_minor"] - differing[f"order_{component}_minor"]
                    for component in COMPONENTS
                ),
                "since": differing["debited_at"],
            }
        )
        unmatched = matched[matched["verdict"] != "MATCHED"].merge(
            units[["return_unit_id", "value_minor"]], on="return_unit_id", how="left"
        )
        differs = unmatched["difference_minor"].where(unmatched["difference_minor"] != 0)
        refunds = pd.DataFrame(
            {
                "kind": unmatched["verdict"],
                "reference": unmatched["match_key"],
                "amount_minor": differs.fillna(unmatched["marketplace_amount_minor"])
                .fillna(unmatched["intended_amount_minor"])
                .fillna(unmatched["value_minor"]),
                "since": unmatched["requested_at"].fillna(unmatched["inspected_at"]),
            }
        )
        table = pd.concat([payouts, orders, refunds])
        since = table["since"].astype("datetime64[us, UTC]").fillna(self.start)
        age = np.maximum((self.end - since) // pd.Timedelta(days=1), 0)
        table["age_days"] = age.astype("int32")
        table["bucket"] = np.select(
            [age <= 7, age <= 14, age <= 30, age <= 60, age <= 90], ["0-7", "8-14", "15-30", "31-60", "61-90"], ">90"
        )
        owners = self.read("code_owners").set_index("code")["owner"]
        table["owner"] = table["kind"].map(owners.to_dict()).fillna(owners[""])
        self.write("aged_unmatched", table)
