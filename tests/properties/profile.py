"""Settings that the property tests share."""

from hypothesis import Phase, settings


def examples(count: int) -> settings:
    """The same examples in every run: limits on rounding errors are no place for chance. A failing one is not made
    smaller, which would run the network some hundred times more."""
    return settings(max_examples=count, derandomize=True, phases=(Phase.explicit, Phase.generate))
