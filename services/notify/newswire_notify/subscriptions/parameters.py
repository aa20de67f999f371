"""Query parameters of lists of subscriptions."""

from typing import Any

from newswire.http.problems import invalid


def label_filter(sent: str) -> tuple[str, str]:
    """Return name and value of ``label=name:value``."""
    name, colon, value = sent.partition(":")
    if not colon:
        raise invalid("label", "is not of the form name:value", "send for example label=team:night")
    return name, value


def one_of(params: Any, name: str, *values: str) -> str | None:
    """Return a parameter that takes certain values; None where it is absent."""
    sent: str | None = params.get(name)
    if sent is not None and sent not in values:
        raise invalid(name, f"is not one of: {', '.join(values)}", f"send for example {name}={values[0]}")
    return sent
