"""Which environment variables a Pod may set for a process of this host. Pure.

The environment tells loaders, interpreters and libraries what code to load and which files to
read or write. A profile says what runs in place of an image; a Pod may not change it that way.
"""

from __future__ import annotations

from typing import Final

REFUSED_PREFIXES: Final = (
    # Dynamic loader and C library.
    *("LD_", "DYLD_", "GLIBC_", "MALLOC_"),
    # Interpreters: modules, start-up files, functions.
    *("PYTHON", "BASH_"),
    # The programs themselves: backends to load, flags, caches.
    *("GGML_", "LLAMA_", "ENVOY_"),
    # TLS: engines to load, roots to trust, and SSLKEYLOGFILE, which is written to.
    *("OPENSSL_", "SSL"),
    # Compute runtimes: layers, tools and drivers to load, devices that the node hands out.
    *("CUDA_", "NVIDIA_", "NCCL_", "HSA_", "VK_", "METAL_", "MTL_", "OMP_TOOL"),
)
REFUSED: Final = frozenset(
    {
        *("PATH", "HOME", "ENV", "SHELLOPTS", "IFS"),
        *("GCONV_PATH", "LOCPATH", "NLSPATH", "HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS"),
        *("NETRC", "KUBECONFIG"),
    }
)


class RefusedVariableError(ValueError):
    """A variable that a Pod may not set; its text names it."""


def allowed_variable(name: str) -> str:
    """The name itself.

    Raises:
        RefusedVariableError: a Pod may not set it.
    """
    if name in REFUSED or name.startswith(REFUSED_PREFIXES):
        raise RefusedVariableError(f"env: {name} may not be set by a Pod on this node")
    return name
