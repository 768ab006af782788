"""
What the runtime finds wrong, in the words of who wrote it.
"""

from __future__ import annotations

import pytest

from kina._spoken import keyword, spoken
from kina.errors import InvalidArgumentError, KinaError, NotFoundError
from kina.options import ContainerOptions


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("name", "name"),
        ("stopTimeout", "stop_timeout"),
        ("sandbox.networks[0].address", "address"),
        ("sandbox.networks[0].aliases[2]", "aliases[2]"),
        ("sandbox.networks[0].network", "network"),
        ("sandbox.networks[1].address", "network[1].address"),
        ("sandbox.networks", "network"),
        ("sandbox.namespaces.network", "network"),
        ("sandbox.namespaces.uts", "uts_namespace"),
        ("sandbox.ports[3].hostPort", "ports[3].host_port"),
        ("sandbox.shmSize", "shm_size"),
        ("resources.memorySwap", "memory_swap"),
        ("rlimits[0].type", "ulimits[0].type"),
        ("readOnlyRoot", "read_only"),
        ("pullPolicy", "pull"),
        ("terminal", "tty"),
        ("terminals", "terminals"),
        ("capAdd[0]", "cap_add[0]"),
        # The user's own words stay.
        ("env.FooBar", "env.FooBar"),
        ("labels.sandbox.aB", "labels.sandbox.aB"),
        ("sandbox.extraHosts.someHost", "extra_hosts.someHost"),
    ],
)
def test_fields_are_called_what_the_keywords_are(field: str, expected: str) -> None:
    assert keyword(field) == expected


def test_every_word_that_is_made_is_a_keyword() -> None:
    words = [keyword(f"{name}.x").split(".")[0] for name in ("rlimits", "terminal", "pullPolicy")]
    assert set(words) <= set(ContainerOptions.__annotations__)


def test_every_line_of_a_message_is_told_in_these_words() -> None:
    message = (
        "rlimits[0].type 'x': is not a limit\n"
        "sandbox.ports[0].hostPort: is taken by readOnlyRoot 'y'"
    )
    with pytest.raises(InvalidArgumentError) as caught, spoken():
        raise InvalidArgumentError(message, details={"field": "rlimits[0].type"}, hint="h")
    assert caught.value.details["field"] == "ulimits[0].type"
    assert str(caught.value) == (
        "ulimits[0].type 'x': is not a limit\nports[0].host_port: is taken by readOnlyRoot 'y' (h)"
    )
    assert caught.value.args == (caught.value.message,)


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError("terminal 'x': no such thing"),
        InvalidArgumentError.at("rlimits", 1, "of a spec of the user's own"),
        KinaError("rlimits: no field"),
    ],
)
def test_other_errors_stay_as_they_are(error: KinaError) -> None:
    before = (str(error), dict(error.details))
    with pytest.raises(KinaError) as caught, spoken():
        raise error
    assert caught.value is error
    assert (str(error), error.details) == before
