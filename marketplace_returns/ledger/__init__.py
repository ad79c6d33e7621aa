"""The only place that changes the outside world: intents, their attempts and states, exceptions, cursors, periods."""

from marketplace_returns.ledger.ledger import Applied, Ledger

__all__ = ["Applied", "Ledger"]
