"""Why a sign-in with a provider did not succeed. Each has a text for people; the message is for the log."""


class OpenIdError(Exception):
    """The base of these errors."""


class ProviderUnavailableError(OpenIdError):
    """The provider could not be reached, or did not answer as OpenID Connect says."""


class ProviderRefusedError(OpenIdError):
    """The provider answered with an error: the person cancelled, or the client is set up wrongly."""


class AttemptEndedError(OpenIdError):
    """The attempt has expired, was used before, or was begun in another browser."""


class IdentityRefusedError(OpenIdError):
    """What the provider sent about the person is not valid: signature, issuer, audience, time or nonce are wrong."""


class UnverifiedEmailError(OpenIdError):
    """The provider names no address, or does not say that it belongs to the person."""


class UnknownPersonError(OpenIdError):
    """No user has this address and no rule creates one; or the user is disabled."""


class OtherIdentityError(OpenIdError):
    """The user with this address is linked to another person of the provider; or the person to another user."""


class IdentityTakenError(OpenIdError):
    """A link was asked for, but the person is linked to another user, or the user to another person of the provider."""


class TooManyAttemptsError(OpenIdError):
    """Too many sign-ins were begun from this network."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many sign-ins were begun; try again in {seconds} s")
        self.seconds = seconds
