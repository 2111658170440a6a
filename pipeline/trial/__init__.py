"""One execution of a cell, from its settings to its records in the store."""
