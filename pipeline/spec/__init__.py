"""From a sweep file to validated cells; needs no torch."""

from pipeline.spec.contents import SECTIONS, Contents, Location, content_of, locations, name_of
from pipeline.spec.labels import optimizer_label, training_label, varying, varying_training, written
from pipeline.spec.optimizer import optimizer_name, optimizer_of
from pipeline.spec.precision import refuse_tf32
from pipeline.spec.read import (
    COMMON,
    Cell,
    Resources,
    Sweep,
    cadence_steps,
    plan,
    read_sweep,
    training_id,
    without_directories,
)
from pipeline.spec.yaml_reader import read_yaml

__all__ = [
    "COMMON",
    "SECTIONS",
    "Cell",
    "Contents",
    "Location",
    "Resources",
    "Sweep",
    "cadence_steps",
    "content_of",
    "locations",
    "name_of",
    "optimizer_label",
    "optimizer_name",
    "optimizer_of",
    "plan",
    "read_sweep",
    "read_yaml",
    "refuse_tf32",
    "training_id",
    "training_label",
    "varying",
    "varying_training",
    "without_directories",
    "written",
]
