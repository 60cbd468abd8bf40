"""The command line: OPS's own verbs and flags where OPS has them. Parsed by main, tested against docs/cli.md."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from opsweb.cli import image_commands, instance_commands, panel_commands, run, watch_commands
from opsweb.cli.problems import Usage
from opsweb.cli.values import memory, offset, positive, variable

POWER = {
    "start": "start it",
    "stop": "ask the guest to end; force it off after a time",
    "force-off": "cut its power",
    "reboot": "ask the guest to end, and start it again",
    "reset": "press its reset button",
    "pause": "freeze it, memory kept",
    "resume": "go on after a pause",
}
STATES = ("running", "ready", "ended")
BRIDGED_SWITCHES = ("-b", "--bridged")
TAPS = ("-t", "--tapname")
BRIDGED = ("--tap", "--bridgename", "--bridgeipaddress", "--ip-address", "--ipv6-address", "--gateway", "--netmask")


class Parser(argparse.ArgumentParser):
    """Takes no abbreviations (a script's flag must mean the same for ever) and raises Usage instead of leaving."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise Usage(f"{message}. See `{self.prog} --help`.")


class Later(argparse.Action):
    """A flag of OPS whose time has not come."""

    def __call__(self, parser: object, namespace: object, values: object, option_string: str | None = None) -> None:
        raise Usage(f"{option_string}: bridged networks come with the next release.", code="not_yet")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Raises: Usage."""
    return _parser().parse_args(_attached(argv))


def wants_json(argv: Sequence[str]) -> bool:
    """Whether even a command line that makes no sense is answered in JSON."""
    words = _attached(argv)
    return "--json" in words or "-j" in words


def _attached(argv: Sequence[str]) -> list[str]:
    """`-a --verbose` as `--args=--verbose`: a program's own flags are values here, as OPS takes them."""
    found, rest = [], iter(argv)
    for word in rest:
        value = next(rest, None) if word in ("-a", "--args") else None
        found.append(word if value is None else f"--args={value}")
    return found


def _parser() -> argparse.ArgumentParser:
    common = _common()
    parser = Parser(prog="opsweb", description="Programs as small VMs on your own panel.", parents=[common])
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    _run(commands.add_parser("run", parents=[common], help="run a program in a VM, its console here"))
    _images(commands.add_parser("image", parents=[common], help="create, list, show, delete images"), common)
    _instances(commands.add_parser("instance", parents=[common], help="create, list, switch, watch, delete instances"), common)
    _operations(commands.add_parser("operation", parents=[common], help="what the panel does"), common)
    _leaf(commands, "me", common, panel_commands.me, "who you are, your teams and their quotas")
    _leaf(commands, "version", common, panel_commands.version, "the version of this command")
    return parser


def _common() -> Parser:
    # SUPPRESS: the flags stand before or after the command, and the later parser must not wipe what the earlier one found.
    common = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("-j", "--json", action="store_true", help="one JSON document on stdout")
    common.add_argument("--team", metavar="NAME", help="the team to work in")
    common.add_argument("--url", metavar="URL", help="the panel's address (OPSWEB_URL)")
    common.add_argument("--token", metavar="TOKEN", help="an API token (OPSWEB_TOKEN; seen by others in the list of processes)")
    return common


def _leaf(commands: Any, name: str, common: Parser, command: Any, text: str) -> Parser:
    leaf: Parser = commands.add_parser(name, parents=[common], help=text, description=text)
    leaf.set_defaults(command=command)
    return leaf


def _below(parser: Parser) -> Any:
    return parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)


def _run(parser: Parser) -> None:
    parser.set_defaults(command=run.run)
    parser.add_argument("elf", nargs="?", metavar="ELF", help="the program; without it, Program of the config")
    _config(parser)
    _machine(parser)
    parser.add_argument("-d", "--detach", action="store_true", help="leave it running, print where it is reached")
    _later(parser, (*BRIDGED_SWITCHES, *TAPS, *BRIDGED))


def _images(parser: Parser, common: Parser) -> None:
    commands = _below(parser)
    create = _leaf(commands, "create", common, image_commands.create, "build an image from a program and what its config names")
    create.add_argument("elf", nargs="?", metavar="ELF", help="the program; without it, Program of the config")
    create.add_argument("-i", "--imagename", dest="name", metavar="NAME", help="the image's name")
    _config(create)
    _leaf(commands, "list", common, image_commands.list_all, "all images you may see")
    _leaf(commands, "show", common, image_commands.show, "one image").add_argument("image", metavar="IMAGE", help="name or id")
    _leaf(commands, "delete", common, image_commands.delete, "remove an image").add_argument("image", metavar="IMAGE", help="name or id")


def _instances(parser: Parser, common: Parser) -> None:
    commands = _below(parser)
    create = _leaf(commands, "create", common, instance_commands.create, "create an instance of an image and start it")
    create.add_argument("image", metavar="IMAGE", help="name or id")
    create.add_argument("-t", "--target-cloud", dest="target", metavar="TARGET", help="onprem, the only one")
    _config(create)
    _machine(create)
    _later(create, ("--bridged", *BRIDGED))
    _leaf(commands, "list", common, instance_commands.list_all, "all instances you may see")
    _named(_leaf(commands, "show", common, instance_commands.show, "one instance"))
    for verb, text in POWER.items():
        leaf = _leaf(commands, verb, common, instance_commands.switch, text)
        leaf.set_defaults(verb=verb)
        _named(leaf)
    _named(_leaf(commands, "delete", common, instance_commands.delete, "force it off and remove it with its console log"))
    _watching(commands, common)


def _watching(commands: Any, common: Parser) -> None:
    logs = _leaf(commands, "logs", common, watch_commands.logs, "the console's output")
    _named(logs)
    logs.add_argument("-w", "--watch", action="store_true", help="go on until the instance ends")
    logs.add_argument("--from", dest="start", type=offset, metavar="OFFSET", help="begin at this byte; default: the oldest kept one")
    _named(_leaf(commands, "console", common, watch_commands.console, "your terminal on the guest's console; Ctrl-] leaves"))
    wait = _leaf(commands, "wait", common, watch_commands.wait, "until it is ready, or in another state")
    _named(wait)
    until = wait.add_mutually_exclusive_group()
    until.add_argument("--port", type=positive, metavar="PORT", help="until the guest listens on this port")
    until.add_argument("--state", choices=STATES, default="ready", help="default: ready")
    wait.add_argument("--timeout", type=positive, default=60, metavar="SECONDS", help="default: 60")


def _operations(parser: Parser, common: Parser) -> None:
    commands = _below(parser)
    _leaf(commands, "list", common, panel_commands.operations, "what is going on now")
    _leaf(commands, "show", common, panel_commands.operation, "one operation").add_argument("operation", metavar="ID")


def _named(parser: Parser) -> None:
    parser.add_argument("instance", metavar="INSTANCE", help="name or id")


def _config(parser: Parser) -> None:
    parser.add_argument("-c", "--config", metavar="FILE", help="OPS's config.json")


def _machine(parser: Parser) -> None:
    add = parser.add_argument
    add("-i", "--instance-name", dest="name", metavar="NAME", help="the instance's name")
    add("-p", "--port", action="append", metavar="PORT", help="forward a TCP port: 8080, 80,443, 9000-9005, 18081:8080, 0.0.0.0:80:8080")
    add("--udp", action="append", metavar="PORT", help="forward a UDP port")
    add("-a", "--args", action="append", metavar="ARG", help="an argument for the program; again for each")
    add("-e", "--envs", dest="env", action="append", type=variable, default=[], metavar="NAME=VALUE", help="an environment variable")
    add("-m", "--memory", type=memory, metavar="SIZE", help="256m, 1g")
    add("--smp", type=positive, metavar="N", help="vCPUs")


def _later(parser: Parser, flags: Sequence[str]) -> None:
    for flag in flags:
        options: dict[str, Any] = {"nargs": 0} if flag in BRIDGED_SWITCHES else {}
        parser.add_argument(flag, action=Later, help=argparse.SUPPRESS, **options)
