"""From a sweep file to validated cells; needs no torch."""
