"""The relay protocols a second time, in 50-digit decimals: as printed, one term after the other, nothing rearranged."""

from decimal import Decimal, getcontext
from math import comb, factorial

getcontext().prec = 60
ONE, TWO = Decimal(1), Decimal(2)
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494")


def d(x):
    return Decimal(repr(float(x)))


def h(x):
    if x <= 0 or x >= 1:
        return Decimal(0)
    return -(x * x.ln() + (1 - x) * (1 - x).ln()) / TWO.ln()


def phase_h(x):
    return h(min(x, Decimal("0.5")))


def i0(x):
    return sum(power(x * x / 4, k) / factorial(k) ** 2 for k in range(80))


def power(x, count):
    return x**count if count else ONE  # decimals know no 0**0


def sin(x):
    return sum((-1) ** k * x ** (2 * k + 1) / factorial(2 * k + 1) for k in range(40))


def arm(p):
    loss_db = d(p.get("distance_km", 0)) * d(0.2)
    return d(p["detector_efficiency"]) * Decimal(10) ** (-loss_db / 20)


def mdi_gains(eta, pd, ed, a, b):
    """(Q_Z, EQ_Z), (Q_X, EQ_X)."""
    m, x = eta * (a + b), eta * (a * b).sqrt() / 2
    right = 2 * (1 - pd) ** 2 * (-m / 2).exp()
    right *= (1 - (1 - pd) * (-eta * a / 2).exp()) * (1 - (1 - pd) * (-eta * b / 2).exp())
    wrong = 2 * pd * (1 - pd) ** 2 * (-m / 2).exp() * (i0(2 * x) - (1 - pd) * (-m / 2).exp())
    y = (1 - pd) * (-m / 4).exp()
    q = 2 * y**2 * (1 + 2 * y**2 - 4 * y * i0(x) + i0(2 * x))
    return (right + wrong, ed * right + (1 - ed) * wrong), (q, q / 2 - (1 - 2 * ed) * y**2 * (i0(2 * x) - 1))


def mdi(p):
    eta, pd, ed, mu = arm(p), d(p["p_dark"]), d(p["misalignment"]), d(p["mu"])
    f = d(p["f_ec"])
    if p["decoys"] == "infinite":
        real = (1 - pd) ** 2 * eta**2 / 2
        y11 = real + (1 - pd) ** 2 * ((4 * eta - 3 * eta**2) * pd + 4 * (1 - eta) ** 2 * pd**2)
        e11 = (y11 / 2 - (Decimal("0.5") - ed) * real) / y11
    else:
        nu, om = d(p["nu"]), d(p["omega"])

        def mixed(a, basis, which):
            def f2(u, v):
                return mdi_gains(eta, pd, ed, u, v)[basis][which] * (u + v).exp()

            return f2(a, a) + f2(om, om) - f2(a, om) - f2(om, a)

        def y_bound(basis):
            above = (mu**2 - om**2) * (mu - om) * mixed(nu, basis, 0)
            above -= (nu**2 - om**2) * (nu - om) * mixed(mu, basis, 0)
            return above / ((mu - om) ** 2 * (nu - om) ** 2 * (mu - nu))

        y11 = y_bound(0)
        e11 = mixed(nu, 1, 1) / ((nu - om) ** 2 * y_bound(1))
    (q, eq), _ = mdi_gains(eta, pd, ed, mu, mu)
    return mu**2 * (-2 * mu).exp() * y11 * (1 - phase_h(e11)) - f * q * h(eq / q)


def tf_original(p):
    eta, pd, eo, mu = arm(p), d(p["p_dark"]), d(p["misalignment"]), d(p["mu"])
    slices, f = d(p["slices"]), d(p["f_ec"])
    y0 = 1 - (1 - pd) ** 2
    em = Decimal("0.5") - slices / (4 * PI) * sin(2 * PI / slices)
    ee = eo + em - 2 * eo * em
    q = 1 - (1 - y0) * (-mu * eta).exp()
    e = (y0 / 2 + ee * (1 - (-mu * eta).exp())) / q
    y1 = y0 + eta
    e1 = (y0 / 2 + ee * eta) / y1
    return (y1 * mu * (-mu).exp() * (1 - phase_h(e1)) - f * q * h(e)) / slices


def cal_yield(eta, pd, m, n):
    """By binomial loss of m and n photons: those that arrive find the other detector empty."""
    empty = Decimal(0)
    for a in range(m + 1):
        for b in range(n + 1):
            share = comb(m, a) * comb(n, b) * power(eta, a + b) * power(1 - eta, m + n - a - b)
            empty += share * comb(a + b, a) / TWO ** (a + b)
    return (1 - pd) * empty - (1 - pd) ** 2 * power(1 - eta, m + n)


def tf_cal(p):
    eta, pd, mu, f = arm(p), d(p["p_dark"]), d(p["mu"]), d(p["f_ec"])
    g, w = eta * mu, 1 - 2 * d(p["misalignment"])
    bright, dark = (-g * w).exp() + (g * w).exp(), (1 - pd) * (-g).exp()
    gain = (1 - pd) * bright * (-g).exp() / 2 - (1 - pd) ** 2 * (-2 * g).exp()
    e_x = ((-g * w).exp() - dark) / (bright - 2 * dark)
    c = [(-mu / 2).exp() * (mu**n / factorial(n)).sqrt() for n in range(60)]
    total = Decimal(0)
    for parity in (0, 1):
        numbers = range(parity, 60, 2)
        total += (
            sum(
                c[m] * c[n] * (cal_yield(eta, pd, m, n).sqrt() if max(m, n) < 12 else ONE)
                for m in numbers
                for n in numbers
            )
            ** 2
        )
    return 2 * gain * (1 - f * h(e_x) - phase_h(total / gain))


def sns_clicks(eta, pd, mu):
    one = 2 * ((1 - pd) * (-mu * eta / 2).exp() - (1 - pd) ** 2 * (-mu * eta).exp())
    both = 2 * ((1 - pd) * (-mu * eta).exp() * i0(mu * eta) - (1 - pd) ** 2 * (-2 * mu * eta).exp())
    return one, both, 2 * pd * (1 - pd)


def tf_sns(p):
    eta, pd, ea, mu = arm(p), d(p["p_dark"]), d(p["misalignment"]), d(p["mu"])
    eps, f = d(p["p_send"]), d(p["f_ec"])
    one, both, none = sns_clicks(eta, pd, mu)
    s1 = eta * (1 - pd) + 2 * (1 - eta) * pd * (1 - pd)
    e1 = (eta * (1 - pd) * ea + (1 - eta) * pd * (1 - pd)) / s1
    s = 2 * eps * (1 - eps) * one + eps**2 * both + (1 - eps) ** 2 * none
    e = (eps**2 * both + (1 - eps) ** 2 * none) / s
    return 2 * eps * (1 - eps) * mu * (-mu).exp() * s1 * (1 - phase_h(e1)) - f * s * h(e)


def tf_pm(p):
    eta, pd, e_delta, mu = arm(p), d(p["p_dark"]), d(p["misalignment"]), d(p["mu"])
    slices, f, kept = d(p["slices"]), d(p["f_ec"]), (1 - d(p["p_dark"])) ** 2
    q = 1 - kept * (-eta * mu).exp()
    e_x = 1 - sum((-mu).exp() * mu**k / factorial(k) * (1 - kept * (1 - eta) ** k) / q for k in (1, 3, 5))
    e_z = (pd + eta * mu * (sin(PI / (4 * slices)) ** 2 + e_delta)) * (-eta * mu).exp() / q
    return TWO / slices * q * (1 - f * h(e_z) - phase_h(e_x))


def mode_pairing(p):
    eta, pd, mu, f = arm(p), d(p["p_dark"]), d(p["mu"]), d(p["f_ec"])
    one, both, none = sns_clicks(eta, pd, mu)
    c10, c11, c00 = one / 4, both / 4, none / 4
    click = 2 * c10 + c11 + c00
    near = 1 - (1 - click) ** int(p["pairing_rounds_max"])
    r_p = 1 / (1 / (click * near) + 1 / click)
    r_s = 2 * (c10 * c10 + c11 * c00) / click**2
    s = eta * (1 - pd) + 2 * (1 - eta) * pd * (1 - pd)
    q11 = 2 * (mu * (-mu).exp() * s / 4) ** 2 / (click**2 * r_s)
    return r_p * r_s * (q11 * (1 - phase_h(d(p["misalignment"]))) - f * h(c11 * c00 / (c10 * c10 + c11 * c00)))
