"""Lets `python -m opsweb.cli` be the same as `opsweb`."""

import sys

from opsweb.cli.main import main

sys.exit(main())
