"""What the operator uses of the package `kubernetes`, without the rest of it.

Importing anything of that package runs its `__init__`, which imports its blocking half and that
half's HTTP stack: a third of the time that the operator takes to start. Here the package is entered
into `sys.modules` without that; whoever imports its other modules still gets them.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec

if "kubernetes" not in sys.modules:
    spec = find_spec("kubernetes")
    if spec is not None:
        sys.modules["kubernetes"] = module_from_spec(spec)

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config, refresh_token
from kubernetes.aio.config.config_exception import ConfigException

__all__ = [
    "ConfigException",
    "Configuration",
    "load_incluster_config",
    "load_kube_config",
    "refresh_token",
]
