"""`python -m vqspeech`, so that `accelerate launch -m vqspeech train ...` works."""

from vqspeech.cli import main

main()
