"""The key with which SageMaker's containers are logged in to: made with the first use."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from runhouse.errors import SettingsError
from runhouse.files import make_private_directory

DEFAULT = "~/.ssh/sagemaker-ssh-gw"
_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Name a private key's file; the public key is beside it.

    Attributes:
        private: The private key's file.
    """

    private: Path

    @property
    def public(self) -> Path:
        """Return the public key's file."""
        return self.private.with_name(f"{self.private.name}.pub")

    @classmethod
    def at(cls, path: str) -> KeyPair:
        """Return the pair of a path, absolute, without looking whether it is there."""
        return cls(Path(path).expanduser().absolute())

    def made(self) -> KeyPair:
        """Make the pair unless it is there: ed25519, for this user alone; safe to repeat.

        Returns:
            The pair itself.

        Raises:
            SettingsError: It cannot be made or read.
        """
        if not self.private.exists():
            make_private_directory(self.private.parent)
            self._generate("-q", "-t", "ed25519", "-N", "", "-C", "runhouse", "-f", self._file)
        if not self.public.exists():
            told = self._generate("-y", "-P", "", "-f", self._file)
            self.public.write_text(told, encoding="ascii")
        return self

    @property
    def _file(self) -> str:
        return str(self.private)

    def _generate(self, *words: str) -> str:
        try:
            done = subprocess.run(
                ["ssh-keygen", *words],
                check=True,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_LIMIT_S,
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or error
            msg = (
                f"The SSH key {self.private} cannot be used. ssh-keygen failed: {said}. Make it by "
                f"hand, without a passphrase, or pass another ssh_key_path."
            )
            raise SettingsError(msg) from error
        return done.stdout

    @property
    def authorized(self) -> str:
        """Return the public key as a line of `authorized_keys`."""
        return self.public.read_text(encoding="ascii").strip()

    @property
    def digest(self) -> str:
        """Return a short text that two keys do not share."""
        return sha256(self.authorized.encode()).hexdigest()[:12]
