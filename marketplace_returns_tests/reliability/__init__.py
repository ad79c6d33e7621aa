"""How writes are proven to be neither lost nor doubled: the crash grid and the simulator; ``python -m marketplace_returns_tests.reliability``."""
