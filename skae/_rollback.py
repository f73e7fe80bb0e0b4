"""Changes of an estimator that are made to a copy first, so that none is lost or half made."""


def twin(estimator):
    """Return a shallow copy with all attributes, also those that a subclass does not pickle."""
    copy = object.__new__(type(estimator))
    state = object.__getstate__(estimator)
    attributes, slots = state if isinstance(state, tuple) else (state, {})
    copy.__dict__.update(attributes)
    for name, value in slots.items():
        object.__setattr__(copy, name, value)
    return copy


def merged(before, now, after):
    """Return the attributes as they are now, with all that the copy has changed since.

    `before` are the attributes when the copy was made, `after` those of the copy.
    """
    changed = {
        name: value
        for name, value in after.items()
        if name not in before or value is not before[name]
    }
    deleted = before.keys() - after.keys()
    return {name: value for name, value in now.items() if name not in deleted} | changed
