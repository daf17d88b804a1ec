"""Audio of one recording: reading, writing, resampling, levels, mu-law."""

from vqspeech.audio.io import blocks as blocks
from vqspeech.audio.io import info as info
from vqspeech.audio.io import piped as piped
from vqspeech.audio.io import read as read
from vqspeech.audio.io import resampled as resampled
from vqspeech.audio.io import trim_bounds as trim_bounds
from vqspeech.audio.writing import PipeWriter as PipeWriter
from vqspeech.audio.writing import Writer as Writer
from vqspeech.audio.writing import write as write
