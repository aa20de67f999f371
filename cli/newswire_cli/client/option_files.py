"""Values of options from files: for an option that reads ``NEWSWIRE_X``, ``NEWSWIRE_X_FILE`` names a file, as for settings."""

import os

import typer

from newswire_cli.terminal.console import fail


def from_file(context: typer.Context, parameter: typer.CallbackParam, value: str | None) -> str | None:
    """Return the value of an option: the one of the command line, else that in a file, else the given one.

    Ends the command (exit code 1) if the file cannot be read, or if the variable of the option is set as well.
    """
    variable = parameter.envvar
    source = context.get_parameter_source(parameter.name or "")
    given = source is not None and source.name == "COMMANDLINE"
    if given or not isinstance(variable, str) or not os.environ.get(f"{variable}_FILE"):
        return value
    from newswire.settings import SettingsError, read_setting_file  # takes long to import

    try:
        content = read_setting_file(variable)
    except SettingsError as error:
        fail(str(error))
    return value if content is None else content.rstrip("\r\n")
