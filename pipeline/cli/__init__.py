"""What all commands share: their end, their errors, their common options, and what they hide."""

from pipeline.cli import options
from pipeline.cli.affinity import affinity
from pipeline.cli.duration import duration
from pipeline.cli.errors import exit_code, print_error
from pipeline.cli.mistakes import (
    Mistakes,
    SpecError,
    did_you_mean,
    joined,
    kind_of,
    quoted,
    single_errors,
)
from pipeline.cli.options import (
    SQLITE,
    argument,
    is_remote,
    local_folder,
    local_path,
    output_file,
    output_folder,
    positive,
    set_parent,
    storage_location,
    storage_parent,
    tracking_location,
    tracking_parent,
)
from pipeline.cli.process import run
from pipeline.cli.redaction import redact, redacted
from pipeline.cli.signals import (
    graceful_shutdown,
    install_signal_handlers,
    on_terminate,
    stop_notice,
    write_notice,
)
from pipeline.cli.streams import printable

__all__ = [
    "SQLITE",
    "Mistakes",
    "SpecError",
    "affinity",
    "argument",
    "did_you_mean",
    "duration",
    "exit_code",
    "graceful_shutdown",
    "install_signal_handlers",
    "is_remote",
    "joined",
    "kind_of",
    "local_folder",
    "local_path",
    "on_terminate",
    "options",
    "output_file",
    "output_folder",
    "positive",
    "print_error",
    "printable",
    "quoted",
    "redact",
    "redacted",
    "run",
    "set_parent",
    "single_errors",
    "stop_notice",
    "storage_location",
    "storage_parent",
    "tracking_location",
    "tracking_parent",
    "write_notice",
]
