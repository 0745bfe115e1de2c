"""What can be wrong with a hook.

    HookError
    ├── NotJson             400  the body is no JSON object
    ├── AnomalousPayload    400  this vendor would not send that: no session id, a field of the wrong type
    ├── WrongName           400  the request names another server
    ├── UnknownHost         401  no token, a wrong one, a revoked one
    ├── UnknownVendor       404  no adapter has this name
    ├── UnknownAddress      404  no hook is taken there
    ├── WrongMethod         405  hooks are posted
    ├── PayloadTooLarge     413  above 16 MiB
    ├── Unavailable         503  the database cannot be reached
    └── Broken              500  a mistake of ours; the log has it under the correlation id

An event that is unknown or not used is none of these: it is journaled and answered like any other.
"""


class HookError(Exception):
    """The hook is refused; the text is safe for the person who reads it."""

    status = 400
    code = "bad_hook"


class NotJson(HookError):
    """The body is not a JSON object."""

    code = "not_json"


class AnomalousPayload(HookError):
    """A field that must be there is not, or has another type."""

    code = "anomalous_payload"


class WrongName(HookError):
    """The request names a host that this server is not."""

    code = "bad_request"


class UnknownHost(HookError):
    """No host answers to this token."""

    status = 401
    code = "unknown_host"


class UnknownVendor(HookError):
    """No adapter speaks for this vendor."""

    status = 404
    code = "unknown_vendor"


class UnknownAddress(HookError):
    """No hook is taken at this address."""

    status = 404
    code = "not_found"


class WrongMethod(HookError):
    """The address does not take this method."""

    status = 405
    code = "method_not_allowed"


class PayloadTooLarge(HookError):
    """The body is larger than a hook may be."""

    status = 413
    code = "payload_too_large"


class Unavailable(HookError):
    """Nothing can be stored now; the client should come again."""

    status = 503
    code = "unavailable"


class Broken(HookError):
    """Something that should not happen has happened here."""

    status = 500
    code = "internal_error"
