"""Exact US dollars: reading claims, and writing them for people and for scripts."""

from __future__ import annotations

from decimal import Context, Decimal, InvalidOperation

MAX_CLAIM_USD = Decimal("1e12")
SCALE = Decimal(1).scaleb(-18)
_EXACT = Context(prec=40)


def parse_usd(value: object) -> Decimal:
    """A claim as an exact decimal.

    Floats are read by their shortest decimal text (0.1 is 0.1). Digits past the 18th decimal, which only binary
    rounding noise reaches, are rounded half-even.

    Raises:
        ValueError: not a number, not finite, negative, or 1e12 dollars and more.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError(f"cost must be a number or a decimal string, not {type(value).__name__}")
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"cost {str(value)[:40]!r} is not a number") from None
    if not amount.is_finite():
        raise ValueError("cost must be finite")
    if amount < 0:
        raise ValueError(f"cost must not be negative, got {amount}")
    if amount >= MAX_CLAIM_USD:
        raise ValueError(f"cost {amount} is beyond one trillion dollars")
    exponent = amount.as_tuple().exponent
    return amount.quantize(SCALE, context=_EXACT) if isinstance(exponent, int) and exponent < -18 else amount


def decimal_text(amount: Decimal | None) -> str | None:
    """Plain decimal text without an exponent or trailing zeros, for JSON; None stays None."""
    if amount is None:
        return None
    text = format(amount, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text or "0"


def format_usd(amount: Decimal | float | None) -> str:
    """Money as a person reads it: the precision that matters ($0.0042, $3.12, $1,204); unknown is an em dash."""
    if amount is None:
        return "—"
    value = float(amount)
    size = abs(value)
    sign = "-" if value < 0 else ""
    if size == 0:
        return "$0"
    if size >= 1000:
        return f"{sign}${size:,.0f}"
    if size >= 1:
        return f"{sign}${size:.2f}"
    if size >= 0.1:
        return f"{sign}${size:.3f}"
    if size >= 0.0001:
        return f"{sign}${size:.4f}"
    return f"{sign}<$0.0001"
