"""The one exception that a user can cause."""


class UserError(Exception):
    """Bad input. Its message is one line that names the key or file, the value, and what is allowed.

    The command line prints it to stderr and exits with code 2; anything else is a defect and keeps its traceback.
    """


class InputError(UserError, ValueError):
    """A `UserError` as the Python interface raises it: there it is a `ValueError` as well."""
