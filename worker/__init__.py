"""The Celery side: the app that runs steps, and the threads that keep leases and reconcile."""
