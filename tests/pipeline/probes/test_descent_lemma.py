"""Descent on a quadratic, where the prediction is exact."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.probes.descent_lemma import descent_lemma
from tests.helpers.reference.known_hessian import W, X, Y, normal, number, observed, regression


def test_descent_is_exact_on_a_quadratic():
    lr = 0.02
    found = observed(descent_lemma, regression(lr))
    gradient = 2 * (X @ W.T - Y).T @ X
    squared = gradient.square().sum().item()
    along = (gradient * (gradient @ (2 * X.T @ X))).sum().item() / squared
    expected = -lr * squared * (1 - lr * along / 2)
    assert number(found["predicted"]) == pytest.approx(expected)
    assert number(found["predicted_first_order"]) == pytest.approx(-lr * squared)
    assert number(found["realised"]) == pytest.approx(expected)
    assert number(found["ratio"]) == pytest.approx(1)
    assert number(found["eta_gradient_curvature"]) == pytest.approx(lr * along)


def test_descent_follows_the_real_update():
    """Not the gradient step: momentum and weight decay move the parameters too."""
    view = regression()
    after = {name: tensor + normal(*tensor.shape, seed=4) for name, tensor in view.before.items()}
    assert number(observed(descent_lemma, replace(view, after=after))["ratio"]) == pytest.approx(1)
