"""Tell the methods that a class of skae defines from those that scikit-learn gives it."""

import inspect

from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest

import skae
import skae.displays


def context():
    """Return what the template of a class page needs: `{name of the class: names}`, twice."""
    classes = [skae.AutoencoderTransformer, skae.AutoencoderOutlierDetector]
    classes += [getattr(skae.displays, name) for name in skae.displays.__all__]
    own, inherited = {}, {}
    for cls in classes:
        names = [name for name, _ in inspect.getmembers(cls, callable) if not name.startswith("_")]
        own[cls.__name__] = [name for name in names if is_own(getattr(cls, name))]
        others = [name for name in names if name not in own[cls.__name__]]
        inherited[cls.__name__] = [link(name) for name in others]
    return {"own_methods": own, "inherited_methods": inherited}


def is_own(method):
    """Return whether the code of the method is skae's, also behind scikit-learn's decorators."""
    return inspect.unwrap(method).__module__.partition(".")[0] == "skae"


def link(name):
    """Return a reference to scikit-learn's page of a method, where it has one."""
    for cls, page in ((PCA, "decomposition.PCA"), (IsolationForest, "ensemble.IsolationForest")):
        if hasattr(cls, name):
            return f":meth:`~sklearn.{page}.{name}`"
    return f"`{name}`"
