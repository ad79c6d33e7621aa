"""The lake: every payload as it came, then typed, checked and upserted by key.

``Lake`` opens it, ``pull`` fills it from a source, ``maintain`` keeps it small; ``tables`` declares what is in it.
"""
