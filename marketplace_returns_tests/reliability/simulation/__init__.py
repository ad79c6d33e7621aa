"""A deterministic simulator: the real lanes, ledger and sources against the sandbox, under one virtual clock and one seed."""
