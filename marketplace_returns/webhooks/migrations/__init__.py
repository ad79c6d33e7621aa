"""The forms the webhook inbox's database has had, oldest first."""
