"""From record tables to one number, or one curve, per run."""
