"""Speech as discrete codes: a neural codec and voice converter.

```
import vqspeech
model = vqspeech.load()                    # the one that ships; or load("exp/mine"), load("hf:owner/name")
codes = model.encode(wave)
wave = model.decode(codes, speaker="p225")
vqspeech.convert("in.wav", speaker="p225", model=model)
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vqspeech.errors import InputError
from vqspeech.models.hub import DEFAULT

if TYPE_CHECKING:
    from vqspeech.inference.conversion import Converted
    from vqspeech.inference.speech_codec import SpeechCodec

__version__ = "0.1.0"
__all__ = ["InputError", "convert", "load"]


def load(run: Any = DEFAULT, vocoder: str | None = None, device: str = "cpu", **options: Any) -> SpeechCodec:
    """A trained model, ready to `encode` and `decode`; see `inference.speech_codec.Model` (precision, threads, engine).

    Args:
        run: a model that ships, by its name; a run directory; or hf:owner/name.
    """
    from vqspeech.inference.speech_codec import SpeechCodec

    return SpeechCodec(run, vocoder, device, **options)


def convert(source: Any, speaker: str, model: Any = DEFAULT, path: Any = None, **options: Any) -> Converted:
    """A recording in another voice, written beside it; see `vqspeech.inference.conversion.convert`.

    Args:
        source: a recording's path.
        speaker: one of `model.speakers`.
        model: as in `load`, or what it gave.
        path: where to write; by default `in.wav` becomes `in.p225.wav`.
        options: temperature, top_p, seed, level, progress.
    """
    from vqspeech.inference import conversion
    from vqspeech.inference.speech_codec import SpeechCodec

    return conversion.convert(
        model if isinstance(model, SpeechCodec) else SpeechCodec(model), source, speaker, path, **options
    )
