"""Schedules: ``celery -A celeriac beat`` runs Celery's beat on the worker's app.

It reads the app's ``beat_schedule``.
"""
