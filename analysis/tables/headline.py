"""The columns of a table that a reader sees first: four to six, the others on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

HEADLINE: Mapping[str, tuple[str, ...]] = {
    "table1_ics": (
        "gradient_ics_relative_early",
        "gradient_ics_relative_late",
        "gradient_ics_turn_late",
        "gradient_noise_relative_early",
        "moment_output_mean_shift_late",
        "distribution_output_w1_early",
    ),
    "table2_smoothness": (
        "landscape_loss_range_early",
        "landscape_loss_range_late",
        "landscape_gradient_difference_relative_late",
        "landscape_effective_beta_late",
        "curvature_lambda_max_late",
        "scale_invariant_weight_squared_times_lambda_late",
    ),
    "table3_training": (
        "steps_to_target",
        "final_train_loss",
        "test_accuracy",
        "divergence_rate",
        "largest_stable_lr",
        "step_time_ratio",
    ),
    "table4_relations": (
        "psi_speed",
        "tau_speed",
        "error_speed",
        "added_r2_speed",
        "psi_test",
    ),
}
"""By table the keys of its headline measures; of another table: its first `FEW`."""
FEW, MOST = 4, 6


def headline(table: str, keys: Sequence[str]) -> list[int]:
    """Places of the headline measures among the keys of a table, filled up to `FEW`."""
    wanted = HEADLINE.get(table, ())
    places = [i for i, key in enumerate(keys) if key in wanted]
    more = [i for i in range(len(keys)) if i not in places]
    least = FEW if wanted else MOST
    return sorted([*places, *more[: max(0, least - len(places))]])
