"""The Celery side: the app that runs steps, lease renewal and the reconciler."""
