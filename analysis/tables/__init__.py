"""The report's tables: their definitions, columns, contrasts and outcomes."""
