"""A PostgreSQL server of the machine's own package, on loopback, for one test or one cluster."""

from __future__ import annotations

import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from demo.local_airflow import LOOPBACK

_UNPRIVILEGED = ("postgres", "nobody")


class MissingServiceError(Exception):
    """A program is not installed; the message says which package has it."""


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """The commands of a server with its files in ``folder``, and a superuser ``airflow`` without a password."""

    folder: Path
    port: int
    initdb: str
    as_user: str | None
    """The user for PostgreSQL if this process is root, which PostgreSQL refuses."""

    @classmethod
    def at(cls, folder: Path, port: int) -> Self:
        """Find the programs, or raise ``MissingServiceError``."""
        # Debian keeps each major version in a folder of its own, off the PATH.
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
        initdb = str(found[-1]) if found else shutil.which("initdb")
        if initdb is None:
            msg = "PostgreSQL's server is not installed (Debian, Ubuntu: apt-get install postgresql)"
            raise MissingServiceError(msg)
        users = {user.pw_name for user in pwd.getpwall()}
        as_user = next((name for name in _UNPRIVILEGED if name in users), None) if os.geteuid() == 0 else None
        if os.geteuid() == 0 and (as_user is None or shutil.which("setpriv") is None):
            msg = f"PostgreSQL refuses to run as root, and there is no setpriv or no user {' or '.join(_UNPRIVILEGED)}"
            raise MissingServiceError(msg)
        return cls(folder=folder, port=port, initdb=initdb, as_user=as_user)

    @property
    def steps(self) -> dict[str, list[str]]:
        """What makes the files."""
        settings = ("--auth=trust", "--username=airflow", "--encoding=UTF8", "--no-locale", "--no-sync")
        return {"initdb": self._unprivileged(self.initdb, *settings, "-D", str(self.folder / "postgres"))}

    @property
    def components(self) -> dict[str, list[str]]:
        """The server."""
        # The files live as long as the test: they need not survive the machine's end.
        settings = {"listen_addresses": LOOPBACK, "port": self.port, "unix_socket_directories": "", "fsync": "off"}
        words = (f"--{name}={value}" for name, value in settings.items())
        program = str(Path(self.initdb).with_name("postgres"))
        return {"postgres": self._unprivileged(program, "-D", str(self.folder / "postgres"), *words)}

    def prepare(self) -> None:
        """Let PostgreSQL's user write."""
        if self.as_user:
            (self.folder / "postgres").mkdir()
            shutil.chown(self.folder / "postgres", self.as_user)
            self.folder.chmod(0o711)

    def _unprivileged(self, *command: str) -> list[str]:
        if self.as_user is None:
            return list(command)
        # A change of user clears the signal that the kernel would send at the death of the test: it is asked for anew.
        return ["setpriv", f"--reuid={self.as_user}", "--clear-groups", "--pdeathsig=INT", *command]
