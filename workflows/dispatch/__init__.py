"""The way to Celery: messages, publishing, waking waiters, and the follow-up to a recorded transition."""
