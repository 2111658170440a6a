"""MLflow as a mirror of the store: to browse, never to conclude."""
