"""The month's close as somebody writes it around datacompy, the comparison library: its comparison of orders with the log, pandas besides.

Here: the two sides of ``order_vs_ledger`` compared. Not here: the other tables, which a comparison does not make. The invariant: what
is given to the library has one row a line on each side, as it wants it.
"""

from __future__ import annotations

import datacompy
import pandas as pd

from marketplace_returns_tests.benchmarks.close_with_pandas import COMPONENTS, PandasClose


class DatacompyClose(PandasClose):
    """The close of one month over a folder of Parquet; ``close`` writes ``datacompy_<table>.parquet`` beside it."""

    contestant = "datacompy"

    def beside(self, ordered: pd.DataFrame, booked: pd.DataFrame) -> pd.DataFrame:
        """Compare the six amounts of each line; what is on one side alone is told apart by the library."""
        of_order = {f"order_{component}_minor": component for component in COMPONENTS}
        of_log = {f"ledger_{component}_minor": component for component in COMPONENTS}
        compared = datacompy.Compare(
            ordered.rename(columns=of_order), booked.rename(columns=of_log), join_columns="order_line_id"
        )
        both = {f"{component}_df1": f"order_{component}_minor" for component in COMPONENTS}
        both |= {f"{component}_df2": f"ledger_{component}_minor" for component in COMPONENTS}
        found = [
            compared.intersect_rows.rename(columns=both),
            compared.df1_unq_rows.rename(columns={name: column for column, name in of_order.items()}),
            compared.df2_unq_rows.rename(columns={name: column for column, name in of_log.items()}),
        ]
        return pd.concat(found, ignore_index=True)
