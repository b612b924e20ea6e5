"""How small and how great measures and ratios can be, as the checks of a domain's events say.

For publish, and by its manifest for the API. Imports only the standard library.
"""

from collections.abc import Mapping
from typing import Any

Limits = dict[str, tuple[float | None, float | None]]
"""The least and the greatest value of a measure or ratio over any window; None for no limit."""


def limits_of(settings: Mapping[str, Any]) -> Limits:
    """Return what the settings of a domain say; measures and ratios without a limit are left out.

    A sum over no event is 0, and grows with every event whose amount is above 0. A ratio is a share
    where nothing below 0 can be in it.
    """
    found: Limits = {}
    for measure in settings["measures"]:
        if measure["agg"] == "count":
            found[measure["name"]] = (0, None)
            continue
        least, greatest = _of_events(measure, settings["checks"].get(measure["column"], {}))
        if measure["agg"] == "sum":
            least = None if least is None or least < 0 else 0
            greatest = None if greatest is None or greatest > 0 else 0
        found[measure["name"]] = (least, greatest)
    for ratio in settings["ratios"]:
        if all(found[name][0] == 0 for name in (ratio["part"], *ratio["of"])):
            found[ratio["name"]] = (0, 1 if ratio["part"] in ratio["of"] else None)
    return {name: limits for name, limits in found.items() if limits != (None, None)}


def _of_events(
    measure: Mapping[str, Any], check: Mapping[str, Any]
) -> tuple[float | None, float | None]:
    """Return the least and the greatest amount of an event that the measure counts."""
    only_on = check.get("only_on")
    if only_on and measure.get("event_type") not in only_on:
        return None, None
    bounds = [check[key] for key in ("min", "above") if check.get(key) is not None]
    return max(bounds, default=None), check.get("max")
