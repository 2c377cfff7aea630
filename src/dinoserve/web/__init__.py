"""The HTTP edge: routes of a few lines over the services."""
