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
from vqspeech.inference.sampling_config import SamplingConfig
from vqspeech.models.hub import DEFAULT

if TYPE_CHECKING:
    from vqspeech.inference.conversion import Converted
    from vqspeech.inference.speech_codec import SpeechCodec

__version__ = "0.1.0"
__all__ = ["InputError", "SamplingConfig", "convert", "load"]


def load(run: Any = DEFAULT, vocoder: str | None = None, device: str = "cpu", **options: Any) -> SpeechCodec:
    """Load a trained model, to `encode` and `decode` with.

    Args:
        run: the name of a model that ships, a run directory, or hf:owner/name.
        vocoder: "source-filter" or "wavenet".
        device: a torch device.
        options: the other arguments of `vqspeech.inference.speech_codec.SpeechCodec`.
    """
    from vqspeech.inference.speech_codec import SpeechCodec

    return SpeechCodec(run, vocoder, device, **options)


def convert(source: Any, speaker: str, model: Any = DEFAULT, path: Any = None, **options: Any) -> Converted:
    """Convert a recording to another speaker; see `vqspeech.inference.conversion.convert`.

    Args:
        source: the path of a recording.
        speaker: one of `model.speakers`.
        model: as in `load`, or what it returned.
        path: of the result; by default `in.wav` becomes `in.p225.wav`.
        options: sampling, level, progress.
    """
    from vqspeech.inference import conversion
    from vqspeech.inference.speech_codec import SpeechCodec

    return conversion.convert(
        model if isinstance(model, SpeechCodec) else SpeechCodec(model), source, speaker, path, **options
    )
