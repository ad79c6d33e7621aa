"""How to talk to Mirakl's seller API, and nothing about why."""
