"""The domain's words for reasons: labels, units, the verb for being active, and actions."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Words:
    """What a domain says of its users.

    `kinds`: count, sum, avg or ratio of each measure. `labels` and `units` of measures. `wholes`:
    the measures that a ratio is a share of. `actions`: what to do about a reason, by its name.
    """

    kinds: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    wholes: dict[str, list[str]] = field(default_factory=dict)
    come: str = "come"
    came: str = "came"
    joined: str = "signed up"
    actions: dict[str, str] = field(default_factory=dict)

    def label(self, name: str) -> str:
        """Return the label of a measure or an attribute."""
        return self.labels.get(name, name.replace("_", " "))
