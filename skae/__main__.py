"""What `python -m skae` runs."""

from skae._show_versions import show_versions

if __name__ == "__main__":
    show_versions()
