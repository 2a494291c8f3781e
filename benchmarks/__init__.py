"""Celeriac and plain Celery canvas side by side, on the same servers: ``python -m benchmarks``."""
