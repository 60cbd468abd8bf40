"""The command line: OPS's own verbs and flags where OPS has them. Parsed by main, tested against docs/cli.md."""

import argparse
from collections.abc import Sequence
from typing import Any

from opsweb.cli import image_commands, instance_commands, network_arguments, panel_commands, run, watch_commands
from opsweb.cli.parsing import Parser, below, common, leaf
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
    shared = common()
    parser = Parser(prog="opsweb", description="Programs as small VMs on your own panel.", parents=[shared])
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    _run(commands.add_parser("run", parents=[shared], help="run a program in a VM, its console here"))
    _images(commands.add_parser("image", parents=[shared], help="create, list, show, delete images"), shared)
    _instances(commands.add_parser("instance", parents=[shared], help="create, list, switch, watch, delete instances"), shared)
    network_help = "create, list, edit, delete networks, and their rules"
    network_arguments.networks(commands.add_parser("network", parents=[shared], help=network_help), shared)
    _operations(commands.add_parser("operation", parents=[shared], help="what the panel does"), shared)
    leaf(commands, "me", shared, panel_commands.me, "who you are, your teams and their quotas")
    leaf(commands, "version", shared, panel_commands.version, "the version of this command")
    return parser


def _run(parser: Parser) -> None:
    parser.set_defaults(command=run.run)
    parser.add_argument("elf", nargs="?", metavar="ELF", help="the program; without it, Program of the config")
    _config(parser)
    _machine(parser)
    parser.add_argument("-d", "--detach", action="store_true", help="leave it running, print where it is reached")
    network_arguments.bridged(parser, ("-b", "--bridged"), ("-t", "--tapname", "--tap"))


def _images(parser: Parser, shared: Parser) -> None:
    commands = below(parser)
    create = leaf(commands, "create", shared, image_commands.create, "build an image from a program and what its config names")
    create.add_argument("elf", nargs="?", metavar="ELF", help="the program; without it, Program of the config")
    create.add_argument("-i", "--imagename", dest="name", metavar="NAME", help="the image's name")
    _config(create)
    leaf(commands, "list", shared, image_commands.list_all, "all images you may see")
    leaf(commands, "show", shared, image_commands.show, "one image").add_argument("image", metavar="IMAGE", help="name or id")
    leaf(commands, "delete", shared, image_commands.delete, "remove an image").add_argument("image", metavar="IMAGE", help="name or id")


def _instances(parser: Parser, shared: Parser) -> None:
    commands = below(parser)
    create = leaf(commands, "create", shared, instance_commands.create, "create an instance of an image and start it")
    create.add_argument("image", metavar="IMAGE", help="name or id")
    create.add_argument("-t", "--target-cloud", dest="target", metavar="TARGET", help="onprem; another one is told what to take there")
    _config(create)
    _machine(create)
    network_arguments.bridged(create, ("-b", "--bridged"), ("--tap", "--tapname"))
    leaf(commands, "list", shared, instance_commands.list_all, "all instances you may see")
    _named(leaf(commands, "show", shared, instance_commands.show, "one instance"))
    for verb, text in POWER.items():
        switch = leaf(commands, verb, shared, instance_commands.switch, text)
        switch.set_defaults(verb=verb)
        _named(switch)
    _named(leaf(commands, "delete", shared, instance_commands.delete, "force it off and remove it with its console log"))
    _watching(commands, shared)


def _watching(commands: Any, shared: Parser) -> None:
    logs = leaf(commands, "logs", shared, watch_commands.logs, "the console's output")
    _named(logs)
    logs.add_argument("-w", "--watch", action="store_true", help="go on until the instance ends")
    logs.add_argument("--from", dest="start", type=offset, metavar="OFFSET", help="begin at this byte; default: the oldest kept one")
    _named(leaf(commands, "console", shared, watch_commands.console, "your terminal on the guest's console; Ctrl-] leaves"))
    wait = leaf(commands, "wait", shared, watch_commands.wait, "until it is ready, or in another state")
    _named(wait)
    until = wait.add_mutually_exclusive_group()
    until.add_argument("--port", type=positive, metavar="PORT", help="until the guest listens on this port")
    until.add_argument("--state", choices=STATES, default="ready", help="default: ready")
    wait.add_argument("--timeout", type=positive, default=60, metavar="SECONDS", help="default: 60")


def _operations(parser: Parser, shared: Parser) -> None:
    commands = below(parser)
    leaf(commands, "list", shared, panel_commands.operations, "what is going on now")
    leaf(commands, "show", shared, panel_commands.operation, "one operation").add_argument("operation", metavar="ID")


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
