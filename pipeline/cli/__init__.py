"""What all commands share: their end, their errors, their common options, and what they hide."""
