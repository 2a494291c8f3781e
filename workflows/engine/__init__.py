"""A graph and its history as data: functions over records.

No I/O, no clock, no Celery.
"""
