"""The operator's configuration: one turnout.toml, and the environment over it.

`load` answers a frozen `Settings` or says everything that is wrong, each thing with its path.
Standard library only: what cannot be read cannot start, so little should be able to break here.
"""

from turnout.config.options import ConfigError
from turnout.config.places import is_loopback
from turnout.config.sandbox import SandboxConfig, write_sandbox_config
from turnout.config.settings import Settings, load

__all__ = [
    "ConfigError",
    "SandboxConfig",
    "Settings",
    "is_loopback",
    "load",
    "write_sandbox_config",
]
