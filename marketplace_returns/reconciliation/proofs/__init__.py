"""The queries of the invariants, one file each; ``reconciliation/invariants.py`` runs them."""
