"""`disvc-manager --help` and `--version`: what a person reads before anything runs."""

from __future__ import annotations

import platform
import re
from importlib import metadata

import pytest

from disvc.cli.command import options, read_settings
from disvc.cli.settings import Settings


def shown(capsys: pytest.CaptureFixture[str], flag: str) -> str:
    with pytest.raises(SystemExit) as end:
        read_settings([flag])
    assert end.value.code == 0
    output = capsys.readouterr()
    assert output.err == ""
    return output.out


def paragraphs(text: str) -> dict[str, str]:
    """Return what is said of each flag, in one line."""
    found = re.findall(r"^  (?:-h, )?(--[a-z-]+).*\n((?: {8,}.*\n)+)", text, re.MULTILINE)
    return {flag: " ".join(lines.split()) for flag, lines in found}


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_explains_each_setting_with_its_environment_variable_and_default(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    explained = paragraphs(shown(capsys, flag))
    for _, option in options():
        text = explained[option.opts[0]]
        assert option.help
        assert text.startswith(option.help)
        assert f"env var: DISVC_{str(option.name).upper()}" in text
        assert (f"default: {option.default}]" in text) == (option.default not in {"", ()}), text
    assert explained["--leader-elect"].endswith("default: false]")
    assert explained["--resync-seconds"].endswith("default: 36000]")


def test_help_groups_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    headings = re.findall(r"^(\w.*):$", shown(capsys, "--help"), re.MULTILINE)
    assert headings == [*(field.title for field in Settings.model_fields.values()), "General"]


def test_help_is_plain_text_that_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "--help")
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80


def test_help_is_shown_although_the_environment_is_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISVC_URL_SCHEME", "ftp")
    assert shown(capsys, "--help").startswith("Usage: disvc-manager [FLAGS]\n")


def test_version_shows_the_operator_python_and_what_matters_besides(capsys: pytest.CaptureFixture[str]) -> None:
    versions = dict(line.split(" ") for line in shown(capsys, "--version").splitlines())
    assert versions["disvc"] == metadata.version("disvc")
    assert versions["python"] == platform.python_version()
    assert {"kubernetes_asyncio", "pydantic"} < set(versions)
