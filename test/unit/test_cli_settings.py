"""The operator's configuration: flags over environment over file over defaults; what is wrong is said in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from disvc.cli.command import options, read_settings
from disvc.cli.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

# Of each flag: a value as it is written, and what becomes of it.
EXAMPLES: dict[str, tuple[str, Any]] = {
    "--kubeconfig": ("/etc/kubeconfig", "/etc/kubeconfig"),
    "--context": ("kind", "kind"),
    "--watch-namespaces": ("team-a,team-b", ("team-a", "team-b")),
    "--watch-label-selector": ("shard=blue,!old", "shard=blue,!old"),
    "--max-concurrent-reconciles": ("3", 3),
    "--resync-seconds": ("0", 0.0),
    "--grace-seconds": ("12.5", 12.5),
    "--domain": ("models.example.org", "models.example.org"),
    "--domain-template": ("{name}.{namespace}.{domain}", "{name}.{namespace}.{domain}"),
    "--url-scheme": ("https", "https"),
    "--ingress-class": ("nginx", "nginx"),
    "--grpc-tls-secret": ("wildcard", "wildcard"),
    "--leader-elect": ("false", False),
    "--leader-election-id": ("blue", "blue"),
    "--leader-election-namespace": ("operators", "operators"),
    "--leader-election-lease-duration": ("60", 60.0),
    "--leader-election-renew-deadline": ("9", 9.0),
    "--leader-election-retry-period": ("1", 1.0),
    "--metrics-bind-address": ("127.0.0.1:9090", "127.0.0.1:9090"),
    "--health-probe-bind-address": ("0", ""),
    "--log-level": ("debug", "debug"),
    "--log-format": ("json", "json"),
}
FLAGS = {option.opts[0]: (section, str(option.name)) for section, option in options()}


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for flag in (*FLAGS, "--config"):
        monkeypatch.delenv(variable(flag), raising=False)


def variable(flag: str) -> str:
    return "DISVC_" + flag.removeprefix("--").replace("-", "_").upper()


def value(settings: Settings, flag: str) -> Any:
    section, name = FLAGS[flag]
    return getattr(getattr(settings, section), name)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """Return the lines that refuse these arguments."""
    with pytest.raises(SystemExit) as end:
        read_settings(arguments)
    assert end.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    return output.err.splitlines()


def test_each_flag_has_an_example_here() -> None:
    assert list(EXAMPLES) == list(FLAGS)
    assert len(FLAGS) == len({option.name for _, option in options()}), "one name in two sections"


def test_without_flags_environment_and_file_everything_has_its_default() -> None:
    assert read_settings([]) == Settings()


@pytest.mark.parametrize("flag", EXAMPLES)
def test_a_setting_is_taken_from_its_flag(flag: str) -> None:
    text, expected = EXAMPLES[flag]
    assert value(read_settings([f"{flag}={text}"]), flag) == expected


@pytest.mark.parametrize("flag", EXAMPLES)
def test_a_setting_is_taken_from_its_environment_variable(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, expected = EXAMPLES[flag]
    monkeypatch.setenv(variable(flag), text)
    assert value(read_settings([]), flag) == expected


@pytest.mark.parametrize("flag", EXAMPLES)
def test_a_setting_is_taken_from_the_file(flag: str, tmp_path: Path) -> None:
    text, expected = EXAMPLES[flag]
    (tmp_path / "settings.yaml").write_text(f'{flag.removeprefix("--")}: "{text}"')
    assert value(read_settings([f"--config={tmp_path / 'settings.yaml'}"]), flag) == expected


def test_a_flag_is_before_the_environment_which_is_before_the_file_which_is_before_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("domain: file.org\nurl-scheme: https\ningress-class: file\n")
    monkeypatch.setenv("DISVC_CONFIG", str(file))
    monkeypatch.setenv("DISVC_DOMAIN", "environment.org")
    monkeypatch.setenv("DISVC_INGRESS_CLASS", "environment")
    routing = read_settings(["--domain=flag.org"]).routing
    assert (routing.domain, routing.ingress_class, routing.url_scheme) == ("flag.org", "environment", "https")
    assert routing.grpc_tls_secret == "grpc-tls"


def test_namespaces_may_be_given_with_commas_and_more_than_once() -> None:
    settings = read_settings(["--watch-namespaces=a,b", "--watch-namespaces", "c"])
    assert settings.work.watch_namespaces == ("a", "b", "c")


@pytest.mark.parametrize("text", ["[a, b]", "a,b", "[a, 'b']", "\n- a\n- b"])
def test_namespaces_in_the_file_may_be_a_list_or_a_text(text: str, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(f"watch-namespaces: {text}\n")
    settings = read_settings(["--config", str(tmp_path / "settings.yaml")])
    assert settings.work.watch_namespaces == ("a", "b")


def test_a_switch_may_be_given_alone() -> None:
    arguments = ["--leader-elect", "--leader-election-namespace=operators"]
    assert read_settings(arguments).leader_election.leader_elect


def test_an_endpoint_is_turned_off_by_0() -> None:
    assert read_settings(["--metrics-bind-address=0"]).endpoints.metrics_bind_address == ""


def test_an_empty_environment_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISVC_DOMAIN", "")
    assert read_settings([]).routing.domain == "example.com"


def test_an_environment_variable_that_is_no_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISVC_METRICS_SERVICE_PORT", "8080")  # as Kubernetes sets it for a Service `disvc-metrics`
    assert read_settings([]) == Settings()


def test_an_unknown_flag_is_named_with_the_one_that_may_be_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--url-schema=http") == [
        "disvc-manager: No such option '--url-schema'. Did you mean '--url-scheme'?"
    ]


def test_a_word_that_belongs_to_no_flag_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--leader-elect=false", "start") == [
        "disvc-manager: Got unexpected extra argument (start)",
    ]


@pytest.mark.parametrize(
    ("flag", "wrong", "allowed"),
    [
        ("--watch-namespaces", "Team", "a namespace's name has at most 63 characters: a-z, 0-9 and, within it, -"),
        (
            "--watch-label-selector",
            "a in (b",
            (
                "selector 'a in (b' cannot be read from 'a in (b' on; "
                "write it as for kubectl -l: shard=blue,tier!=test,zone in (a,b),!old"
            ),
        ),
        ("--max-concurrent-reconciles", "0", "it should be greater than or equal to 1"),
        ("--max-concurrent-reconciles", "many", "give a whole number"),
        ("--resync-seconds", "-1", "it should be greater than or equal to 0"),
        ("--grace-seconds", "30s", "give a number of seconds, without a unit"),
        ("--grace-seconds", "nan", "it should be a finite number"),
        ("--domain", "Example", "a domain is written in small letters, digits, - and dots, as example.com"),
        (
            "--domain-template",
            "{{ .Name }}.{domain}",
            (
                "it gives no host of its own to each service: write it with {name}, {namespace} and {domain}, "
                "as {name}-{namespace}.{domain}"
            ),
        ),
        (
            "--domain-template",
            "{namespace}.{domain}",
            (
                "it gives no host of its own to each service: write it with {name}, {namespace} and {domain}, "
                "as {name}-{namespace}.{domain}"
            ),
        ),
        ("--url-scheme", "ftp", "it should be 'http' or 'https'"),
        ("--leader-elect", "maybe", "give true or false"),
        ("--metrics-bind-address", "8080", "'8080' is not an address to listen on; give HOST:PORT or :PORT"),
        ("--log-level", "loud", "it should be 'debug', 'info', 'warning' or 'error'"),
        ("--log-format", "xml", "it should be 'auto', 'json' or 'console'"),
    ],
)
@pytest.mark.parametrize("source", ["flag", "environment", "file"])
def test_a_wrong_value_is_named_with_its_flag_where_it_came_from_and_what_is_allowed(
    source: str,
    flag: str,
    wrong: str,
    allowed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "settings.yaml"
    arguments, place = [f"{flag}={wrong}"], "the command line"
    if source == "environment":
        monkeypatch.setenv(variable(flag), wrong)
        arguments, place = [], variable(flag)
    elif source == "file":
        file.write_text(f'{flag.removeprefix("--")}: "{wrong}"')
        arguments, place = [f"--config={file}"], str(file)
    assert said(capsys, *arguments) == [f"disvc-manager: {flag}: {wrong!r} from {place}: {allowed}"]


def test_each_of_several_wrong_values_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "--url-scheme=ftp", "--log-level=loud")
    assert [line.split(": ")[1] for line in lines] == ["--url-scheme", "--log-level"]


def test_a_flag_without_its_value_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--domain") == ["disvc-manager: Option '--domain' requires an argument."]


def test_durations_that_do_not_fit_each_other_are_told_with_the_rule(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = said(
        capsys, "--leader-elect", "--leader-election-namespace=default", "--leader-election-lease-duration=5"
    )
    assert "lease_duration (5.0 s) must be more than renew_deadline (10.0 s)" in line
    assert line.endswith("; see Leader election in --help")


def test_leader_election_outside_a_pod_says_which_flag_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = said(capsys, "--leader-elect")
    assert line == (
        "disvc-manager: the Lease needs a namespace, and this process does not run in a pod: "
        "pass --leader-election-namespace; see Leader election in --help"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("url-schema: http", "has the unknown key 'url-schema'; did you mean 'url-scheme'?"),
        ("url_scheme: http", "has the unknown key 'url_scheme'; did you mean 'url-scheme'?"),
        ("7: http", "has the unknown key 7; the keys are the flags of --help without the dashes"),
        ("domain", "has no settings; write lines such as `domain: example.com`"),
        ("", "has no settings; write lines such as `domain: example.com`"),
        ("domain: [", "is not YAML: "),
        ("domain: \xff", "cannot be read: "),
    ],
)
def test_a_file_that_is_wrong_is_named_with_what_is_wrong(
    content: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_bytes(content.encode("latin-1"))
    (line,) = said(capsys, f"--config={file}")
    assert line.startswith(f"disvc-manager: --config: {file} {words}")


def test_a_file_that_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = said(capsys, f"--config={tmp_path / 'nothing'}")
    assert line.startswith(f"disvc-manager: --config: {tmp_path / 'nothing'} cannot be read: ")


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        ("domain: 5", "--domain: 5 from"),
        ("domain: {a: 1}", "--domain: {'a': 1} from"),
        ("watch-namespaces: 5", "--watch-namespaces: 5 from"),
        ("watch-namespaces: {a: 1}", "--watch-namespaces: {'a': 1} from"),
        ("leader-elect: 7", "--leader-elect: 7 from"),
    ],
)
def test_a_value_of_another_type_in_the_file_is_refused(
    content: str, refused: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "settings.yaml").write_text(content)
    (line,) = said(capsys, f"--config={tmp_path / 'settings.yaml'}")
    assert line.startswith(f"disvc-manager: {refused} {tmp_path / 'settings.yaml'}: ")
