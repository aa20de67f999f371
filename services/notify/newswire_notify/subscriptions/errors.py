"""Why a subscription cannot be read or changed. `newswire_notify.problem_handlers` answers each as a problem document."""


class AccountSuspendedError(Exception):
    """The account is disabled and cannot create subscriptions."""


class SubscriptionConflictError(Exception):
    """The state of a subscription does not allow a change; the message says why."""


class SubscriptionNotFoundError(Exception):
    """There is no such subscription, or another account owns it."""


class SubscriptionEndedError(Exception):
    """An operator ended the subscription recently."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"an operator ended this subscription: {reason}")


class SubscriptionBusyError(Exception):
    """Concurrent requests keep changing the subscription; the request may be sent again."""

    def __init__(self) -> None:
        super().__init__("the subscription is being changed concurrently; send the request again")
