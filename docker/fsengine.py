#!/usr/bin/python3 -I
"""The `fsengine` command in an image whose Python has none of its packages: they lie in a folder of their own.

tritonserver, which `fsengine start` becomes, and what it starts in turn see the image's Python as it was.
"""

import sys

sys.path.insert(0, "/opt/facestats")

from fsengine.cli import main

main()
