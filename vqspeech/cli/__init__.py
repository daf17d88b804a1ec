"""The command line."""

from vqspeech.cli.app import main as main
