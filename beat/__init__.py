"""Schedules: ``celery -A celeriac beat`` runs Celery's beat on the worker's app, with its ``beat_schedule``."""
