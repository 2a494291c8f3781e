"""The way to Celery: messages, publishing, wake-ups, the follow-up to transitions."""
