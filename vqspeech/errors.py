"""The one exception for what a person gave us and we cannot use."""


class InputError(Exception):
    """A fault of the input, not of the program.

    The message is one line that names the value, the limit and the cure.  The command line prints it
    on stderr and exits with 2; a library user may catch it.
    """
