"""`python -m opencloudmesh.cli` is the `ocm` command."""

import sys

from opencloudmesh.cli.main import main

sys.exit(main())
