"""A graph and its history as data: pure functions over frozen records. No I/O, no clock, no Celery."""
