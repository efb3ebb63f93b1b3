"""Reads `Settings` from flags, the environment and a file, in this order of precedence.

What is wrong is said in one line that names the flag, the value, where it came from, and what is allowed; the exit
code is 2. click reads and explains the flags, and knows where each value came from; pydantic judges the values.
Environment variables that are no settings are left alone: Kubernetes itself sets some for each Service of the
namespace, and their names begin with DISVC_ where the Service's does with "disvc-".
"""

from __future__ import annotations

import difflib
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

import click
import yaml
from click.core import ParameterSource
from pydantic import BaseModel, ValidationError

from disvc.cli.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

PROGRAM: Final = "disvc-manager"
ENVIRONMENT_PREFIX: Final = "DISVC"
_VERSIONS_THAT_MATTER: Final = ("kubernetes_asyncio", "aiohttp", "msgspec", "pydantic", "uvloop")
_WORDS: Final = {
    "bool_parsing": "give true or false",
    "float_parsing": "give a number of seconds, without a unit",
    "int_parsing": "give a whole number",
}
_HELP: Final = """\
The operator for DistributedInferenceServices (serving.kserve.io/v1alpha1).

A setting is taken from its flag, else from its environment variable, else from the file of --config, else it has
its default. The file is YAML; its keys are the flags without the dashes.
"""


def read_settings(arguments: Sequence[str]) -> Settings:
    """Return the settings of these arguments, of this process's environment, and of the file that they name.

    Ends the process where they are wrong (exit code 2), and where they ask for help or the version (0).
    """
    try:
        result = _command().main(list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except click.ClickException as error:
        for line in error.format_message().splitlines():
            click.echo(f"{PROGRAM}: {line}", err=True)
        sys.exit(error.exit_code)
    if not isinstance(result, Settings):
        sys.exit(result)
    return result


class SettingOption(click.Option):
    """The flag of one field."""

    def __init__(self, section: str, name: str, field: FieldInfo) -> None:
        self.section = section
        several, switch = get_origin(field.annotation) is tuple, field.annotation is bool
        # `--leader-elect` and `--leader-elect=false`, as flags of Go programs are written
        written_alone: dict[str, Any] = {"flag_value": "true"} if switch else {}
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        if get_origin(field.annotation) is Literal:
            metavar = "|".join(get_args(field.annotation))
        else:
            metavar = str(extra.get("metavar", "NUMBER" if field.annotation is int else "TEXT"))
        super().__init__(
            [f"--{name.replace('_', '-')}"],
            type=click.UNPROCESSED,
            default=() if several else _in_words(field.default),
            multiple=several,
            is_flag=False,
            metavar="[=true|false]" if switch else metavar,
            help=field.description,
            show_envvar=True,
            show_default=field.default not in {"", ()},
            **written_alone,
        )


def _in_words(default: object) -> str:
    """Return a default as it would be written on the command line."""
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:.15g}" if isinstance(default, float) else str(default)


class _Command(click.Command):
    """Shows its options under their sections, each explained on the lines below it, as its name may be long."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(param, "section", "General"), []).append(record)
        for section, records in sections.items():
            with formatter.section(section):
                formatter.write_dl(records, col_max=6)


def _command() -> click.Command:
    config = click.Option(
        ["--config"],
        type=click.Path(path_type=Path),
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=_read_file,
        show_envvar=True,
        help="read settings from this YAML file",
    )
    version = click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_version,
        help="show the versions of the operator and of what it runs on, and exit",
        allow_from_autoenv=False,
    )
    return _Command(
        PROGRAM,
        params=[*(option for _, option in options()), config, version],
        callback=_settings,
        help=_HELP,
        options_metavar="[FLAGS]",
        context_settings={"auto_envvar_prefix": ENVIRONMENT_PREFIX, "help_option_names": ["-h", "--help"]},
    )


def options() -> Iterator[tuple[str, SettingOption]]:
    """Yield the section's field and the flag of each setting."""
    for section, field in Settings.model_fields.items():
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        for name, setting in model.model_fields.items():
            yield section, SettingOption(field.title or section, name, setting)


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    click.echo(f"disvc {metadata.version('disvc')}")
    click.echo(f"python {platform.python_version()}")
    for name in _VERSIONS_THAT_MATTER:
        click.echo(f"{name} {metadata.version(name)}")
    context.exit()


def _read_file(context: click.Context, _: click.Parameter, file: Path | None) -> None:
    """Make what the file says the defaults of the flags."""
    if file is None:
        return
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--config: {file} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise click.UsageError(f"--config: {file} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise click.UsageError(f"--config: {file} has no settings; write lines such as `domain: example.com`")
    known = {option.opts[0].removeprefix("--"): option for _, option in options()}
    for key in content:
        if key not in known:
            raise click.UsageError(f"--config: {file} has the unknown key {key!r}{_perhaps(str(key), known)}")
    context.default_map = {
        str(known[key].name): [value] if known[key].multiple else value for key, value in content.items()
    }
    context.obj = file


def _perhaps(key: str, known: dict[str, Any]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else "; the keys are the flags of --help without the dashes"


def _settings(**values: Any) -> Settings:
    nested: dict[str, dict[str, Any]] = {}
    for section, option in options():
        nested.setdefault(section, {})[str(option.name)] = values[str(option.name)]
    try:
        return Settings.model_validate(nested)
    except ValidationError as error:
        lines = [_explained(click.get_current_context(), details) for details in error.errors()]
        raise click.UsageError("\n".join(lines)) from error


def _explained(context: click.Context, error: ErrorDetails) -> str:
    """Return which value was refused, where it came from, and why."""
    words = _WORDS.get(error["type"]) or error["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    section, *names = (str(part) for part in error["loc"])
    if not names:  # values that do not fit each other
        return f"{words}; see {Settings.model_fields[section].title} in --help"
    variable = f"{ENVIRONMENT_PREFIX}_{names[0].upper()}"
    match context.get_parameter_source(names[0]):
        case ParameterSource.ENVIRONMENT:
            source = f"from {variable}"
        case ParameterSource.DEFAULT_MAP:
            source = f"from {context.obj}"
        case _:
            source = "from the command line"
    return f"--{names[0].replace('_', '-')}: {error['input']!r} {source}: {words}"
