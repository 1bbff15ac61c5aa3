"""All of the catalogue: to import this module imports its own modules, then the plug-ins.

A module is what Python imports once, whole or not at all, with other threads waiting until it is.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import sys
import warnings
from importlib.metadata import entry_points

from actbench.catalog import activations, losses
from actbench.catalog.errors import told

ENTRY_POINTS = "actbench.functions"


class PluginWarning(UserWarning):
    """A plug-in that cannot be loaded."""


for _package in (activations, losses):
    for _module in pkgutil.iter_modules(_package.__path__):
        importlib.import_module(f"{_package.__name__}.{_module.name}")

for _point in entry_points(group=ENTRY_POINTS):
    try:
        with contextlib.redirect_stdout(sys.stderr):
            _point.load()
    except (Exception, SystemExit) as error:
        # One package that is broken must not take everybody else's functions away.
        warnings.warn(
            f"the plug-in {_point.name!r} ({_point.value}) cannot be loaded, so its functions are missing: "
            f"{told(error)}",
            PluginWarning,
            stacklevel=2,
        )
