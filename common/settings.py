"""Settings of every part: flags > environment > kodolly.yaml > defaults, and where each value came from.

A part declares one `PartSettings` subclass; field `port` of section `gateway` is read from
`KODOLLY_GATEWAY_PORT` (also in a `.env` file) and from `gateway: {port: ...}` in kodolly.yaml.
Secrets (SecretStr fields) are refused in kodolly.yaml: they come from the environment, `.env`, or a
0600 file that the caller passes as a flag layer.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, get_args

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from common.errors import UserError
from common.logs import LogFormat, LogLevel
from common.yaml_text import BrokenYaml, parse_yaml

CONFIG_FILE = Path("kodolly.yaml")
Layer = Literal["flag", "environment", ".env", "kodolly.yaml", "default"]


class PartSettings(BaseSettings):
    """What every part has. Subclasses set `section` and `env_prefix`.

    An empty variable counts as one that is not set: Compose passes what nobody has filled in as an empty one.
    """

    section: ClassVar[str]
    guards: ClassVar[tuple[str, ...]] = ()
    """Settings that keep somebody or something out. An empty variable for one is refused where no other layer
    sets it: whoever passes a secret that is missing does not mean that nobody is kept out."""
    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )

    log_level: LogLevel = "info"
    """How much to log."""
    log_format: LogFormat = "text"
    """`text` for people, `json` (one object a line) for collectors."""


S = TypeVar("S", bound=PartSettings)


def load_settings(cls: type[S], flags: Mapping[str, Any] | None = None, config: Path | None = None) -> S:
    """Build one part's settings. A flag that is None was not given. Raises UserError."""
    return load_with_sources(cls, flags, config)[0]


def load_with_sources(
    cls: type[S],
    flags: Mapping[str, Any] | None = None,
    config: Path | None = None,
    *,
    fill_in: Mapping[str, Any] | None = None,
) -> tuple[S, dict[str, Layer]]:
    """The settings, and for every field the layer its value came from. Raises UserError.

    `fill_in` stands below every layer, so that settings can be shown although a required one is missing.
    """
    try:
        layers: list[tuple[Layer, Mapping[str, Any]]] = [
            ("kodolly.yaml", _yaml_section(cls, config)),
            (".env", DotEnvSettingsSource(cls, env_file=Path(".env"))()),
            ("environment", EnvSettingsSource(cls)()),
            ("flag", {k: v for k, v in (flags or {}).items() if v is not None}),
        ]
    except SettingsError as error:
        raise UserError(f"A setting in the environment cannot be read: {error}.") from error
    values: dict[str, Any] = dict(fill_in or {})
    sources: dict[str, Layer] = dict.fromkeys(cls.model_fields, "default")
    for layer, found in layers:
        for key, value in found.items():
            name = _field_name(cls, key)
            # A .env file is shared by all parts: what another part's prefix claims is not ours.
            if name is None and layer == ".env":
                continue
            values[name or key] = value
            sources[name or key] = layer
    _refuse_empty_guards(cls, sources)
    try:
        return cls(_env_file=None, **values), sources
    except ValidationError as error:
        raise _refusal(cls, error, sources) from error


def _refuse_empty_guards(cls: type[PartSettings], sources: Mapping[str, Layer]) -> None:
    """Raises UserError."""
    given = {
        **DotEnvSettingsSource(cls, env_file=Path(".env"), env_ignore_empty=False).env_vars,
        **EnvSettingsSource(cls, env_ignore_empty=False).env_vars,
    }
    for name in cls.guards:
        variable = _environment_name(cls, name)
        if sources[name] == "default" and given.get(variable.lower()) == "":
            raise UserError(
                f"{variable} is there and empty: {cls.section}.{name} would keep nobody out.",
                hint="Give it a value, or take the variable away.",
            )


def _refusal(cls: type[S], error: ValidationError, sources: Mapping[str, Layer]) -> UserError:
    """What is wrong with the first setting that was refused, and where its value came from."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    name = _field_name(cls, str(first["loc"][0])) if first["loc"] else None
    if first["type"] == "missing":
        return UserError(
            f"Setting {cls.section}.{where} is missing.",
            hint=f"Set {_environment_name(cls, name or where)} in the environment or in .env.",
        )
    source = sources.get(name or where.split(".")[0], "default")
    return UserError(
        f"Setting {cls.section}.{where} (from {source}): {first['msg']}.",
        hint="`kodolly config show` lists every setting and where it comes from.",
    )


def environment_names(cls: type[PartSettings]) -> set[str]:
    """Every variable that one of the part's settings is read from."""
    prefix = cls.model_config.get("env_prefix", "")
    names: set[str] = set()
    for field, info in cls.model_fields.items():
        alias = info.validation_alias
        choices = [alias] if isinstance(alias, str) else getattr(alias, "choices", [])
        names |= {str(choice).upper() for choice in choices} or {f"{prefix}{field}".upper()}
    return names


def _environment_name(cls: type[PartSettings], name: str) -> str:
    field = cls.model_fields.get(name)
    choices = getattr(field.validation_alias, "choices", None) if field is not None else None
    return str(choices[-1]) if choices else f"{cls.model_config.get('env_prefix', '')}{name.upper()}"


def _field_name(cls: type[PartSettings], key: str) -> str | None:
    """The field that `key` (its name, or one of its environment aliases) stands for."""
    if key in cls.model_fields:
        return key
    for name, field in cls.model_fields.items():
        alias = field.validation_alias
        choices = [alias] if isinstance(alias, str) else getattr(alias, "choices", [])
        if key.lower() in [str(choice).lower() for choice in choices]:
            return name
    return None


def read_config(path: Path | None) -> dict[str, Any]:
    """kodolly.yaml as a dict; {} when `path` is None and there is no ./kodolly.yaml. Raises UserError."""
    file = path or CONFIG_FILE
    try:
        data = parse_yaml(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if path is None:
            return {}
        raise UserError(f"The settings file {path} does not exist.") from error
    except (OSError, UnicodeDecodeError, BrokenYaml) as error:
        raise UserError(f"The settings file {file} cannot be read: {error}.") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UserError(f"The settings file {file} must hold sections such as `gateway:`.")
    return data


def _yaml_section(cls: type[PartSettings], config: Path | None) -> dict[str, Any]:
    section = read_config(config).get(cls.section) or {}
    if not isinstance(section, dict):
        raise UserError(f"Section `{cls.section}` of the settings file must hold `name: value` lines.")
    for key in section:
        field = cls.model_fields.get(key)
        if field is None:
            raise UserError(
                f"The settings file has an unknown setting {cls.section}.{key}.",
                hint=f"Known: {', '.join(sorted(cls.model_fields))}.",
            )
        if SecretStr in (field.annotation, *get_args(field.annotation)):
            raise UserError(
                f"{cls.section}.{key} is a secret and must not stand in the settings file.",
                hint="Put it into the environment or into .env.",
            )
    return section
