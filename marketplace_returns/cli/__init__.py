"""The command line: a thin face over the same functions that Dagster calls."""
