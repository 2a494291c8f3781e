"""Schedules: ``celery -A worker beat`` runs Celery's beat on the worker's app, with its ``beat_schedule``."""
