"""The versions that a report of a bug needs."""

import importlib.metadata
import os
import platform
import sys

from threadpoolctl import threadpool_info

from skae._version import __version__

PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "joblib",
    "safetensors",
    "threadpoolctl",
    "keras",
    "tensorflow",
    "matplotlib",
    "skl2onnx",
    "onnxruntime",
)


def show_versions() -> None:
    """Print the versions of skae, Python and the packages that skae uses, for a bug report.

    ``python -m skae`` prints the same. Nothing is imported for it, so TensorFlow does not start.
    The libraries for linear algebra and threads are those that the process has loaded so far.
    """
    system = {
        "python": sys.version.replace("\n", ""),
        "platform": platform.platform(),
        "processors": str(os.cpu_count()),
    }
    packages = {"skae": __version__} | {name: _installed(name) for name in PACKAGES}
    libraries = [(library["user_api"], _described(library)) for library in threadpool_info()]
    for name, value in [*system.items(), *packages.items(), *libraries]:
        print(f"{name:>13}: {value}")


def _installed(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _described(library):
    name = f"{library['internal_api']} {library['version'] or ''}".rstrip()
    # Only the name of the file, since its path may hold that of the user.
    file = os.path.basename(library["filepath"])
    return f"{name}, {library['num_threads']} threads, {file}"
