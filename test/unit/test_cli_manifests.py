"""config/ and Dockerfile fit the program that they run: flags, ports, times, version, metrics."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from disvc.cli.command import read_settings

if TYPE_CHECKING:
    from disvc.cli.settings import Settings

ROOT = Path(__file__).parents[2]
MANAGER = ROOT / "config" / "manager"


@pytest.fixture
def pod() -> dict[str, Any]:
    spec: dict[str, Any] = yaml.safe_load((MANAGER / "manager.yaml").read_text())["spec"]["template"]["spec"]
    return spec


@pytest.fixture
def settings(pod: dict[str, Any]) -> Settings:
    """Return the settings that the manager has in its pod, where it knows its namespace by itself."""
    (container,) = pod["containers"]
    (mount,) = container["volumeMounts"]
    arguments = [argument.replace(mount["mountPath"], str(MANAGER)) for argument in container["args"]]
    return read_settings([*arguments, "--leader-election-namespace=disvc-system"])


def test_the_deployment_gives_the_settings_of_its_file_and_elects_a_leader(settings: Settings) -> None:
    assert settings.leader_election.leader_elect
    assert settings.routing.domain == "example.com"


def test_the_ports_of_the_pod_are_those_that_the_manager_listens_on(pod: dict[str, Any], settings: Settings) -> None:
    (container,) = pod["containers"]
    ports = {port["name"]: f":{port['containerPort']}" for port in container["ports"]}
    assert ports == {
        "metrics": settings.endpoints.metrics_bind_address,
        "probes": settings.endpoints.health_probe_bind_address,
    }
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "probes"


def test_the_kubelet_waits_longer_than_the_manager_takes_to_stop(pod: dict[str, Any], settings: Settings) -> None:
    assert pod["terminationGracePeriodSeconds"] > settings.work.grace_seconds


def test_the_images_tag_is_the_version() -> None:
    (image,) = yaml.safe_load((MANAGER / "kustomization.yaml").read_text())["images"]
    assert image == {"name": "disvc-manager", "newTag": metadata.version("disvc")}
    assert f"docker build -t disvc-manager:{metadata.version('disvc')} ." in (ROOT / "Dockerfile").read_text()


def test_the_alerts_ask_for_metrics_and_labels_that_there_are() -> None:
    documented = {
        name: {label.strip() for label in labels.split(",")}
        for name, labels in re.findall(
            r"^\| `(\w+)` \| \w+ \| ([^|]*) \|", (ROOT / "docs/reference/metrics.md").read_text(), re.MULTILINE
        )
    }
    alerts = yaml.safe_load((ROOT / "config/prometheus/alerts.yaml").read_text())
    rules = [rule for group in alerts["spec"]["groups"] for rule in group["rules"]]
    for rule in rules:
        asked = re.findall(r"(\w+)\{(.*?)\}", rule["expr"])
        assert asked, rule["alert"]
        for name, matchers in asked:
            assert set(re.findall(r"(\w+)=", matchers)) - {"job"} <= documented[name], rule["alert"]


def test_the_alert_about_the_lease_asks_for_the_lease_of_the_deployment(settings: Settings) -> None:
    alerts = (ROOT / "config/prometheus/alerts.yaml").read_text()
    assert f'leader_election_master_status{{name="{settings.leader_election.leader_election_id}"}}' in alerts
