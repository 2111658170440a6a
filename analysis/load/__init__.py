"""From a store, or MLflow alone, to a `Study`."""
