"""Month-end: tables, proofs, variances and the pack, from the lake and the ledger; it writes nothing outside."""
