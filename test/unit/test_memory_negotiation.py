"""Which representation an Accept header asks for."""

from __future__ import annotations

import pytest

from disvc.testing.memory.errors import Refused
from disvc.testing.memory.negotiation import DISCOVERY, PLAIN, Conversion, MediaType, negotiate

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PROTOBUF = "application/vnd.kubernetes.protobuf"


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", f"{PROTOBUF},application/json", "text/html, */*"])
def test_json_is_what_most_clients_get(accept: str) -> None:
    assert negotiate(accept) == MediaType("application/json")


def test_the_first_that_is_to_be_had_wins_and_a_higher_quality_comes_before_it() -> None:
    assert negotiate("application/yaml,application/json").name == "application/yaml"
    assert negotiate("application/yaml;q=0.1,application/json;q=0.5").name == "application/json"


def test_parameters_ask_for_another_kind() -> None:
    assert negotiate(f"{TABLE},application/json").conversion == Conversion("Table", "v1", "meta.k8s.io")


def test_a_kind_that_is_not_to_be_had_is_passed_over() -> None:
    unknown = "application/json;as=Table;v=v2;g=meta.k8s.io"
    assert negotiate(f"{unknown},application/json") == MediaType("application/json")
    assert negotiate(f"{TABLE},application/json", PLAIN) == MediaType("application/json")
    with pytest.raises(Refused, match="only the following media types are accepted: application/json"):
        negotiate(unknown)


def test_discovery_has_a_conversion_of_its_own() -> None:
    aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    older = aggregated.replace("v=v2", "v=v2beta1")
    assert negotiate(f"{older},{aggregated},application/json", DISCOVERY).conversion is not None
    assert negotiate(f"{older},application/json", DISCOVERY).conversion is None


@pytest.mark.parametrize("accept", ["text/plain", PROTOBUF, "application/*"])
def test_what_is_not_to_be_had_is_refused_with_what_is(accept: str) -> None:
    with pytest.raises(Refused, match="Available representations: application/json, application/yaml") as refused:
        negotiate(accept)
    assert (refused.value.code, refused.value.reason) == (406, "NotAcceptable")
