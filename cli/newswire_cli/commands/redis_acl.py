"""`newswire redis-acl`: the users and permissions that a Redis needs for the services."""

from enum import StrEnum

from newswire_cli.terminal.console import fail, note, say, settings_problem


class RedisUser(StrEnum):
    """Who connects to Redis: a service, or the commands of an operator."""

    INGEST = "ingest"
    SEARCH = "search"
    NOTIFY = "notify"
    COMMANDS = "commands"


def redis_acl() -> None:
    """Print one line for each service, and one for these commands: its user in Redis, with the least that it must be allowed.

    Replace `PASSWORD`, and send the lines to Redis.
    """
    from pydantic import ValidationError

    from newswire.settings import Settings, SettingsError
    from newswire_operations.redis_acl import acl_rules, operator_rules

    try:
        namespace = Settings().namespace
    except (ValidationError, SettingsError) as error:
        fail(settings_problem(error))
    for user in RedisUser:
        rules = operator_rules(namespace) if user is RedisUser.COMMANDS else acl_rules(user, namespace)
        say(f"ACL SETUSER newswire-{user} reset on >PASSWORD {' '.join(rules)}")
    note(
        "replace each PASSWORD by another one, and set NEWSWIRE_REDIS_URL=redis://newswire-<service>:<password>@host:6379/0"
    )
