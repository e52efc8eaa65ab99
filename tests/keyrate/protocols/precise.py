"""Fifty digits by Python's decimal: a slow second derivation of what the closed forms compute."""

from decimal import Decimal, localcontext
from functools import wraps

TWO = Decimal(2)


def fifty_digits(derivation):
    """Runs a derivation in 50 digits and rounds its result."""

    @wraps(derivation)
    def rounded(*args, **given):
        with localcontext(prec=50):
            return float(derivation(*args, **given))

    return rounded


def log2(x):
    return Decimal(x).ln() / TWO.ln()


def entropy(x):
    """h(x) in bits."""
    x = Decimal(x)
    return Decimal(0) if x in (0, 1) else -x * log2(x) - (1 - x) * log2(1 - x)


def mode_entropy(eigenvalue):
    """G of a symplectic eigenvalue; pure at 1, also where the fiftieth digit says a little less."""
    x = (eigenvalue - 1) / 2
    return Decimal(0) if x < Decimal("1e-40") else (x + 1) * log2(x + 1) - x * log2(x)


def roots(total, product):
    """The square roots of both x with x^2 - total x + product = 0."""
    gap = max(total**2 - 4 * product, Decimal(0)).sqrt()
    return ((total + gap) / 2).sqrt(), ((total - gap) / 2).sqrt()
