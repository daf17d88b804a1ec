#!/usr/bin/env python
"""The page of vqspeech in a browser, as `vqspeech demo`; options are those of that command."""

import sys

from vqspeech.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "demo")
    main()
