"""How writes are proven to be neither lost nor doubled: the crash grid. ``python -m marketplace_returns_tests.reliability`` runs it."""
