"""Tell what a class of skae defines from what scikit-learn gives it, for the page of the class."""

import inspect

from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression

import skae
import skae.displays

# Classes whose pages in scikit-learn's manual explain what is inherited, the likeliest first.
EXPLAINED = {
    PCA: "sklearn.decomposition",
    IsolationForest: "sklearn.ensemble",
    LogisticRegression: "sklearn.linear_model",
}


def context():
    """Return what the template needs, in dicts by the names of the classes."""
    classes = [skae.AutoencoderTransformer, skae.AutoencoderOutlierDetector]
    classes += [getattr(skae.displays, name) for name in skae.displays.__all__]
    methods, properties, inherited = {}, {}, {}
    for cls in classes:
        members = [member for member in inspect.getmembers(cls) if not member[0].startswith("_")]
        functions = {name: member for name, member in members if callable(member)}
        own = [name for name, member in functions.items() if is_own(member)]
        methods[cls.__name__] = own
        properties[cls.__name__] = [name for name, member in members if is_own_property(member)]
        inherited[cls.__name__] = [
            (name, signature(member), explanation(name))
            for name, member in functions.items()
            if name not in own
        ]
    return {"methods_of": methods, "properties_of": properties, "inherited_by": inherited}


def is_own(function):
    """Return whether the code of a function is skae's, also behind scikit-learn's decorators."""
    return inspect.unwrap(function).__module__.partition(".")[0] == "skae"


def is_own_property(member):
    return isinstance(member, property) and is_own(member.fget)


def signature(method):
    """Return the signature of a method as it is called, without types."""
    found = inspect.signature(method)
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in found.parameters.values()
        if parameter.name != "self"
    ]
    return str(found.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


def explanation(name):
    """Return where scikit-learn's manual explains a method."""
    for cls, module in EXPLAINED.items():
        if hasattr(cls, name):
            known = f"{cls.__name__}.{name}"
            return f"As :meth:`{known}() <{module}.{known}>`."
    return "As in scikit-learn."
