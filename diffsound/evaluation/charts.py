"""Small charts as inline SVG. Lines and letters take the colours of the page, so they read in dark and in light."""

from __future__ import annotations

import html
from collections.abc import Sequence
from math import isfinite, log10


def number(value: float | None) -> str:
    """Three digits that matter: 0.812, 8.12, 81.2, 812; a dash if there is no value."""
    if value is None or not isfinite(value):
        return "–"
    size = abs(value)
    if value and size < 0.001:
        return f"{value:.0e}".replace("-", "−")
    text = f"{value:.{3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0}f}"
    return text.replace("-", "−")


def range_bar(value: float, low: float, high: float, said: str) -> str:
    """A bar from 0 to `value` on a track from 0 to 1, with the interval `low` to `high`; `said` is read out."""
    width, height, left = 150, 18, 10
    x, x_low, x_high = (left + (width - 2 * left) * min(max(point, -0.06), 1.06) for point in (value, low, high))
    return (f'<svg class="bar" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
            f'aria-label="{html.escape(said)}"><title>{html.escape(said)}</title>'
            f'<rect class="track" x="{left}" y="5" width="{width - 2 * left}" height="8" rx="2"/>'
            f'<rect class="fill" x="{min(left, x):.1f}" y="5" width="{abs(x - left):.1f}" height="8" rx="2"/>'
            f'<path class="whisker" d="M{x_low:.1f} 9H{x_high:.1f}M{x_low:.1f} 5v8M{x_high:.1f} 5v8"/></svg>')


def line_plot(title: str, over: str, values: Sequence[float | str], heights: Sequence[float | None]) -> str:
    """`heights` over `values`: lines over numbers (on a logarithmic scale beyond a factor 20), dots over names."""
    width, height, left, right, top, bottom = 320, 210, 52, 14, 28, 42
    places = _places(values)
    known = [y for y in heights if y is not None and isfinite(y)]
    if not known:
        return ""
    ticks = nice_ticks(min(known), max(known))
    floor, span = ticks[0], ticks[-1] - ticks[0]
    xs = [left + 6 + (width - left - right - 12) * place for place in places]
    ys = [None if y is None or not isfinite(y) else height - bottom - (height - top - bottom) * (y - floor) / span
          for y in heights]
    parts = [f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(title)} over '
             f'{html.escape(over)}"><text class="title" x="{left}" y="16">{html.escape(title)}</text>']
    for tick in ticks:
        y = height - bottom - (height - top - bottom) * (tick - floor) / span
        parts.append(f'<path class="grid" d="M{left} {y:.1f}H{width - right}"/>'
                     f'<text x="{left - 6}" y="{y + 3.5:.1f}" text-anchor="end">{tick:g}</text>')
    last = -1e9
    for x, value in sorted(zip(xs, values, strict=True), key=lambda pair: pair[0]):
        if x - last >= 24:  # closer, words would run into each other
            parts.append(f'<text x="{x:.1f}" y="{height - bottom + 15}" text-anchor="middle">'
                         f'{html.escape(_short(value))}</text>')
            last = x
    parts.append(f'<text x="{(left + width - right) / 2}" y="{height - 6}" text-anchor="middle">'
                 f'{html.escape(over)}</text>')
    points = sorted((x, y, v, h) for x, y, v, h in zip(xs, ys, values, heights, strict=True) if y is not None)
    if not any(isinstance(value, str) for value in values):  # between names there is nothing
        parts.append('<path class="line" d="M' + "L".join(f"{x:.1f} {y:.1f}" for x, y, *_ in points) + '"/>')
    parts += [f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{html.escape(over)} '
              f'{html.escape(_short(value))}: {number(exact)}</title></circle>' for x, y, value, exact in points]
    return "".join(parts) + "</svg>"


def nice_ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers that enclose `low` and `high`, evenly apart."""
    if high <= low:
        room = abs(low) * 0.1 or 1.0
        low, high = low - room, high + room
    raw = (high - low) / 4
    power = 10.0 ** int(log10(raw) // 1)
    step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= raw * 0.999)
    first, last = int(low / step // 1), int(-(-high / step // 1))
    return [round(index * step, 12) for index in range(first, last + 1)]


def _places(values: Sequence[float | str]) -> list[float]:
    """Each value in 0..1 along the axis."""
    if len(values) == 1 or any(isinstance(value, str) for value in values):
        return [(index + 0.5) / len(values) for index in range(len(values))]
    low, high = min(values), max(values)
    if low > 0 and high / low > 20:
        values, low, high = [log10(value) for value in values], log10(low), log10(high)
    return [(value - low) / ((high - low) or 1) for value in values]


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"
