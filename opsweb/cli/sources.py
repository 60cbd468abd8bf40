"""From the command line to what will be uploaded: the program, its config and the files beside it. Used by `run` and `image create`."""

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from opsweb.cli import config_file, packing
from opsweb.cli.client import Panel
from opsweb.cli.config_file import ConfigFile
from opsweb.cli.packing import Member
from opsweb.cli.problems import Usage
from opsweb.cli.screen import Screen

ELF_MAGIC = b"\x7fELF"
NAME_LENGTH = 40


@dataclass(frozen=True)
class Sources:
    """Everything that one image is made of."""

    program: Path
    config: ConfigFile | None
    members: tuple[Member, ...]

    @property
    def name(self) -> str:
        """The program's name as a name for an image or an instance."""
        return slug(self.program.name)

    @property
    def config_text(self) -> str | None:
        """The config for the panel."""
        return self.config.text if self.config else None

    def digest(self) -> str:
        """SHA-256 over program, config and files with their names: the same sources, the same image."""
        total = hashlib.sha256((self.config_text or "").encode())
        for name, path in ((f"program {self.program.name}", self.program), *((member.name, member.path) for member in self.members)):
            total.update(f"\0{name}\0".encode(errors="surrogateescape"))
            if path.is_file():
                total.update(_digest(path))
        return total.hexdigest()


def collect(elf: str | None, config_path: str | None, panel: Panel, screen: Screen) -> Sources:
    """Look at everything before anything is sent. Raises: Usage, Refused."""
    config = config_file.load(Path(config_path), panel, screen) if config_path else None
    program = _program(elf, config)
    members = packing.choose(config) if config and config.names_files else _hosts_beside(program, config, screen)
    return Sources(program, config, members)


def slug(text: str) -> str:
    """`text` as a name that the panel takes: lower case letters, digits and dashes."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:NAME_LENGTH].strip("-")
    return name or "program"


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = b"x" if os.fstat(file.fileno()).st_mode & stat.S_IXUSR else b"-"
            return mode + hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise Usage(f"{path} can't be read: {error.strerror}.", code="bad_files") from error


def _program(elf: str | None, config: ConfigFile | None) -> Path:
    if not elf and not (config and config.program):
        raise Usage("Which program? Name an ELF file, or set Program in the config.", code="no_program")
    path = Path(elf) if elf else _named_by(config)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise Usage(f"{path} can't be read: {error.strerror}.", code="no_program") from error
    if magic != ELF_MAGIC:
        raise Usage(f"{path} is {'a script' if magic[:2] == b'#!' else 'not a Linux program'}; an ELF file is needed.", code="not_elf")
    return path


def _named_by(config: ConfigFile | None) -> Path:
    assert config is not None
    only = ConfigFile(config.path, config.text, files=(config.program.lstrip("/"),), parent=config.parent)
    return packing.choose(only)[0].path


def _hosts_beside(program: Path, config: ConfigFile | None, screen: Screen) -> tuple[Member, ...]:
    found = packing.hosts_file([*([config.root] if config else []), program.parent])
    if found:
        screen.note(f"note: {found[0].path} goes into the image as etc/hosts; a config with Files, Dirs or MapDirs decides otherwise.")
    return found
