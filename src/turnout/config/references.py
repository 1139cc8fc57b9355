"""Secrets are named in the configuration and stand elsewhere: `env:NAME` or `file:PATH`.

A configuration gets copied, committed, mailed and pasted into tickets. One that holds no secret
can be, and one that does is refused here, before somebody gets used to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from turnout.config.options import Wrong
from turnout.domain.accounts import Secret

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# No provider's secret is longer; a larger file is a file that was named by mistake.
_FILE_LIMIT_BYTES = 65_536


@dataclass(slots=True)
class SecretSource:
    """Resolves references, and remembers which option used which.

    Attributes:
        references: by the option's path, for example `accounts[0].credentials.api_key`.
        warnings: secrets that can be read by more people than they should.
    """

    room: Path
    environ: Mapping[str, str]
    references: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def secret(self, raw: object, path: str) -> Secret:
        """The secret behind a reference.

        Raises:
            Wrong: it leads nowhere, or a secret stands where a reference must.
        """
        if not isinstance(raw, str) or not raw.startswith(("env:", "file:")):
            raise Wrong(
                "a secret may not stand in the configuration; put it into a file or an "
                'environment variable and write "file:PATH" or "env:NAME" here'
            )
        kind, _, name = raw.partition(":")
        value = self._from_environment(name) if kind == "env" else self._from_file(name, path)
        if not value:
            raise Wrong(f"{raw} is empty")
        if not value.isprintable():
            raise Wrong(f"{raw} holds more than one line of text")
        self.references[path] = raw
        return Secret(value)

    def _from_environment(self, name: str) -> str:
        if not _ENV_NAME.fullmatch(name):
            raise Wrong("env: must be followed by the name of an environment variable")
        if name not in self.environ:
            raise Wrong(f"the environment variable {name} is not set")
        return self.environ[name].strip()

    def _from_file(self, name: str, path: str) -> str:
        if not name or "\0" in name:
            raise Wrong("file: must be followed by the path of a file")
        file = self.room / Path(name).expanduser()
        try:
            with file.open("rb") as opened:
                content = opened.read(_FILE_LIMIT_BYTES + 1)
            mode = file.stat().st_mode
        except OSError as error:
            raise Wrong(f"{file} cannot be read ({error.strerror})") from None
        if len(content) > _FILE_LIMIT_BYTES:
            raise Wrong(f"{file} is larger than {_FILE_LIMIT_BYTES} bytes; is it the right one?")
        if mode & 0o004:
            self.warnings.append(f"{path}: {file} can be read by everybody; run: chmod 600 {file}")
        try:
            return content.decode().strip()
        except UnicodeDecodeError:
            raise Wrong(f"{file} is not text in UTF-8") from None
