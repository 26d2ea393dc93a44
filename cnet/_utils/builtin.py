"""The classes of cnet, as opposed to custom subclasses."""


def is_builtin(thing: object) -> bool:
    """Whether the class of a layer, loss or optimizer is built in, and not a custom subclass.

    An attribute `_compiled` of the class takes precedence. It is not inherited.
    """
    kind = type(thing)
    own: bool = vars(kind).get("_compiled", kind.__module__.startswith(("cnet.nn.", "cnet.optim.")))
    return own
