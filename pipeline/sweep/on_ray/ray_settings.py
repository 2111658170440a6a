"""Ray's settings, as defaults of the environment: imported before Ray, which reads them then."""

from __future__ import annotations

import os

# The store replaces Tune's result files, which cost every trial a second.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# Ray's guard of memory ends the youngest workers, and Tune then ends the sweep: trials guard it.
os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
# Paths in a sweep file are relative to where the command runs, in workers too.
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
